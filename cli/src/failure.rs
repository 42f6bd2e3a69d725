//! How a command fails: one line for a person, and an exit status for a script.
//!
//! Every error of the crates below ends here and nowhere else; it knows no command.

use std::{error::Error, fmt::Display, process::ExitCode};

/// Why a command did not end with status 0.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is wrong. Exit status 2.
    Usage(String),
    /// The command was understood, and failed. Exit status 1.
    Failed(String),
    /// The command was understood, and failed in a way that has an exit status of its own.
    Special(u8, String),
    /// A program we ran ended with this status, which becomes ours. It spoke for itself.
    Status(u8),
}

impl Failure {
    /// Exit status of a command line that cannot be understood.
    pub(crate) const USAGE: u8 = 2;

    /// Exit status of a command that was understood and failed.
    pub(crate) const FAILED: u8 = 1;

    /// A failure described by its text alone.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    /// A mistake in the command line that the argument parser cannot see.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    /// The failure of `what`, for errors that do not say by themselves what was tried.
    pub(crate) fn of(what: impl Display, error: &dyn Error) -> Self {
        Self::Failed(format!("{what}: {error}"))
    }

    /// What a person is told.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Usage(text) | Self::Failed(text) | Self::Special(_, text) => one_line(text),
            Self::Status(status) => format!("it ended with status {status}"),
        }
    }

    /// Says it on standard error, in one line, and returns the exit status.
    pub(crate) fn report(&self) -> ExitCode {
        let (text, status) = match self {
            Self::Usage(text) => (text, Self::USAGE),
            Self::Failed(text) => (text, Self::FAILED),
            Self::Special(status, text) => (text, *status),
            Self::Status(status) => return ExitCode::from(*status),
        };
        crate::output::complain(&format!("turno: {}", one_line(text)));
        ExitCode::from(status)
    }
}

impl<E: Error> From<E> for Failure {
    /// Our own errors tell the whole story in one line, causes included.
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

/// The text without line breaks, so that one failure is one line in every log.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What clap found wrong, in our one line: its message, and its tip or usage if there is one.
pub(crate) fn usage_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let mut parts = Vec::new();
    for paragraph in text.split("\n\n").map(one_line) {
        let paragraph = paragraph.strip_prefix("error: ").unwrap_or(&paragraph);
        if !paragraph.is_empty() && !paragraph.starts_with("For more information") {
            parts.push(
                paragraph
                    .replacen("Usage: ", "usage: ", 1)
                    .replacen(NO_ADDRESS, ADDRESS, 1),
            );
        }
    }
    parts.join("; ")
}

/// What the standard library says of a text that is no `SocketAddr`, and what helps whoever wrote it.
const NO_ADDRESS: &str = "invalid socket address syntax";
const ADDRESS: &str = "expected IP:PORT, as 127.0.0.1:8080, or 0.0.0.0:8080 for all addresses";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn a_usage_error_is_one_line() {
        let parse = |line: &str| {
            let error = crate::args::Arguments::command()
                .try_get_matches_from(line.split(' '))
                .expect_err("it is wrong");
            usage_line(&error)
        };
        let unknown = parse("turno services --colour");
        assert!(
            unknown.starts_with("unexpected argument '--colour' found"),
            "{unknown}"
        );
        let address = parse("turno lb --listen :80");
        assert!(
            address.contains("'--listen <IP:PORT>': expected IP:PORT"),
            "{address}"
        );
        let missing = parse("turno explain");
        assert!(
            missing.contains("not provided: <SERVICE>; usage: turno explain"),
            "{missing}"
        );
        assert!(
            !missing.contains('\n') && !missing.contains("For more"),
            "{missing}"
        );
    }
}
