//! Why a template cannot be used, or a file not be written: each in a line for a person.

use std::path::PathBuf;

/// What can go wrong. What is wrong with one template leaves the others alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// `-t` is not `IN:OUT[:COMMAND]`.
    #[error("template {text:?}: {reason}; expected IN:OUT[:COMMAND]")]
    Spec {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The configuration file says what cannot be.
    #[error("{}: line {line}: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The field, what was expected there and what was found.
        reason: String,
    },
    /// Two templates make the same file.
    #[error("{} is the target of two templates", path.display())]
    SameTarget {
        /// The target.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// `read`, `write`, `replace` …
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The template's text is no template, or asks for what cannot be.
    #[error("{}{}: {reason}", path.display(), place(*line, *column))]
    Template {
        /// The template.
        path: PathBuf,
        /// Line, from 1; 0 if unknown.
        line: usize,
        /// Column, from 1; 0 if unknown.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// What the template cannot do without is not there. The old file stays.
    #[error("{}: {}", path.display(), absent.join("; "))]
    Absent {
        /// The template.
        path: PathBuf,
        /// What is not there, a sentence each.
        absent: Vec<String>,
    },
    /// The check says that the candidate is no good. The old file stays.
    #[error("{} stays as it is: its check failed: {reason}", path.display())]
    Check {
        /// The target.
        path: PathBuf,
        /// What the check said.
        reason: String,
    },
    /// The command after writing failed. The old file is back.
    #[error("{} is as it was: its command failed: {reason}", path.display())]
    Command {
        /// The target.
        path: PathBuf,
        /// What the command said.
        reason: String,
    },
    /// It was to be rendered once, and was stopped before.
    #[error("stopped before everything was rendered: {waiting}")]
    Interrupted {
        /// What it waited for.
        waiting: String,
    },
}

impl TemplateError {
    /// Which step failed, for metrics: `render`, `check`, `write` or `command`.
    pub(super) fn step(&self) -> &'static str {
        match self {
            Self::Check { .. } => "check",
            Self::Command { .. } => "command",
            Self::File { what: "read", .. } | Self::Template { .. } | Self::Absent { .. } => {
                "render"
            }
            _ => "write",
        }
    }
}

fn place(line: usize, column: usize) -> String {
    if line == 0 {
        String::new()
    } else {
        format!(": line {line}, column {column}")
    }
}
