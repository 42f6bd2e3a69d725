//! Requests: read strictly, written anew for the upstream.
//!
//! Whatever two parties could read differently is refused here (RFC 9112 §2–§6, §11.2), so that it reaches nobody.

mod target;

use httparse::Header;

use self::target::{check_host, target_of};
use super::field::{self, Kind};
use super::{FieldStorage, Framing, Invalid, MAX_FIELDS, Parsed, VIA, has_bare_line_feed};

/// A request's method, as far as a proxy must tell methods apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Head,
    /// GET, OPTIONS or TRACE.
    Safe,
    /// PUT or DELETE.
    Idempotent,
    /// All others.
    Other,
}

impl Method {
    /// Whether a request may be sent a second time (RFC 9110 §9.2.2).
    pub(crate) fn is_idempotent(self) -> bool {
        self != Self::Other
    }
}

/// A request's head: checked, not yet copied.
#[derive(Debug)]
pub(crate) struct RequestHead<'s, 'a> {
    /// Bytes of the head.
    pub(crate) len: usize,
    pub(crate) method: Method,
    pub(crate) framing: Framing,
    /// Whether the client speaks HTTP/1.0.
    pub(crate) old: bool,
    /// Whether the client wants to go on after this request.
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    /// The protocol the client wants to change to; the connection becomes a tunnel if the upstream agrees.
    pub(crate) upgrade: Option<&'a [u8]>,
    /// The authority the request is for; empty only in HTTP/1.0.
    pub(crate) host: &'a [u8],
    /// The path as the client wrote it, or `*`.
    pub(crate) path: &'a [u8],
    /// The query with its `?`, or nothing.
    query: &'a [u8],
    method_name: &'a str,
    fields: Fields<'s, 'a>,
}

#[derive(Debug)]
struct Fields<'s, 'a> {
    all: &'s [Header<'a>],
    kinds: [Kind; MAX_FIELDS],
}

/// What the upstream is told of the client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forwarded<'a> {
    /// The client's address, without port.
    pub(crate) client: &'a str,
    /// `http` or `https`: how the client spoke to us.
    pub(crate) proto: &'static str,
    /// The host to name if an HTTP/1.0 client named none.
    pub(crate) default_host: &'a str,
    /// The path to ask for; a `/` is put before it if it has none.
    pub(crate) path: &'a [u8],
}

/// Reads the head at the start of `bytes`. `max_fields` is at most [`MAX_FIELDS`].
pub(crate) fn parse<'s, 'a>(
    bytes: &'a [u8],
    max_fields: usize,
    storage: &'s mut FieldStorage<'a>,
) -> Result<Parsed<RequestHead<'s, 'a>>, Invalid> {
    let mut request = httparse::Request::new(&mut []);
    let fields = &mut storage[..max_fields.min(MAX_FIELDS)];
    let len = match request.parse_with_uninit_headers(bytes, fields) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(Parsed::Partial),
        Err(error) => return Err(invalid(error, bytes)),
    };
    if has_bare_line_feed(&bytes[..len]) {
        return Err(Invalid::bad("a line ends without CR LF"));
    }
    let (Some(name), Some(target), Some(version)) = (request.method, request.path, request.version)
    else {
        return Err(Invalid::bad("the request line is malformed"));
    };
    let target = target_of(name, target)?;
    let fields = Fields::new(request.headers);
    let old = version == 0;
    let meaning = Meaning::of(&fields, old)?;
    let host = match (target.authority, meaning.host) {
        // A Host there must be, whatever the target says (RFC 9112 §3.2).
        (_, None) if !old => return Err(Invalid::bad("there is no Host")),
        (Some(authority), _) => authority,
        (None, host) => host.unwrap_or_default(),
    };
    Ok(Parsed::Complete(RequestHead {
        len,
        method: method(name),
        framing: meaning.framing,
        old,
        keep_alive: meaning.keep_alive,
        expects_continue: meaning.expects_continue,
        upgrade: meaning.upgrade,
        host,
        path: target.path,
        query: target.query,
        method_name: name,
        fields,
    }))
}

fn invalid(error: httparse::Error, bytes: &[u8]) -> Invalid {
    match error {
        httparse::Error::Version if !names_a_version(bytes) => {
            Invalid::bad("the request line is malformed")
        }
        httparse::Error::TooManyHeaders => Invalid {
            status: 431,
            reason: "there are too many header fields",
        },
        httparse::Error::Version => Invalid {
            status: 505,
            reason: "the version is not HTTP/1.0 or HTTP/1.1",
        },
        httparse::Error::HeaderName => Invalid::bad("a header field's name is malformed"),
        httparse::Error::HeaderValue => Invalid::bad("a header field's value is malformed"),
        _ => Invalid::bad("this is not an HTTP request"),
    }
}

/// Whether the request line has three parts, the last of them a version of HTTP.
fn names_a_version(bytes: &[u8]) -> bool {
    let line = bytes
        .split(|b| *b == b'\r' || *b == b'\n')
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    let parts: Vec<_> = line.split(|b| *b == b' ').collect();
    matches!(parts[..], [_, _, version] if version.starts_with(b"HTTP/"))
}

fn method(name: &str) -> Method {
    match name {
        "GET" | "OPTIONS" | "TRACE" => Method::Safe,
        "HEAD" => Method::Head,
        "PUT" | "DELETE" => Method::Idempotent,
        _ => Method::Other,
    }
}

/// What the fields of one request say about its message.
struct Meaning<'a> {
    framing: Framing,
    keep_alive: bool,
    expects_continue: bool,
    upgrade: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
}

impl<'a> Meaning<'a> {
    fn of(fields: &Fields<'_, 'a>, old: bool) -> Result<Self, Invalid> {
        let mut meaning = Self {
            framing: Framing::None,
            keep_alive: !old,
            expects_continue: false,
            upgrade: None,
            host: None,
        };
        let (mut length, mut coding, mut wants_upgrade, mut close) = (None, None, false, false);
        for (header, kind) in fields.iter() {
            match kind {
                Kind::Host if meaning.host.is_some() => {
                    return Err(Invalid::bad("there is more than one Host"));
                }
                Kind::Host => {
                    check_host(header.value)?;
                    meaning.host = Some(header.value);
                }
                Kind::ContentLength if length.is_some() => {
                    return Err(Invalid::bad("there is more than one Content-Length"));
                }
                Kind::ContentLength => {
                    let value = field::content_length(header.value);
                    length = Some(value.ok_or(Invalid::bad("the Content-Length is not a number"))?);
                }
                Kind::TransferEncoding if coding.is_some() => {
                    return Err(Invalid::bad("there is more than one Transfer-Encoding"));
                }
                Kind::TransferEncoding => coding = Some(header.value),
                Kind::Connection => {
                    for option in field::list(header.value) {
                        close |= option.eq_ignore_ascii_case(b"close");
                        meaning.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                        wants_upgrade |= option.eq_ignore_ascii_case(b"upgrade");
                    }
                }
                Kind::Expect if header.value.eq_ignore_ascii_case(b"100-continue") => {
                    meaning.expects_continue = !old
                }
                Kind::Expect => {
                    return Err(Invalid {
                        status: 417,
                        reason: "the expectation is not known",
                    });
                }
                // Only to what cannot carry requests past our routes: h2c would be a way around them.
                Kind::Upgrade if header.value.eq_ignore_ascii_case(b"websocket") => {
                    meaning.upgrade = Some(header.value);
                }
                _ => {}
            }
        }
        meaning.keep_alive &= !close;
        meaning.framing = framing(length, coding, old)?;
        // An upgrade is asked for only if Connection says so too, and only by a request without a body.
        if !wants_upgrade || old || meaning.framing != Framing::None {
            meaning.upgrade = None;
        }
        Ok(meaning)
    }
}

fn framing(length: Option<u64>, coding: Option<&[u8]>, old: bool) -> Result<Framing, Invalid> {
    match (length, coding) {
        (None, None) => Ok(Framing::None),
        (Some(0), None) => Ok(Framing::Length(0)),
        (Some(length), None) => Ok(Framing::Length(length)),
        (Some(_), Some(_)) => Err(Invalid::bad(
            "there is both a Content-Length and a Transfer-Encoding",
        )),
        (None, Some(_)) if old => Err(Invalid::bad("there is a Transfer-Encoding in HTTP/1.0")),
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (None, Some(coding)) => {
            let last = field::list(coding).last();
            if last.is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"))
                && !coding.ends_with(b",")
            {
                Err(Invalid {
                    status: 501,
                    reason: "of the transfer codings only chunked is known",
                })
            } else {
                Err(Invalid::bad(
                    "the Transfer-Encoding does not end in chunked",
                ))
            }
        }
    }
}

impl<'s, 'a> Fields<'s, 'a> {
    fn new(headers: &'s mut [Header<'a>]) -> Self {
        let mut kinds = [Kind::Pass; MAX_FIELDS];
        for (header, kind) in headers.iter_mut().zip(&mut kinds) {
            header.value = header.value.trim_ascii();
            *kind = field::kind(header.name);
        }
        Self {
            all: headers,
            kinds,
        }
    }

    fn iter(&self) -> impl Iterator<Item = (&Header<'a>, Kind)> {
        self.all.iter().zip(self.kinds)
    }

    fn have(&self, kind: Kind) -> bool {
        self.kinds[..self.all.len()].contains(&kind)
    }

    /// Whether a Connection field names `name`: then it was meant for us alone.
    fn is_named_by_connection(&self, name: &str) -> bool {
        self.iter().any(|(header, kind)| {
            kind == Kind::Connection
                && field::list(header.value)
                    .any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
        })
    }
}

impl RequestHead<'_, '_> {
    /// Appends this request as it goes to the upstream: our version, our framing, our view of the client.
    pub(crate) fn write(&self, forwarded: &Forwarded<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method_name.as_bytes());
        out.push(b' ');
        let path = forwarded.path;
        if path.first() != Some(&b'/') && path != b"*" {
            out.push(b'/');
        }
        out.extend_from_slice(path);
        out.extend_from_slice(self.query);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let host = if self.host.is_empty() {
            forwarded.default_host.as_bytes()
        } else {
            self.host
        };
        field::put(out, b"host", host);
        self.write_fields(out);
        self.write_forwarded(forwarded, out);
        match self.framing {
            Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Framing::Length(length) => {
                out.extend_from_slice(b"content-length: ");
                field::put_decimal(out, length);
                out.extend_from_slice(b"\r\n");
            }
            Framing::None | Framing::UntilClose => {}
        }
        if self.expects_continue {
            out.extend_from_slice(b"expect: 100-continue\r\n");
        }
        if let Some(protocol) = self.upgrade {
            out.extend_from_slice(b"connection: upgrade\r\n");
            field::put(out, b"upgrade", protocol);
        }
        out.extend_from_slice(b"\r\n");
    }

    fn write_fields(&self, out: &mut Vec<u8>) {
        let named = self.fields.have(Kind::Connection);
        for (header, kind) in self.fields.iter() {
            if kind == Kind::Pass && !(named && self.fields.is_named_by_connection(header.name)) {
                field::put(out, header.name.as_bytes(), header.value);
            }
        }
        out.extend_from_slice(VIA);
    }

    fn write_forwarded(&self, forwarded: &Forwarded<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"x-forwarded-for: ");
        if self.fields.have(Kind::ForwardedFor) {
            for (header, kind) in self.fields.iter() {
                if kind == Kind::ForwardedFor && !header.value.is_empty() {
                    out.extend_from_slice(header.value);
                    out.extend_from_slice(b", ");
                }
            }
        }
        out.extend_from_slice(forwarded.client.as_bytes());
        out.extend_from_slice(b"\r\nx-forwarded-proto: ");
        out.extend_from_slice(forwarded.proto.as_bytes());
        out.extend_from_slice(b"\r\n");
        if !self.host.is_empty() {
            field::put(out, b"x-forwarded-host", self.host);
        }
    }
}

#[cfg(test)]
mod tests;
