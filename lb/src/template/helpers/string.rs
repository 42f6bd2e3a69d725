//! Texts: taken apart, put together, changed. The text always stands first.

use regex::Regex;
use serde_json::{Map, Value};

use super::Pure;
use super::arguments::{Arguments, Outcome, scalar, shown};
use super::format::printf;

/// The longest text a helper makes by repetition.
const MAX_REPEATED: usize = 1 << 20;

pub(super) const HELPERS: &[Pure] = &[
    Pure("join", "(join LIST SEPARATOR)", join),
    Pure("split", "(split TEXT SEPARATOR)", split),
    Pure(
        "splitToMap",
        "(splitToMap TEXT BETWEEN_PAIRS BETWEEN_KEY_AND_VALUE)",
        split_to_map,
    ),
    Pure("trim", "(trim TEXT CHARACTERS)", |a| {
        let cut: Vec<char> = a.text(1)?.chars().collect();
        Ok(a.text(0)?.trim_matches(cut.as_slice()).into())
    }),
    Pure("trimPrefix", "(trimPrefix TEXT PREFIX)", |a| {
        let text = a.text(0)?;
        Ok(text.strip_prefix(a.text(1)?).unwrap_or(text).into())
    }),
    Pure("trimSuffix", "(trimSuffix TEXT SUFFIX)", |a| {
        let text = a.text(0)?;
        Ok(text.strip_suffix(a.text(1)?).unwrap_or(text).into())
    }),
    Pure("trimSpace", "(trimSpace TEXT)", |a| {
        Ok(a.text(0)?.trim().into())
    }),
    Pure("replaceAll", "(replaceAll TEXT FROM TO)", |a| {
        Ok(a.text(0)?.replace(a.text(1)?, a.text(2)?).into())
    }),
    Pure(
        "regexReplaceAll",
        "(regexReplaceAll TEXT REGEX REPLACEMENT)",
        |a| {
            Ok(regex(a.text(1)?)?
                .replace_all(a.text(0)?, a.text(2)?)
                .into())
        },
    ),
    Pure("regexMatch", "(regexMatch TEXT REGEX)", |a| {
        Ok(regex(a.text(1)?)?.is_match(a.text(0)?).into())
    }),
    Pure("indent", "(indent TEXT SPACES)", |a| {
        Ok(indent(a.text(0)?, a.size(1)?)?.into())
    }),
    Pure("nindent", "(nindent TEXT SPACES)", |a| {
        Ok(format!("\n{}", indent(a.text(0)?, a.size(1)?)?).into())
    }),
    Pure("toLower", "(toLower TEXT)", |a| {
        Ok(a.text(0)?.to_lowercase().into())
    }),
    Pure("toUpper", "(toUpper TEXT)", |a| {
        Ok(a.text(0)?.to_uppercase().into())
    }),
    Pure(
        "toTitle",
        "(toTitle TEXT)",
        |a| Ok(title(a.text(0)?).into()),
    ),
    Pure("hasPrefix", "(hasPrefix TEXT PREFIX)", |a| {
        Ok(a.text(0)?.starts_with(a.text(1)?).into())
    }),
    Pure("hasSuffix", "(hasSuffix TEXT SUFFIX)", |a| {
        Ok(a.text(0)?.ends_with(a.text(1)?).into())
    }),
    Pure("repeat", "(repeat TEXT TIMES)", |a| {
        repeat(a.text(0)?, a.size(1)?)
    }),
    Pure("trunc", "(trunc TEXT LENGTH)", |a| {
        Ok(a.text(0)?
            .chars()
            .take(a.size(1)?)
            .collect::<String>()
            .into())
    }),
    Pure("substr", "(substr TEXT FROM TO)", |a| {
        let (from, to) = (a.size(1)?, a.size(2)?);
        let part = a.text(0)?.chars().take(to).skip(from);
        Ok(part.collect::<String>().into())
    }),
    Pure("quote", "(quote TEXT)", |a| {
        Ok(Value::from(a.scalar(0)?).to_string().into())
    }),
    Pure("squote", "(squote TEXT)", |a| {
        Ok(format!("'{}'", a.scalar(0)?).into())
    }),
    Pure("print", "(print VALUE…)", |a| {
        Ok(printed(&a.rest(0)?, "").into())
    }),
    Pure("println", "(println VALUE…)", |a| {
        Ok(format!("{}\n", printed(&a.rest(0)?, " ")).into())
    }),
    Pure("printf", "(printf FORMAT VALUE…)", |a| {
        Ok(printf(a.text(0)?, &a.rest(1)?)?.into())
    }),
    Pure("html", "(html TEXT)", |a| {
        Ok(handlebars::html_escape(a.text(0)?).into())
    }),
    Pure("js", "(js TEXT)", |a| {
        let quoted = Value::from(a.text(0)?).to_string();
        let inner = &quoted[1..quoted.len() - 1];
        let escaped = inner
            .replace('\'', "\\'")
            .replace('<', "\\u003C")
            .replace('>', "\\u003E");
        Ok(escaped.replace('&', "\\u0026").into())
    }),
    Pure("urlquery", "(urlquery TEXT)", |a| {
        Ok(url_query(&a.scalar(0)?).into())
    }),
];

fn join(a: &Arguments<'_, '_>) -> Outcome {
    let separator = a.text(1)?;
    let parts: Result<Vec<String>, String> = a
        .list(0)?
        .iter()
        .map(|part| {
            scalar(part).ok_or_else(|| {
                format!(
                    "expected texts or numbers in the list, found {}",
                    shown(part)
                )
            })
        })
        .collect();
    Ok(parts?.join(separator).into())
}

/// An empty text has no parts; blanks around the parts go.
fn split(a: &Arguments<'_, '_>) -> Outcome {
    let (text, separator) = (a.text(0)?.trim(), a.text(1)?);
    if text.is_empty() {
        return Ok(Value::Array(Vec::new()));
    }
    Ok(text
        .split(separator)
        .map(|part| Value::from(part.trim()))
        .collect())
}

fn split_to_map(a: &Arguments<'_, '_>) -> Outcome {
    let (text, outer, inner) = (a.text(0)?, a.text(1)?, a.text(2)?);
    let mut map = Map::new();
    for part in text
        .split(outer)
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (key, value) = part.split_once(inner).unwrap_or((part, ""));
        map.insert(key.trim().to_owned(), value.trim().into());
    }
    Ok(Value::Object(map))
}

/// A size for what a regular expression may compile to: a template is trusted, but a slip should not eat the machine.
const REGEX_SIZE: usize = 1 << 20;

pub(super) fn regex(text: &str) -> Result<Regex, String> {
    let built = regex::RegexBuilder::new(text)
        .size_limit(REGEX_SIZE)
        .build();
    built.map_err(|error| {
        let reason = error.to_string();
        let last = reason.lines().last().unwrap_or_default().trim();
        format!("{text:?} is no regular expression: {last}")
    })
}

/// Lines that are empty stay empty.
fn indent(text: &str, spaces: usize) -> Result<String, String> {
    /// Wider than any screen.
    const MOST: usize = 1_000;
    if spaces > MOST {
        return Err(format!("expected at most {MOST} spaces, found {spaces}"));
    }
    let line = |line: &str| {
        if line.is_empty() {
            String::new()
        } else {
            format!("{}{line}", " ".repeat(spaces))
        }
    };
    Ok(text.split('\n').map(line).collect::<Vec<_>>().join("\n"))
}

fn title(text: &str) -> String {
    let mut start = true;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if start {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        start = !(c.is_alphanumeric() || c == '\'' || c == '_');
    }
    out
}

fn repeat(text: &str, times: usize) -> Outcome {
    if text.len().saturating_mul(times) > MAX_REPEATED {
        return Err(format!(
            "the result would be longer than {MAX_REPEATED} bytes"
        ));
    }
    Ok(text.repeat(times).into())
}

fn printed(values: &[&Value], separator: &str) -> String {
    let parts: Vec<String> = values
        .iter()
        .map(|value| super::format::plain(value))
        .collect();
    parts.join(separator)
}

/// As in a URL's query: letters, digits and `-_.~` stay, a blank becomes `+`.
fn url_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
