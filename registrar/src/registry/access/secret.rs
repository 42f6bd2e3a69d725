//! A text that nobody should see. Its debug form is masked, and comparing it takes the same time wherever two differ.

use std::fmt;

use subtle::ConstantTimeEq as _;

/// Longest token, in bytes; a request's head holds no more.
const MOST_BYTES: usize = 4096;

/// A token's secret.
#[derive(Clone)]
pub struct Secret(String);

/// Why a text cannot be a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token is one word of visible ASCII characters, at most {MOST_BYTES}")]
pub struct BadSecret;

impl Secret {
    /// Takes a token: one word of visible ASCII characters, since it becomes the value of a header.
    ///
    /// # Errors
    /// It is empty, longer than 4096 bytes, or has other characters.
    pub fn new(text: &str) -> Result<Secret, BadSecret> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > MOST_BYTES || !visible {
            return Err(BadSecret);
        }
        Ok(Secret(text.to_owned()))
    }

    /// One that cannot be guessed; `None` if the system gives no random numbers.
    pub(super) fn random() -> Option<Secret> {
        let mut bytes = [0; 32];
        let random = rustls::crypto::ring::default_provider().secure_random;
        random.fill(&mut bytes).ok()?;
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        Some(Secret(digits.collect()))
    }

    /// The text itself, for the one place that sends or shows it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is that text. The time this takes tells the length at most.
    pub(super) fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_text_is_it_and_it_does_not_show() {
        let secret = Secret::new("s3cret").expect("a token");
        for (text, same) in [
            ("s3cret", true),
            ("s3cre", false),
            ("s3creT", false),
            ("", false),
        ] {
            assert_eq!(secret.is(text), same, "{text}");
        }
        assert_eq!(format!("{secret:?}"), "***");
        for bad in ["", "two words", "line\n", "\u{e9}"] {
            assert_eq!(Secret::new(bad).err(), Some(BadSecret), "{bad:?}");
        }
        assert!(Secret::new(&"x".repeat(MOST_BYTES + 1)).is_err());
    }
}
