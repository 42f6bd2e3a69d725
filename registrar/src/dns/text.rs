//! Between text and what DNS has instead: names of labels, and character strings of at most 255 bytes.

use std::borrow::Cow;

use hickory_proto::rr::Name;
use hickory_proto::rr::rdata::TXT;

/// Most bytes of one character string.
const STRING: usize = 255;

/// A label as text; what is not UTF-8 becomes replacement characters, which no name in the catalog has.
pub(super) fn of(label: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(label)
}

/// A name from text with dots. `None` if it is too long, or has an empty label or one that is too long.
pub(super) fn name(text: &str) -> Option<Name> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() {
        return Some(Name::root());
    }
    Name::from_labels(text.split('.').map(str::as_bytes)).ok()
}

/// A pair of metadata as a TXT record: `key=value` as RFC 1464 writes it, or only the value if the key begins with
/// `rfc1035-`.
pub(super) fn pair(key: &str, value: &str) -> TXT {
    let text = if key.to_lowercase().starts_with("rfc1035-") {
        value.to_owned()
    } else {
        rfc1464(key, value)
    };
    TXT::from_bytes(match text.len() {
        0 => vec![b""],
        _ => text.as_bytes().chunks(STRING).collect(),
    })
}

/// In a key, a backquote, an equals sign, and spaces and tabs at its ends are marked by a backquote.
fn rfc1464(key: &str, value: &str) -> String {
    let mut written = String::with_capacity(key.len() + value.len() + 1);
    let inner = key.trim_matches([' ', '\t']);
    let start = key.len() - key.trim_start_matches([' ', '\t']).len();
    for (at, letter) in key.char_indices() {
        let at_an_end = at < start || at >= start + inner.len();
        if matches!(letter, '`' | '=') || at_an_end {
            written.push('`');
        }
        written.push(letter);
    }
    written.push('=');
    written.push_str(&value.replace('`', "``"));
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_written_as_rfc_1464_wants_them() {
        let table = [
            ("b", "world", "b=world"),
            ("", "", "="),
            ("a=b", "c=d", "a`=b=c=d"),
            ("a`b", "c`d", "a``b=c``d"),
            (" a ", "b", "` a` =b"),
            ("  ", "b", "` ` =b"),
            ("rfc1035-x", "only this", "only this"),
            ("RFC1035-", "a=b", "a=b"),
        ];
        for (key, value, expected) in table {
            let strings = pair(key, value);
            assert_eq!(strings.txt_data.concat(), expected.as_bytes(), "{key:?}");
        }
        let long = pair("k", &"x".repeat(512));
        assert!(long.txt_data.iter().all(|string| string.len() <= STRING));
        assert_eq!(long.txt_data.concat().len(), 514);
    }

    #[test]
    fn only_names_that_dns_can_carry_are_names() {
        for good in [".", "a", "a.b.", "with space.x"] {
            assert!(name(good).is_some(), "{good}");
        }
        let (label, long) = ("x".repeat(64), "abc.".repeat(70));
        for bad in ["..", "a..b", ".a", &label, &long] {
            assert!(name(bad).is_none(), "{bad}");
        }
    }
}
