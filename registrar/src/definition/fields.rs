//! Takes the fields of an object one by one, each as the type it must have, and gathers what is wrong.
//!
//! It knows types and places, not what any key means.

use std::collections::BTreeMap;
use std::time::Duration;

use consul::types::parse_duration;

use super::Problem;
use super::syntax::{Entry, Node, Position, Value};

/// Gathers the problems of one file.
pub(super) struct Sink<'a> {
    file: &'a str,
    problems: Vec<Problem>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(file: &'a str) -> Self {
        Self {
            file,
            problems: Vec::new(),
        }
    }

    pub(super) fn wrong(&mut self, at: Position, key: &str, text: impl Into<String>) {
        self.problems.push(Problem {
            file: self.file.to_owned(),
            at: Some(at),
            key: key.to_owned(),
            text: text.into(),
        });
    }

    pub(super) fn unknown(&mut self, at: Position, key: &str, known: &[&str]) {
        self.wrong(
            at,
            key,
            format!("unknown key; expected one of {}", known.join(", ")),
        );
    }

    /// How many problems there are so far.
    pub(super) fn count(&self) -> usize {
        self.problems.len()
    }

    pub(super) fn finish(self) -> Vec<Problem> {
        self.problems
    }
}

/// A value with the place to blame when it is wrong.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) at: Position,
}

/// The fields of one object that were not taken yet.
pub(super) struct Fields {
    pub(super) path: String,
    pub(super) at: Position,
    entries: Vec<Entry>,
}

impl Fields {
    /// The fields of `node`, which must be an object.
    pub(super) fn of(node: Node, path: String, sink: &mut Sink<'_>) -> Option<Self> {
        let at = node.at;
        match node.value {
            Value::Object(entries) => Some(Self { path, at, entries }),
            other => {
                sink.wrong(
                    at,
                    &path,
                    format!("expected an object, found {}", other.kind()),
                );
                None
            }
        }
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    /// Blames the value of a field.
    pub(super) fn wrong<T>(
        &self,
        sink: &mut Sink<'_>,
        name: &str,
        value: &At<T>,
        text: impl Into<String>,
    ) {
        sink.wrong(value.at, &self.path_of(name), text);
    }

    /// Takes all entries of a name, for keys that may be repeated. Keys differ in case only by accident, as in Consul.
    pub(super) fn take_all(&mut self, name: &str) -> Vec<Node> {
        let is = |entry: &mut Entry| entry.key.eq_ignore_ascii_case(name);
        self.entries
            .extract_if(.., is)
            .map(|entry| entry.node)
            .collect()
    }

    /// Takes a field that may come once. `null` is none.
    fn take(&mut self, name: &str, sink: &mut Sink<'_>) -> Option<Node> {
        let mut nodes = self.take_all(name).into_iter();
        let node = nodes.next()?;
        if let Some(second) = nodes.next() {
            let first = node.at;
            sink.wrong(
                second.at,
                &self.path_of(name),
                format!("given twice, first at {first}"),
            );
        }
        (node.value != Value::Null).then_some(node)
    }

    fn mismatch(&self, sink: &mut Sink<'_>, name: &str, node: &Node, expected: &str) {
        let found = node.value.kind();
        sink.wrong(
            node.at,
            &self.path_of(name),
            format!("expected {expected}, found {found}"),
        );
    }

    /// A text; the empty one is none.
    pub(super) fn text(&mut self, name: &str, sink: &mut Sink<'_>) -> Option<At<String>> {
        let node = self.take(name, sink)?;
        match node.value {
            Value::Text(value) => (!value.is_empty()).then_some(At { value, at: node.at }),
            _ => {
                self.mismatch(sink, name, &node, "a text");
                None
            }
        }
    }

    /// A whole number within bounds.
    pub(super) fn number(
        &mut self,
        name: &str,
        from: i64,
        to: i64,
        sink: &mut Sink<'_>,
    ) -> Option<i64> {
        let node = self.take(name, sink)?;
        let value = match node.value {
            Value::Integer(value) => Some(value),
            // 80.0 in JSON is a whole number too; the cast is exact, for it is compared.
            Value::Float(value) if value.fract() == 0.0 && value.abs() < 1e15 => Some(value as i64),
            _ => None,
        };
        match value {
            Some(value) if (from..=to).contains(&value) => Some(value),
            Some(value) => {
                let text = format!("expected a number from {from} to {to}, found {value}");
                sink.wrong(node.at, &self.path_of(name), text);
                None
            }
            None => {
                self.mismatch(sink, name, &node, "a whole number");
                None
            }
        }
    }

    /// A count that fits into 32 bits; absent is 0.
    pub(super) fn count(&mut self, name: &str, sink: &mut Sink<'_>) -> u32 {
        let number = self.number(name, 0, i64::from(u32::MAX), sink);
        number
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(0)
    }

    /// Yes or no; absent is no.
    pub(super) fn flag(&mut self, name: &str, sink: &mut Sink<'_>) -> bool {
        self.choice(name, sink).unwrap_or(false)
    }

    /// Yes or no, where absent is neither.
    pub(super) fn choice(&mut self, name: &str, sink: &mut Sink<'_>) -> Option<bool> {
        let node = self.take(name, sink)?;
        if let Value::Bool(value) = node.value {
            return Some(value);
        }
        self.mismatch(sink, name, &node, "true or false");
        None
    }

    /// A list of texts; absent is empty.
    pub(super) fn texts(&mut self, name: &str, sink: &mut Sink<'_>) -> Vec<String> {
        let Some(node) = self.take(name, sink) else {
            return Vec::new();
        };
        self.texts_of(name, node, sink)
    }

    fn texts_of(&self, name: &str, node: Node, sink: &mut Sink<'_>) -> Vec<String> {
        let Value::List(list) = node.value else {
            self.mismatch(sink, name, &node, "a list of texts");
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(list.len());
        for (n, node) in list.into_iter().enumerate() {
            match node.value {
                Value::Text(text) => texts.push(text),
                _ => self.mismatch(sink, &format!("{name}[{n}]"), &node, "a text"),
            }
        }
        texts
    }

    /// An object as fields of their own.
    pub(super) fn object(&mut self, name: &str, sink: &mut Sink<'_>) -> Option<Fields> {
        let node = self.take(name, sink)?;
        let path = self.path_of(name);
        Fields::of(single(node), path, sink)
    }

    /// The keys of an object that may be anything, with their values.
    pub(super) fn into_pairs(self) -> Vec<(String, Node)> {
        self.entries
            .into_iter()
            .map(|entry| (entry.key, entry.node))
            .collect()
    }

    /// An object of texts.
    pub(super) fn text_map(
        &mut self,
        name: &str,
        sink: &mut Sink<'_>,
    ) -> BTreeMap<String, At<String>> {
        let Some(fields) = self.object(name, sink) else {
            return BTreeMap::new();
        };
        let mut map = BTreeMap::new();
        for Entry { key, at, node } in fields.entries {
            let path = format!("{}.{key}", fields.path);
            match node.value {
                Value::Text(value) => {
                    if map.insert(key, At { value, at }).is_some() {
                        sink.wrong(at, &path, "given twice");
                    }
                }
                other => sink.wrong(
                    node.at,
                    &path,
                    format!("expected a text, found {}", other.kind()),
                ),
            }
        }
        map
    }

    /// An object of lists of texts.
    pub(super) fn list_map(
        &mut self,
        name: &str,
        sink: &mut Sink<'_>,
    ) -> BTreeMap<String, Vec<String>> {
        let Some(fields) = self.object(name, sink) else {
            return BTreeMap::new();
        };
        let path = fields.path.clone();
        let mut map = BTreeMap::new();
        for (key, node) in fields.into_pairs() {
            let at = node.at;
            let values = self.texts_of(&format!("{name}.{key}"), node, sink);
            if map.insert(key.clone(), values).is_some() {
                sink.wrong(at, &format!("{path}.{key}"), "given twice");
            }
        }
        map
    }

    /// A duration, judged and kept as text.
    pub(super) fn duration(&mut self, name: &str, sink: &mut Sink<'_>) -> Option<At<Duration>> {
        let node = self.take(name, sink)?;
        let Value::Text(text) = &node.value else {
            self.mismatch(sink, name, &node, "a duration as text, like \"10s\"");
            return None;
        };
        match parse_duration(text) {
            Ok(value) => Some(At { value, at: node.at }),
            Err(error) => {
                sink.wrong(node.at, &self.path_of(name), error.to_string());
                None
            }
        }
    }

    /// Ends it: whatever was not taken is unknown.
    pub(super) fn finish(self, known: &[&str], sink: &mut Sink<'_>) {
        for entry in &self.entries {
            sink.unknown(entry.at, &self.path_of(&entry.key), known);
        }
    }
}

/// HCL writes an object as a list of one now and then; Consul takes either.
fn single(node: Node) -> Node {
    match node.value {
        Value::List(mut list) if list.len() == 1 => list.swap_remove(0),
        value => Node { at: node.at, value },
    }
}
