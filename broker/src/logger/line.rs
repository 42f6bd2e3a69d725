//! Trace lines for people: a JSON object as `WHEN EVENT name=value …`; any other line stays as it is.

use std::fmt::Write;

use serde_json::{Map, Value};

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// As they come.
    #[default]
    Json,
    /// Objects as text.
    Text,
}

/// The line in this format.
pub(super) fn render(line: Vec<u8>, format: Format) -> Vec<u8> {
    if format == Format::Json {
        return line;
    }
    match serde_json::from_slice::<Map<String, Value>>(&line) {
        Ok(object) => text(&object).into_bytes(),
        Err(_) => line,
    }
}

fn text(object: &Map<String, Value>) -> String {
    let mut text = String::new();
    for name in ["ts", "event"] {
        if let Some(value) = object.get(name) {
            let _ = write!(text, "{} ", plain(value)); // writing to a string does not fail
        }
    }
    for (name, value) in object
        .iter()
        .filter(|(name, _)| *name != "ts" && *name != "event")
    {
        let _ = write!(text, "{name}={} ", plain(value));
    }
    text.truncate(text.trim_end().len());
    text
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains([' ', '"', '=']) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_become_text_and_the_rest_stays() {
        for (line, want) in [
            (
                r#"{"broker":"mq","event":"answered","ts":5,"code":200}"#,
                "5 answered broker=mq code=200",
            ),
            (r#"{"event":"x","text":"a b"}"#, r#"x text="a b""#),
            ("frontend: cl=1, msg=a", "frontend: cl=1, msg=a"),
            ("[1]", "[1]"),
            ("{}", ""),
        ] {
            let text = render(line.as_bytes().to_vec(), Format::Text);
            let sorted = |text: &str| {
                let mut words: Vec<_> = text.split(' ').map(str::to_owned).collect();
                words.sort();
                words
            };
            assert_eq!(sorted(&String::from_utf8_lossy(&text)), sorted(want));
            assert_eq!(
                render(line.as_bytes().to_vec(), Format::Json),
                line.as_bytes()
            );
        }
    }
}
