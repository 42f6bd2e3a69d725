//! What a comparison is made of: selectors, numbers and texts, quoted as Go quotes them. It does not know operators.

use super::Parser;

impl Parser<'_> {
    /// `A.b["c"]`.
    pub(super) fn selector(&mut self) -> Option<Vec<String>> {
        let mut path = vec![self.identifier()?];
        loop {
            if self.rest().starts_with('[') {
                let index = self.attempt(|p| {
                    p.token("[")?;
                    p.blank();
                    let key = p.string()?;
                    p.blank();
                    p.token("]")?;
                    Some(key)
                });
                match index {
                    Some(key) => path.push(key),
                    None => {
                        return self.fault(self.at, "rule \"index\": Unclosed index expression");
                    }
                }
            } else if self.rest().starts_with('.') {
                let more = self.attempt(|p| {
                    p.token(".")?;
                    p.identifier()
                });
                path.push(more?);
            } else {
                return Some(path);
            }
        }
    }

    fn identifier(&mut self) -> Option<String> {
        let rest = self.rest();
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return self.fail();
        }
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let found = rest[..end].to_owned();
        self.at += end;
        Some(found)
    }

    pub(super) fn value(&mut self) -> Option<String> {
        if let Some(path) = self.attempt(Self::selector) {
            return Some(path.join("."));
        }
        if self
            .rest()
            .starts_with(|c: char| c.is_ascii_digit() || c == '-')
        {
            return self.number();
        }
        self.string()
    }

    fn number(&mut self) -> Option<String> {
        let rest = self.rest();
        let end = rest
            .find([' ', '\t', '\r', '\n', ')'])
            .unwrap_or(rest.len());
        let number = &rest[..end];
        let digits = number.strip_prefix('-').unwrap_or(number);
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let valid =
            all_digits(whole) && all_digits(part) && (whole == "0" || !whole.starts_with('0'));
        if !valid {
            return self.fault(self.at, "rule \"number\": Invalid number literal");
        }
        let found = number.to_owned();
        self.at += end;
        Some(found)
    }

    fn string(&mut self) -> Option<String> {
        let rest = self.rest();
        let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '`')) else {
            return self.fail();
        };
        let Some(end) = rest[1..].find(quote) else {
            return self.fault(
                self.text.len(),
                "rule \"string\": Unterminated string literal",
            );
        };
        let found = &rest[1..=end];
        let found = if quote == '"' {
            match unquoted(found) {
                Some(found) => found,
                // The grammar ends the text at the first quote, escaped or not, and then finds the escape broken.
                None => return self.fault(self.at, "rule \"string\": invalid syntax"),
            }
        } else {
            found.to_owned()
        };
        self.at += end + 2;
        Some(found)
    }
}

/// A text in double quotes without them, its escapes resolved as Go does; `None` if one is not known.
fn unquoted(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            if c == '\n' {
                return None;
            }
            out.push(c);
            continue;
        }
        out.push(match rest.next()? {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '\\' => '\\',
            kind @ ('x' | 'u' | 'U') => {
                let digits = match kind {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let mut code = 0;
                for _ in 0..digits {
                    code = code * 16 + rest.next()?.to_digit(16)?;
                }
                // A byte that is no character by itself would make text that JSON cannot hold.
                char::from_u32(code).filter(|_| kind != 'x' || code < 0x80)?
            }
            _ => return None,
        });
    }
    Some(out)
}
