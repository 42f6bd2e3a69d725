//! Header fields: which ones a proxy must not simply pass on, and how their values are read.

/// What a field is to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// End to end: passed on as it is.
    Pass,
    /// Belongs to one connection, or looks like a field that does to a sloppy reader: never passed on.
    Drop,
    Connection,
    ContentLength,
    Expect,
    ForwardedFor,
    ForwardedHost,
    ForwardedProto,
    Host,
    TransferEncoding,
    Upgrade,
}

/// What the field called `name` is.
pub(super) fn kind(name: &str) -> Kind {
    // Nearly all fields differ from these in length or first letter.
    let (known, kind) = match (
        name.len(),
        name.as_bytes().first().map(u8::to_ascii_lowercase),
    ) {
        (2, Some(b't')) => ("te", Kind::Drop),
        (4, Some(b'h')) => ("host", Kind::Host),
        (6, Some(b'e')) => ("expect", Kind::Expect),
        (7, Some(b'u')) => ("upgrade", Kind::Upgrade),
        (10, Some(b'c')) => ("connection", Kind::Connection),
        (10, Some(b'k')) => ("keep-alive", Kind::Drop),
        (14, Some(b'c')) => ("content-length", Kind::ContentLength),
        (14, Some(b'h')) => ("http2-settings", Kind::Drop),
        (15, Some(b'x')) => ("x-forwarded-for", Kind::ForwardedFor),
        (16, Some(b'p')) => ("proxy-connection", Kind::Drop),
        (16, Some(b'x')) => ("x-forwarded-host", Kind::ForwardedHost),
        (17, Some(b'x')) => ("x-forwarded-proto", Kind::ForwardedProto),
        (17, Some(b't')) => ("transfer-encoding", Kind::TransferEncoding),
        _ => return Kind::Pass,
    };
    if name.eq_ignore_ascii_case(known) {
        return kind;
    }
    // CGI and its heirs read `Content_Length` as `Content-Length`: nobody may smuggle one past us.
    let same = |(a, b): (u8, u8)| a.eq_ignore_ascii_case(&b) || (a == b'_' && b == b'-');
    if name.bytes().zip(known.bytes()).all(same) {
        Kind::Drop
    } else {
        Kind::Pass
    }
}

/// The members of a comma-separated list, without blanks and empty members (RFC 9110 §5.6.1).
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// A Content-Length: one run of digits, and a number that fits (RFC 9112 §6.2).
pub(super) fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Appends `number` in decimal.
pub(super) fn put_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends one field.
pub(super) fn put(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case() {
        for (name, expected) in [
            ("te", Kind::Drop),
            ("host", Kind::Host),
            ("expect", Kind::Expect),
            ("upgrade", Kind::Upgrade),
            ("connection", Kind::Connection),
            ("keep-alive", Kind::Drop),
            ("http2-settings", Kind::Drop),
            ("content-length", Kind::ContentLength),
            ("x-forwarded-for", Kind::ForwardedFor),
            ("proxy-connection", Kind::Drop),
            ("x-forwarded-host", Kind::ForwardedHost),
            ("x-forwarded-proto", Kind::ForwardedProto),
            ("transfer-encoding", Kind::TransferEncoding),
        ] {
            assert_eq!(kind(name), expected, "{name}");
            assert_eq!(kind(&name.to_ascii_uppercase()), expected, "{name}");
        }
        for name in [
            "",
            "x",
            "cookie",
            "hosts",
            "expect1",
            "content-lengthy",
            "x-forwarded-fox",
        ] {
            assert_eq!(kind(name), Kind::Pass, "{name}");
        }
    }

    #[test]
    fn look_alikes_are_dropped() {
        for name in [
            "Content_Length",
            "transfer_encoding",
            "X_Forwarded_For",
            "x-forwarded_host",
        ] {
            assert_eq!(kind(name), Kind::Drop, "{name}");
        }
    }

    #[test]
    fn lengths() {
        for (value, expected) in [
            ("0", Some(0)),
            ("00012", Some(12)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("1 ", None),
            ("1,1", None),
            ("0x1", None),
            ("1_0", None),
        ] {
            assert_eq!(content_length(value.as_bytes()), expected, "{value:?}");
        }
    }

    #[test]
    fn decimals() {
        for number in [0, 7, 10, 12_345, u64::MAX] {
            let mut out = Vec::new();
            put_decimal(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }
}
