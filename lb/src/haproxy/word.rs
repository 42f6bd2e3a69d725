//! Names that may stand in HAProxy's configuration and in a command: a type that cannot hold anything else.
//!
//! A service's name comes from strangers. As a [`Word`] it cannot end a command, begin a second one, or break a line.

use std::fmt;

/// A name of letters, digits, `-`, `_`, `.` and `:` (configuration manual, §2.2 "Configuration file format"), never empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Word(String);

/// The longest name taken as it is; a longer one is cut and told apart by its sum.
const LONGEST: usize = 64;

impl Word {
    /// The word for `name`: the name itself if it is one, else what it has of one, with a sum that tells it from others.
    pub(super) fn of(name: &str) -> Self {
        if !name.is_empty() && name.len() <= LONGEST && name.chars().all(is_plain) {
            return Self(name.to_owned());
        }
        let plain = |c| if is_plain(c) { c } else { '_' };
        let start: String = name.chars().take(LONGEST).map(plain).collect();
        Self(format!("{start}-{:08x}", sum(name)))
    }

    /// The name of the server in the slot with that index, from 0.
    pub(super) fn slot(index: usize) -> Self {
        Self(format!("s{}", index + 1))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':')
}

/// A sum that is the same on every machine and in every version (FNV-1a, 32 bits).
pub(super) fn sum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_plain_name_stays_and_others_are_told_apart() {
        assert_eq!(Word::of("web-1.eu:a_b").as_str(), "web-1.eu:a_b");
        for odd in ["a b", "a;b", "a\nb", "a/b", "", "ä"] {
            let word = Word::of(odd);
            assert_ne!(word.as_str(), odd);
            assert_ne!(word, Word::of(&format!("{odd}!")));
        }
        assert_ne!(Word::of("a b"), Word::of("a;b"));
        assert_eq!(Word::slot(0).as_str(), "s1");
    }

    proptest! {
        #[test]
        fn no_name_gets_out_of_its_word(name in "\\PC*|[;\n\r \"'#/\\\\$]{0,9}") {
            let word = Word::of(&name);
            prop_assert!(!word.as_str().is_empty());
            prop_assert!(word.as_str().chars().all(is_plain));
            prop_assert!(word.as_str().len() <= LONGEST + 9);
        }
    }
}
