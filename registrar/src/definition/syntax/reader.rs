//! The grammar: objects, lists and values.
//!
//! JSON goes through serde_json first, which knows what JSON is; what remains is to find out where things stand, and
//! for that JSON and HCL are alike.

use serde::de::IgnoredAny;

use super::text::Cursor;
use super::{DEPTH_LIMIT, Entry, FILE_LIMIT, Format, Node, Position, SyntaxError, Value};

/// Reads a text whole; the root is always an object.
pub(crate) fn read(text: &str, format: Format) -> Result<Vec<Entry>, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > FILE_LIMIT {
        return Err(SyntaxError {
            at: Position { line: 1, column: 1 },
            text: format!(
                "a file has at most {FILE_LIMIT} bytes, this one {}",
                text.len()
            ),
        });
    }
    let json = format == Format::Json || text.trim_start().starts_with('{');
    if json {
        is_json(text)?;
    }
    let mut reader = Reader {
        cursor: Cursor::new(text, json),
        depth: 0,
    };
    reader.cursor.skip_blank()?;
    if !json {
        return reader.entries(None);
    }
    let at = reader.cursor.position();
    match reader.value()?.value {
        Value::Object(entries) => Ok(entries),
        other => Err(SyntaxError {
            at,
            text: format!(
                "expected an object with service, services, check or checks, found {}",
                other.kind()
            ),
        }),
    }
}

fn is_json(text: &str) -> Result<(), SyntaxError> {
    let wrong = |error: serde_json::Error| {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).max(1);
        let at = Position {
            line: number(error.line()),
            column: number(error.column()),
        };
        let said = error.to_string();
        let said = said
            .rsplit_once(" at line")
            .map_or(said.as_str(), |(said, _)| said);
        SyntaxError {
            at,
            text: format!("not JSON: {said}"),
        }
    };
    serde_json::from_str::<IgnoredAny>(text)
        .map(drop)
        .map_err(wrong)
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    depth: usize,
}

impl Reader<'_> {
    /// Entries up to `end`, which is consumed, or up to the end of the text.
    fn entries(&mut self, end: Option<Position>) -> Result<Vec<Entry>, SyntaxError> {
        let mut entries = Vec::new();
        loop {
            self.cursor.skip_blank()?;
            match (self.cursor.peek(), end) {
                (None, None) => return Ok(entries),
                (None, Some(begin)) => {
                    return Err(self
                        .cursor
                        .error(format!("the text ends within the block opened at {begin}")));
                }
                (Some('}'), Some(_)) => {
                    self.cursor.next();
                    return Ok(entries);
                }
                (Some(','), _) if !entries.is_empty() => {
                    self.cursor.next();
                }
                _ => entries.push(self.entry()?),
            }
        }
    }

    fn entry(&mut self) -> Result<Entry, SyntaxError> {
        let at = self.cursor.position();
        let key = self.cursor.key()?;
        self.cursor.skip_blank()?;
        let json = self.cursor.is_json();
        match self.cursor.peek() {
            Some('=') if !json => self.cursor.next(),
            Some(':') if json => self.cursor.next(),
            Some('{') if !json => None,
            // HCL's labels are keys within keys: `service "web" {` is `service { web {`.
            Some(c) if !json && (c == '"' || c.is_alphabetic()) => {
                self.enter()?;
                let begin = self.cursor.position();
                let inner = self.entry()?;
                self.depth -= 1;
                let node = Node {
                    at: begin,
                    value: Value::Object(vec![inner]),
                };
                return Ok(Entry { key, at, node });
            }
            _ => {
                let found = self.cursor.found();
                return Err(self
                    .cursor
                    .error(format!("expected = or {{ after {key:?}, found {found}")));
            }
        };
        self.cursor.skip_blank()?;
        let node = self.value()?;
        Ok(Entry { key, at, node })
    }

    fn value(&mut self) -> Result<Node, SyntaxError> {
        let at = self.cursor.position();
        let value = match self.cursor.peek() {
            Some('{') => {
                self.cursor.next();
                self.enter()?;
                let entries = self.entries(Some(at))?;
                self.depth -= 1;
                Value::Object(entries)
            }
            Some('[') => {
                self.cursor.next();
                self.enter()?;
                let list = self.list(at)?;
                self.depth -= 1;
                Value::List(list)
            }
            _ => self.cursor.scalar()?,
        };
        Ok(Node { at, value })
    }

    fn list(&mut self, begin: Position) -> Result<Vec<Node>, SyntaxError> {
        let mut list = Vec::new();
        loop {
            self.cursor.skip_blank()?;
            match self.cursor.peek() {
                Some(']') => {
                    self.cursor.next();
                    return Ok(list);
                }
                None => {
                    return Err(self
                        .cursor
                        .error(format!("the text ends within the list opened at {begin}")));
                }
                _ => list.push(self.value()?),
            }
            self.cursor.skip_blank()?;
            match self.cursor.peek() {
                Some(',') => {
                    self.cursor.next();
                }
                Some(']') | None => {}
                Some(_) => {
                    let found = self.cursor.found();
                    return Err(self
                        .cursor
                        .error(format!("expected , or ] in a list, found {found}")));
                }
            }
        }
    }

    fn enter(&mut self) -> Result<(), SyntaxError> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(self
                .cursor
                .error(format!("more than {DEPTH_LIMIT} levels within each other")));
        }
        Ok(())
    }
}
