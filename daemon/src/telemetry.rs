//! The log: structured lines on standard error, steered by `RUST_LOG` and a format.
//!
//! Standard output stays free for what a command was asked to print. Nothing here knows what is
//! logged.

use std::{fmt, io, io::IsTerminal, str::FromStr};

use tracing::warn;
use tracing_subscriber::{EnvFilter, filter::ParseError};

/// What is logged when neither `RUST_LOG` nor the program says anything.
const DEFAULT_FILTER: &str = "info";

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// The text is not the name of a log format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown log format {0:?}: use text or json")]
pub struct UnknownLogFormat(String);

impl FromStr for LogFormat {
    type Err = UnknownLogFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(UnknownLogFormat(other.to_owned())),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Sends the log to standard error. A second call in one process changes nothing, so tests may
/// call it freely. A `RUST_LOG` that cannot be read counts as unset, and a warning says so.
pub fn init(format: LogFormat) {
    init_with(format, DEFAULT_FILTER);
}

/// The same, for a program that logs something else than `info` when `RUST_LOG` says nothing.
/// `default` is in the syntax of `RUST_LOG`.
pub fn init_with(format: LogFormat, default: &'static str) {
    let (filter, complaint) = filter(std::env::var("RUST_LOG").ok().as_deref(), default);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        // Telling of a log line that could not be written goes to standard error too, and panics
        // there if its reader is gone. A program must outlive the reader of its log.
        .log_internal_errors(false);
    let first = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if let (Ok(()), Some(error)) = (first, complaint) {
        warn!(%error, "RUST_LOG is not understood, logging at {default}");
    }
}

fn filter(directives: Option<&str>, default: &str) -> (EnvFilter, Option<ParseError>) {
    match directives
        .filter(|text| !text.trim().is_empty())
        .map(EnvFilter::try_new)
    {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(default), Some(error)),
        None => (EnvFilter::new(default), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_read_as_they_are_written() {
        for format in [LogFormat::Text, LogFormat::Json] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let error = "xml".parse::<LogFormat>().expect_err("not a format");
        assert_eq!(
            error.to_string(),
            "unknown log format \"xml\": use text or json"
        );
    }

    #[test]
    fn a_filter_is_always_there_and_a_bad_one_is_complained_of() {
        let cases = [
            (None, "info", false),
            (Some(""), "info", false),
            (Some("debug"), "debug", false),
            (Some("a=b=c"), "info", true),
        ];
        for (directives, want, complains) in cases {
            let (filter, complaint) = filter(directives, DEFAULT_FILTER);
            assert_eq!(filter.to_string(), want, "{directives:?}");
            assert_eq!(complaint.is_some(), complains, "{directives:?}");
        }
    }

    #[test]
    fn a_second_start_is_harmless() {
        init(LogFormat::Text);
        init(LogFormat::Json);
    }
}
