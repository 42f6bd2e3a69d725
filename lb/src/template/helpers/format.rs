//! `printf` with the verbs that configuration files need: `%s %v %d %q %x %f %t %%`, with width, `-`, `0` and precision.

use handlebars::JsonRender;
use serde_json::Value;

use super::arguments::{Number, shown};

/// The widest field: a slip of the pen should not fill the memory.
const MAX_WIDTH: usize = 1_000;

/// A value as text: lists and maps as JSON.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => value.to_string(),
        _ => value.render(),
    }
}

/// Go's `fmt.Sprintf`, as far as it makes sense for JSON values.
pub(super) fn printf(format: &str, values: &[&Value]) -> Result<String, String> {
    let mut out = String::with_capacity(format.len());
    let mut values = values.iter();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let (verb, after) = Verb::read(after)?;
        rest = after;
        if verb.letter == '%' {
            out.push('%');
            continue;
        }
        let value = values
            .next()
            .ok_or_else(|| format!("%{} has no value", verb.letter))?;
        out.push_str(&verb.padded(verb.write(value)?));
    }
    out.push_str(rest);
    match values.next() {
        None => Ok(out),
        Some(value) => Err(format!("no % for {}", shown(value))),
    }
}

#[derive(Debug)]
struct Verb {
    left: bool,
    zeros: bool,
    width: usize,
    precision: Option<usize>,
    letter: char,
}

impl Verb {
    fn read(text: &str) -> Result<(Self, &str), String> {
        let flags = text.len() - text.trim_start_matches(['-', '0', '+', ' ', '#']).len();
        let (flags, rest) = text.split_at(flags);
        let (width, rest) = digits(rest)?;
        let (precision, rest) = match rest.strip_prefix('.') {
            Some(rest) => digits(rest).map(|(digits, rest)| (Some(digits), rest))?,
            None => (None, rest),
        };
        let letter = rest.chars().next().ok_or("a % stands at the end")?;
        let verb = Self {
            left: flags.contains('-'),
            zeros: flags.contains('0'),
            width,
            precision,
            letter,
        };
        Ok((verb, &rest[letter.len_utf8()..]))
    }

    fn write(&self, value: &Value) -> Result<String, String> {
        let wrong = |expected: &str| {
            format!(
                "%{}: expected {expected}, found {}",
                self.letter,
                shown(value)
            )
        };
        Ok(match self.letter {
            's' | 'v' => {
                let text = plain(value);
                match self.precision {
                    Some(most) => text.chars().take(most).collect(),
                    None => text,
                }
            }
            'q' => Value::from(plain(value)).to_string(),
            't' => value
                .as_bool()
                .ok_or_else(|| wrong("true or false"))?
                .to_string(),
            'd' => match Number::of(value) {
                Some(Number::Int(number)) => number.to_string(),
                _ => return Err(wrong("an integer")),
            },
            'x' => match (Number::of(value), value.as_str()) {
                (Some(Number::Int(number)), _) => format!("{number:x}"),
                (_, Some(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
                _ => return Err(wrong("an integer or a text")),
            },
            'f' => {
                let number = Number::of(value).ok_or_else(|| wrong("a number"))?;
                format!("{:.*}", self.precision.unwrap_or(6), number.float())
            }
            letter => {
                return Err(format!(
                    "%{letter} is not known; there are %s %v %d %q %x %f %t %%"
                ));
            }
        })
    }

    fn padded(&self, text: String) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        if self.left {
            return text + &" ".repeat(missing);
        }
        if self.zeros && self.letter != 's' {
            let (sign, digits) = text.split_at(usize::from(text.starts_with('-')));
            return format!("{sign}{}{digits}", "0".repeat(missing));
        }
        " ".repeat(missing) + &text
    }
}

fn digits(text: &str) -> Result<(usize, &str), String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    if number.is_empty() {
        return Ok((0, rest));
    }
    let number = number.parse().ok().filter(|number| *number <= MAX_WIDTH);
    Ok((
        number.ok_or_else(|| format!("a width above {MAX_WIDTH}"))?,
        rest,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn as_go_writes_it() {
        for (format, values, expected) in [
            ("%s-%d", vec![json!("a"), json!(7)], "a-7"),
            (
                "%05d|%-4d|%4d|%05d",
                vec![json!(42), json!(1), json!(2), json!(-3)],
                "00042|1   |   2|-0003",
            ),
            (
                "%q %v %t",
                vec![json!("a\"b"), json!([1, 2]), json!(true)],
                "\"a\\\"b\" [1,2] true",
            ),
            (
                "%.2f %x %x 100%%",
                vec![json!(1.239), json!(255), json!("hi")],
                "1.24 ff 6869 100%",
            ),
            (
                "%8s|%-8s|%.2s",
                vec![json!("ä"), json!("b"), json!("cde")],
                "       ä|b       |cd",
            ),
        ] {
            let values: Vec<&Value> = values.iter().collect();
            assert_eq!(printf(format, &values).as_deref(), Ok(expected), "{format}");
        }
        for (format, values) in [
            ("%d", vec![json!("x")]),
            ("%s", vec![]),
            ("%", vec![]),
            ("%y", vec![json!(1)]),
            ("", vec![json!(1)]),
            ("%9999d", vec![json!(1)]),
        ] {
            let values: Vec<&Value> = values.iter().collect();
            assert!(printf(format, &values).is_err(), "{format}");
        }
    }
}
