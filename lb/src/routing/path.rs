//! The normal form of a path, for routing: the one view on which the balancer and what stands behind it agree.
//!
//! Percent-encoded unreserved characters are decoded and repeated slashes merged (RFC 3986 §6.2.2). A path with a dot
//! segment, plain or encoded, is refused: any two programs may resolve it differently.

use std::borrow::Cow;

/// Why a path has no normal form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    /// `.` or `..` as a segment, in whatever spelling.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `%` without two hexadecimal digits behind it, or `%00`.
    #[error("the path has a bad percent-encoding")]
    BadEncoding,
}

/// The normal form of `path` (no query). Borrowed where it is normal already, as nearly all are.
pub(crate) fn normal(path: &[u8]) -> Result<Cow<'_, [u8]>, PathError> {
    let mut previous = 0;
    let suspect = path.iter().any(|&byte| {
        let odd = matches!(byte, b'%' | b'\\') || (previous == b'/' && matches!(byte, b'/' | b'.'));
        previous = byte;
        odd
    });
    if !suspect {
        return Ok(Cow::Borrowed(path));
    }
    rewritten(path).map(Cow::Owned)
}

fn rewritten(path: &[u8]) -> Result<Vec<u8>, PathError> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte == b'%' {
            let [high, low, tail @ ..] = tail else {
                return Err(PathError::BadEncoding);
            };
            let decoded = hex(*high).zip(hex(*low)).map(|(h, l)| h << 4 | l);
            let decoded = decoded.filter(|b| *b != 0).ok_or(PathError::BadEncoding)?;
            rest = tail;
            if decoded.is_ascii_alphanumeric() || matches!(decoded, b'-' | b'.' | b'_' | b'~') {
                out.push(decoded);
            } else {
                out.extend([b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]);
            }
        } else if *byte != b'/' || out.last() != Some(&b'/') {
            out.push(*byte);
        }
    }
    if has_dot_segment(&out) {
        Err(PathError::DotSegment)
    } else {
        Ok(out)
    }
}

/// Whether a segment is `.` or `..`, also where a server takes `%2F`, `\` or `%5C` for a slash, or cuts at `;`.
fn has_dot_segment(path: &[u8]) -> bool {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match (byte, tail) {
            (b'%', [b'2', b'F', tail @ ..] | [b'5', b'C', tail @ ..]) => {
                plain.push(b'/');
                rest = tail;
            }
            (b'\\', _) => plain.push(b'/'),
            _ => plain.push(*byte),
        }
    }
    plain.split(|b| *b == b'/').any(|segment| {
        let name = segment.split(|b| *b == b';').next().unwrap_or_default();
        name == b"." || name == b".."
    })
}

fn hex(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(path: &str) -> Result<String, PathError> {
        normal(path.as_bytes()).map(|p| String::from_utf8_lossy(&p).into_owned())
    }

    #[test]
    fn normal_forms() {
        for (path, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a//b", "/a/b"),
            ("//admin", "/admin"),
            ("/%61dmin", "/admin"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%20b", "/a%20b"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a/..b", "/a/..b"),
            ("/a/b.", "/a/b."),
            ("/a;x=1/b", "/a;x=1/b"),
        ] {
            assert_eq!(of(path).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn what_two_programs_may_read_differently_is_refused() {
        for path in [
            "/a/../b",
            "/..",
            "/.",
            "/a/./b",
            "/a/%2e%2E/b",
            "/a/.%2e",
            "/a%2f..%2fb",
            "/a\\..\\b",
            "/a/..;x/b",
            "//..",
        ] {
            assert_eq!(of(path), Err(PathError::DotSegment), "{path}");
        }
        for path in ["/%", "/%4", "/%zz", "/%00", "/%+1"] {
            assert_eq!(of(path), Err(PathError::BadEncoding), "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own_normal_form(path in "/[a-c./%2eEfF;\\\\]{0,24}") {
            if let Ok(once) = normal(path.as_bytes()) {
                let again = normal(&once).expect("normal stays normal");
                prop_assert_eq!(&once, &again);
            }
        }
    }
}
