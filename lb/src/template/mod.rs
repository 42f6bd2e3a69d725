//! A consul-template-style watcher: templates that read the registry, rendered to files whenever what they read changes.
//!
//! The flow, top to bottom: `dependency` (what a template reads, each followed once) → `engine` (Handlebars and its
//! helpers) → `quiet` (bursts become one rendering; removals do not wait) → `output` (candidate, check, swap, command,
//! roll back) → `watcher` (the loop). It knows nothing of pools, pickers or live traffic.

pub(crate) mod command;
mod dependency;
mod engine;
mod output;
mod quiet;
mod spec;
mod watcher;

use std::path::PathBuf;

pub(crate) use engine::Engine;
pub(crate) use output::Output;
pub(crate) use quiet::QuietPeriod;
pub use quiet::Wait;
pub use spec::TemplateSpec;
pub use watcher::{Options, Watcher};

/// Why a template cannot be used, or a file not be written.
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
}

fn place(line: usize, column: usize) -> String {
    if line == 0 {
        String::new()
    } else {
        format!(": line {line}, column {column}")
    }
}
