//! Text to tree: JSON and HCL read into one kind of value that remembers where everything stood.
//!
//! It knows the two grammars and nothing of services or checks. HCL here is HCL 1, the version of Consul's files:
//! several attributes may share a line, keys may be quoted, `${…}` is plain text. Libraries that are kept up read
//! HCL 2, which refuses all three; that is why the reader is our own.

mod reader;
mod text;

use std::fmt;

pub(crate) use reader::read;

/// A file may be this large, in bytes: a thousand instances with checks need half of it.
pub const FILE_LIMIT: usize = 1 << 20;

/// Objects and lists within each other, at most: Consul's own definitions need six.
const DEPTH_LIMIT: usize = 32;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.json`
    Json,
    /// `.hcl`, HCL 1. A text that begins with a brace is taken for JSON, as Consul does.
    Hcl,
}

/// A place in a text; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Entry>),
}

impl Value {
    /// What it is, for a message.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// A key of an object with its value. HCL repeats keys: each time is an entry of its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Position,
    pub(crate) node: Node,
}

/// Where a text is neither JSON nor HCL, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) at: Position,
    pub(crate) text: String,
}

#[cfg(test)]
mod tests;
