//! The words: keys, texts, numbers, heredocs, comments.
//!
//! A cursor over a text that knows its line and column. The escapes and the heredoc are those of HCL 1; in JSON a word
//! is read by serde_json once its end is found.

use super::{Position, SyntaxError, Value};

pub(super) struct Cursor<'a> {
    rest: &'a str,
    at: Position,
    json: bool,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str, json: bool) -> Self {
        Self {
            rest: text,
            at: Position { line: 1, column: 1 },
            json,
        }
    }

    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    pub(super) fn position(&self) -> Position {
        self.at
    }

    pub(super) fn error(&self, text: impl Into<String>) -> SyntaxError {
        SyntaxError {
            at: self.at,
            text: text.into(),
        }
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        if c == '\n' {
            self.at.line = self.at.line.saturating_add(1);
            self.at.column = 1;
        } else {
            self.at.column = self.at.column.saturating_add(1);
        }
        Some(c)
    }

    /// What stands here, for a message.
    pub(super) fn found(&self) -> String {
        match self.peek() {
            None => "the end".to_owned(),
            Some('\n') => "the end of the line".to_owned(),
            Some(c) => format!("{c:?}"),
        }
    }

    fn skip(&mut self, characters: usize) {
        for _ in 0..characters {
            self.next();
        }
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let begin = self.rest;
        while self.peek().is_some_and(&belongs) {
            self.next();
        }
        &begin[..begin.len() - self.rest.len()]
    }

    /// Skips blanks, line ends and comments.
    pub(super) fn skip_blank(&mut self) -> Result<(), SyntaxError> {
        loop {
            self.take_while(char::is_whitespace);
            if self.rest.starts_with('#') || self.rest.starts_with("//") {
                self.take_while(|c| c != '\n');
            } else if self.rest.starts_with("/*") {
                let begin = self.error("this comment does not end");
                self.skip(2);
                while !self.rest.starts_with("*/") {
                    if self.next().is_none() {
                        return Err(begin);
                    }
                }
                self.skip(2);
            } else {
                return Ok(());
            }
        }
    }

    pub(super) fn key(&mut self) -> Result<String, SyntaxError> {
        match self.peek() {
            Some('"') => self.quoted(),
            Some(c) if c.is_alphabetic() || c == '_' => Ok(self.word().to_owned()),
            _ => {
                let found = self.found();
                Err(self.error(format!("expected a key, found {found}")))
            }
        }
    }

    fn word(&mut self) -> &'a str {
        self.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
    }

    pub(super) fn scalar(&mut self) -> Result<Value, SyntaxError> {
        match self.peek() {
            Some('"') => self.quoted().map(Value::Text),
            Some('<') if self.rest.starts_with("<<") => self.heredoc().map(Value::Text),
            Some(c) if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') => self.number(),
            Some(c) if c.is_alphabetic() => {
                let unread = self.error("");
                match self.word() {
                    "true" => Ok(Value::Bool(true)),
                    "false" => Ok(Value::Bool(false)),
                    "null" if self.json => Ok(Value::Null),
                    word => Err(SyntaxError {
                        text: format!("{word} is no value; a text stands in quotes: \"{word}\""),
                        ..unread
                    }),
                }
            }
            _ => {
                let found = self.found();
                Err(self.error(format!("expected a value, found {found}")))
            }
        }
    }

    fn number(&mut self) -> Result<Value, SyntaxError> {
        let unread = self.error("");
        let word = self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.'));
        let (sign, digits) = match word.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, word),
        };
        let octal = |d: &&str| !self.json && d.len() > 1 && d.bytes().all(|b| b.is_ascii_digit());
        let integer = if let Some(hex) = digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
            i64::from_str_radix(hex, 16)
                .ok()
                .filter(|_| !hex.starts_with(['+', '-']))
        } else if let Some(octal) = digits.strip_prefix('0').filter(octal) {
            i64::from_str_radix(octal, 8).ok()
        } else if digits.bytes().all(|b| b.is_ascii_digit()) {
            digits.parse().ok()
        } else {
            None
        };
        if let Some(integer) = integer {
            return Ok(Value::Integer(sign * integer));
        }
        match word.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => Err(SyntaxError {
                text: format!("{word:?} is no number"),
                ..unread
            }),
        }
    }

    /// A text in quotes. `${…}` is kept as it stands, quotes within it included, as HCL 1 does.
    fn quoted(&mut self) -> Result<String, SyntaxError> {
        let begin = self.error("this text does not end on its line");
        let source = self.rest;
        self.next();
        let mut text = String::new();
        let mut braces = 0_usize;
        loop {
            let rest = self.rest;
            match self.next() {
                None => return Err(begin),
                Some('"') if braces == 0 => break,
                Some('\n') if braces == 0 => return Err(begin),
                Some('\\') if braces == 0 => {
                    if self.json {
                        self.next();
                    } else {
                        text.push(self.escape()?);
                    }
                }
                Some(c) => {
                    match c {
                        '$' if !self.json && braces == 0 && rest.starts_with("${") => {
                            text.push(c);
                            self.next();
                            text.push('{');
                            braces = 1;
                            continue;
                        }
                        '{' if braces > 0 => braces += 1,
                        '}' if braces > 0 => braces -= 1,
                        _ => {}
                    }
                    text.push(c);
                }
            }
        }
        if !self.json {
            return Ok(text);
        }
        let token = &source[..source.len() - self.rest.len()];
        serde_json::from_str(token).map_err(|error| SyntaxError {
            text: format!("not a JSON text: {error}"),
            ..begin
        })
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let wrong = self.error(
            "no such escape in a text: use \\n \\t \\r \\\" \\\\ \\xNN \\uNNNN or \\UNNNNNNNN",
        );
        let c = match self.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some('r') => '\r',
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('v') => '\u{b}',
            Some(c @ ('"' | '\\')) => c,
            Some(c @ ('x' | 'u' | 'U')) => {
                let length = match c {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let digits = self
                    .rest
                    .get(..length)
                    .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                let c = code.and_then(char::from_u32);
                self.skip(length);
                return c.ok_or(wrong);
            }
            _ => return Err(wrong),
        };
        Ok(c)
    }

    /// `<<MARK` or `<<-MARK`: the lines up to one that holds nothing but the mark.
    fn heredoc(&mut self) -> Result<String, SyntaxError> {
        let begin = self.error("this heredoc does not end: its mark must stand alone on a line");
        self.skip(2);
        let indented = self.peek() == Some('-');
        if indented {
            self.next();
        }
        let mark = self.take_while(|c| c.is_alphanumeric() || c == '_');
        self.take_while(|c| c == '\r');
        if mark.is_empty() || self.next() != Some('\n') {
            return Err(SyntaxError {
                text: "a heredoc begins with << or <<- and a mark, which ends the line".to_owned(),
                ..begin
            });
        }
        let mut lines: Vec<&str> = Vec::new();
        loop {
            let line = self.take_while(|c| c != '\n');
            if line.trim() == mark {
                break;
            }
            if self.next().is_none() {
                return Err(begin);
            }
            lines.push(line.trim_end_matches('\r'));
        }
        let depth = |line: &&str| line.len() - line.trim_start_matches([' ', '\t']).len();
        let cut = if indented {
            lines
                .iter()
                .filter(|line| !line.trim().is_empty())
                .map(depth)
                .min()
                .unwrap_or(0)
        } else {
            0
        };
        Ok(lines
            .iter()
            .map(|line| format!("{}\n", line.get(cut..).unwrap_or_default()))
            .collect())
    }
}
