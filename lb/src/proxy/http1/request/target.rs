//! What a request asks for: the target of its first line, and the host that it names.
//!
//! What two parties could read differently is refused. Nothing is known here of routes.

use super::super::Invalid;

/// A request target, taken apart.
pub(super) struct Target<'a> {
    /// Of a whole URL.
    pub(super) authority: Option<&'a [u8]>,
    /// `*`, or at least `/`.
    pub(super) path: &'a [u8],
    /// With its `?`, or nothing.
    pub(super) query: &'a [u8],
}

/// Takes a request target apart (RFC 9112 §3.2).
pub(super) fn target_of<'a>(method: &str, target: &'a str) -> Result<Target<'a>, Invalid> {
    let bytes = target.as_bytes();
    if method == "CONNECT" {
        return Err(Invalid {
            status: 405,
            reason: "CONNECT is not served",
        });
    }
    if bytes.iter().any(|b| !b.is_ascii_graphic() || *b == b'#') {
        return Err(Invalid::bad(
            "the request target has a character that no target has",
        ));
    }
    if target == "*" {
        return match method {
            "OPTIONS" => Ok(Target {
                authority: None,
                path: b"*",
                query: b"",
            }),
            _ => Err(Invalid::bad("only OPTIONS may ask for *")),
        };
    }
    let (authority, rest) = match scheme_end(bytes) {
        None if bytes.first() == Some(&b'/') => (None, bytes),
        None => {
            return Err(Invalid::bad(
                "the request target is neither a path nor an http URL",
            ));
        }
        Some(end) => {
            let after = &bytes[end..];
            let (authority, rest) = after.split_at(
                after
                    .iter()
                    .position(|b| matches!(b, b'/' | b'?'))
                    .unwrap_or(after.len()),
            );
            check_host(authority)?;
            (Some(authority), rest)
        }
    };
    let (path, query) = rest.split_at(rest.iter().position(|b| *b == b'?').unwrap_or(rest.len()));
    Ok(Target {
        authority,
        path: if path.is_empty() { b"/" } else { path },
        query,
    })
}

fn scheme_end(target: &[u8]) -> Option<usize> {
    ["http://", "https://"]
        .iter()
        .find(|scheme| {
            target
                .get(..scheme.len())
                .is_some_and(|t| t.eq_ignore_ascii_case(scheme.as_bytes()))
        })
        .map(|scheme| scheme.len())
}

/// A host as all parties read it: a name or address, perhaps a port, nothing else.
pub(super) fn check_host(host: &[u8]) -> Result<(), Invalid> {
    let error = Err(Invalid::bad(
        "the Host is not a host name with an optional port",
    ));
    let (name, port) = match host {
        [b'[', ..] => match host.iter().position(|b| *b == b']') {
            Some(end) => host.split_at(end + 1),
            None => return error,
        },
        _ => host.split_at(host.iter().position(|b| *b == b':').unwrap_or(host.len())),
    };
    let name_fits = match name {
        [b'[', address @ .., b']'] => {
            !address.is_empty()
                && address
                    .iter()
                    .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
        }
        _ => {
            !name.is_empty()
                && name
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        }
    };
    let port_fits = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if name_fits && port_fits && host.len() <= 255 {
        Ok(())
    } else {
        error
    }
}
