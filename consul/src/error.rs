//! What can go wrong when one asks Consul, each in a line a person understands.
//!
//! The variants are what callers decide on: is the registry away, did it refuse, or was the answer
//! unreadable. No variant ever holds the token.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

/// Why Consul gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot work; trying again will not help.
    #[error("{what}: {reason}")]
    Config {
        /// The setting.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An argument that cannot be sent; trying again will not help.
    #[error("cannot ask Consul: {0}")]
    Argument(String),
    /// No connection, or it broke before the answer was complete.
    #[error(
        "cannot reach Consul at {address}: {reason}; is it running? set CONSUL_HTTP_ADDR or --consul"
    )]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// The innermost cause.
        reason: String,
        /// The whole cause.
        source: reqwest::Error,
    },
    /// Connected, but no complete answer in time.
    #[error("Consul at {address} did not answer {path} within {}", seconds(.limit))]
    Timeout {
        /// Where it was asked.
        address: String,
        /// What was asked.
        path: String,
        /// How long we waited.
        limit: Duration,
    },
    /// The answer was a refusal.
    #[error("Consul refused {method} {path}: {code} {text}")]
    Status {
        /// The method of the request.
        method: String,
        /// The path of the request.
        path: String,
        /// The status code of the answer.
        code: u16,
        /// The beginning of the answer's text, in one line.
        text: String,
    },
    /// The answer was not what the endpoint should send.
    #[error("cannot read Consul's answer to {path}: {source}; is this address really Consul's?")]
    Decode {
        /// What was asked.
        path: String,
        /// Where the JSON is wrong.
        source: serde_json::Error,
    },
    /// The answer is larger than [`crate::Client`] takes.
    #[error("Consul's answer to {path} is larger than {limit} bytes")]
    TooLarge {
        /// What was asked.
        path: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The answer came from a server that knows no leader, so it may be stale without bound.
    #[error("Consul has no leader: its answer to {path} may be stale and is not used")]
    NoLeader {
        /// What was asked.
        path: String,
    },
}

impl Error {
    /// Whether the registry is away or without a leader, so that the same question may be answered soon.
    #[must_use]
    pub fn is_away(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::NoLeader { .. } => true,
            Self::Status { code, .. } => *code >= 500,
            _ => false,
        }
    }

    /// Whether Consul says that what was named is not there (404).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Status { code: 404, .. })
    }

    pub(crate) fn config(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::Config {
            what: what.into(),
            reason: reason.to_string(),
        }
    }
}

/// Marks in the words of the libraries for TLS and HTTP, and the mistake that they are signs of.
const MISTAKES: [(&str, &str); 3] = [
    (
        "InvalidContentType",
        "what answers there does not speak TLS; http:// instead of https://?",
    ),
    (
        "invalid HTTP version parsed",
        "what answers there does not speak HTTP; https:// instead of http://?",
    ),
    (
        "CaUsedAsEndEntity",
        "its certificate is an authority's (CA:TRUE), which no server may have; make it with basicConstraints=CA:FALSE",
    ),
];

/// Whether it is a mistake in the address or the certificate, which has nothing to do with how much was asked.
pub(crate) fn is_mistake(reason: &str) -> bool {
    MISTAKES.iter().any(|(_, mistake)| *mistake == reason)
}

/// Says the innermost cause of a chain, shortly.
pub(crate) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let text = cause.to_string();
    if let Some((_, mistake)) = MISTAKES.iter().find(|(mark, _)| text.contains(mark)) {
        return (*mistake).to_owned();
    }
    match cause.downcast_ref::<io::Error>() {
        Some(error) if error.kind() == io::ErrorKind::NotFound => {
            "there is no such socket".to_owned()
        }
        // The number and its text say no more than the kind does, where there is a kind: not if a name cannot be looked up.
        Some(error) if error.raw_os_error().is_some() => error.kind().to_string(),
        _ => text,
    }
}

/// The beginning of an error text as one printable line.
pub(crate) fn one_line(bytes: &[u8]) -> String {
    /// Enough for every message Consul has; a proxy's HTML page needs no more.
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|w| !w.is_empty())
        .collect();
    let line = words.join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn seconds(limit: &Duration) -> String {
    format!("{} s", limit.as_secs_f32())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_named() {
        for (said, word) in [
            (
                "received corrupt message of type InvalidContentType",
                "http:// instead",
            ),
            ("invalid HTTP version parsed", "https:// instead"),
            (
                "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))",
                "CA:FALSE",
            ),
        ] {
            let reason = innermost(&io::Error::other(said));
            assert!(
                reason.contains(word) && is_mistake(&reason),
                "{said}: {reason}"
            );
        }
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(innermost(&refused), "connection refused");
        let name =
            io::Error::other("failed to lookup address information: Name or service not known");
        assert!(
            innermost(&name).contains("not known"),
            "no number, but a text"
        );
    }

    #[test]
    fn a_refusal_is_one_short_line() {
        assert_eq!(
            one_line(b"No cluster\n\x1b[31m leader\r\n"),
            "No cluster [31m leader"
        );
        assert_eq!(one_line(b""), "");
        assert_eq!(one_line("ä".repeat(500).as_bytes()).chars().count(), 201);
        assert_eq!(one_line(&[0xff, b'a']), "\u{fffd}a");
    }

    #[test]
    fn which_errors_mean_that_the_registry_is_away() {
        let status = |code| Error::Status {
            method: "GET".to_owned(),
            path: "/v1/x".to_owned(),
            code,
            text: String::new(),
        };
        for (code, away) in [
            (400, false),
            (403, false),
            (404, false),
            (429, false),
            (500, true),
            (503, true),
        ] {
            assert_eq!(status(code).is_away(), away, "{code}");
        }
        assert!(status(404).is_not_found());
        assert!(
            Error::NoLeader {
                path: String::new()
            }
            .is_away()
        );
    }
}
