//! Consul's definition files: text in, definitions or everything that is wrong with them out.
//!
//! The keys, their meaning and their limits are those of Consul's service and check definitions, in JSON and HCL. All is
//! judged before anything is registered, so that a mistake changes nothing. Nothing is read from disk here, and nothing
//! sent; `files` is the exception that fetches the texts.
//!
//! What differs from Consul, on purpose: a key given twice in one object is an error instead of the last one winning;
//! `service` and `check` may be repeated; ports outside 0 to 65535, empty names, and checks of no or of two kinds are
//! errors at once instead of later or never; keys of the service mesh are refused.

mod check;
mod fields;
pub mod files;
mod join;
mod service;
pub(crate) mod syntax;
#[cfg(test)]
mod tests;

use std::fmt;

use consul::types::{CheckDefinition, ServiceRegistration};

use fields::Sink;
pub use join::{Joined, join};
use syntax::{Entry, Node, Value};
pub use syntax::{FILE_LIMIT, Format, Position};

/// What one file defines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    /// Instances with the checks defined within them, in the order of the file.
    pub services: Vec<Defined<ServiceRegistration>>,
    /// Checks that stand alone: of a node, or of the instance that their `service_id` names.
    pub checks: Vec<Defined<CheckDefinition>>,
}

/// A definition and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Defined<T> {
    /// What is defined.
    pub what: T,
    /// Where its block begins.
    pub at: Position,
}

/// One thing that is wrong with a definition file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// Where in the file; `None` when it is about the file as a whole.
    pub at: Option<Position>,
    /// The key, as `service.check.interval`; may be empty.
    pub key: String,
    /// What is wrong, and what was expected.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(at) = self.at {
            write!(f, ":{at}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.text)
    }
}

/// The keys of a file.
const KEYS: [&str; 4] = ["service", "services", "check", "checks"];

/// Reads one file's text.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file; never an empty list.
pub fn parse(file: &str, text: &str, format: Format) -> Result<Definitions, Vec<Problem>> {
    let mut sink = Sink::new(file);
    let mut found = Definitions::default();
    match syntax::read(text, format) {
        Err(error) => sink.wrong(error.at, "", error.text),
        Ok(entries) => {
            for entry in entries {
                root(entry, &mut sink, &mut found);
            }
        }
    }
    let mut problems = sink.finish();
    problems.sort_by_key(|problem| problem.at);
    if problems.is_empty() {
        Ok(found)
    } else {
        Err(problems)
    }
}

fn root(entry: Entry, sink: &mut Sink<'_>, found: &mut Definitions) {
    let key = entry.key.to_ascii_lowercase();
    match key.as_str() {
        "service" | "services" => {
            for (node, path) in each(entry.node, &key, sink) {
                let at = node.at;
                if let Some(what) = service::read(node, path, sink) {
                    found.services.push(Defined { what, at });
                }
            }
        }
        "check" | "checks" => {
            for (node, path) in each(entry.node, &key, sink) {
                let at = node.at;
                if let Some(what) = check::read(node, path, check::Place::Alone, sink) {
                    found.checks.push(Defined { what, at });
                }
            }
        }
        _ => sink.unknown(entry.at, &entry.key, &KEYS),
    }
}

/// The objects under a key that may hold one or a list of them, each with its path.
fn each(node: Node, path: &str, sink: &mut Sink<'_>) -> Vec<(Node, String)> {
    match node.value {
        Value::Object(_) => vec![(node, path.to_owned())],
        Value::Null => Vec::new(),
        Value::List(list) => {
            let numbered = list.into_iter().enumerate();
            numbered
                .map(|(n, node)| (node, format!("{path}[{n}]")))
                .collect()
        }
        other => {
            sink.wrong(
                node.at,
                path,
                format!(
                    "expected an object or a list of objects, found {}",
                    other.kind()
                ),
            );
            Vec::new()
        }
    }
}
