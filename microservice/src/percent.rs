//! Percent-decoding of path segments and query values (RFC 3986 §2.1).
//!
//! Knows nothing of paths or queries: it is handed one piece, already split off.

/// Decodes `%XX`; with `plus`, a `+` is a space as in HTML forms. `None` for a broken escape or
/// for bytes that are not UTF-8.
pub(crate) fn decode(text: &str, plus: bool) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'+' if plus => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::decode;

    #[test]
    fn escapes_are_decoded_and_broken_ones_refused() {
        let table = [
            ("", Some("")),
            ("plain", Some("plain")),
            ("a%20b", Some("a b")),
            ("%2F%2f", Some("//")),
            ("%C3%A9", Some("é")),
            ("a+b", Some("a+b")),
            ("%", None),
            ("%2", None),
            ("%zz", None),
            ("%+1", None),
            ("%C3", None),
        ];
        for (text, wanted) in table {
            assert_eq!(decode(text, false).as_deref(), wanted, "{text:?}");
        }
        assert_eq!(decode("a+b%2B", true).as_deref(), Some("a b+"));
    }

    proptest! {
        #[test]
        fn what_is_escaped_comes_back(text in ".*") {
            let escaped: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            prop_assert_eq!(decode(&escaped, true), Some(text));
        }

        #[test]
        fn nothing_panics(text in ".*") {
            let _ = decode(&text, false);
        }
    }
}
