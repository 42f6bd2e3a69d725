//! The first JSON value of a body, with the errors Go's decoder would give. It does not look inside the value.

use serde_json::Value;
use serde_json::error::Category;

use super::{BodyError, Result};

/// Reads the first value; what comes after it is ignored.
pub(super) fn parse(body: &[u8]) -> Result<Value> {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    match values.next() {
        Some(Ok(value)) => Ok(value),
        None => Err(BodyError("EOF".into())),
        Some(Err(error)) if error.classify() == Category::Eof => {
            Err(BodyError("unexpected EOF".into()))
        }
        Some(Err(error)) => Err(BodyError(syntax(body, &error))),
    }
}

/// Go names the character that is wrong and what it was looking for; the parser here knows where it is.
fn syntax(body: &[u8], error: &serde_json::Error) -> String {
    let line = body
        .split(|byte| *byte == b'\n')
        .nth(error.line().saturating_sub(1));
    let at = error.column().saturating_sub(1);
    let found = line
        .and_then(|line| line.get(at..))
        .map(String::from_utf8_lossy)
        .and_then(|rest| rest.chars().next());
    let Some(found) = found else {
        return error.to_string();
    };
    let text = error.to_string();
    let looking = if text.contains("trailing comma") || text.contains("key must be a string") {
        "looking for beginning of object key string"
    } else if text.contains("expected `,` or `}`") {
        "after object key:value pair"
    } else if text.contains("expected `,` or `]`") {
        "after array element"
    } else if text.contains("expected `:`") {
        "after object key"
    } else if text.contains("control character") {
        "in string literal"
    } else {
        "looking for beginning of value"
    };
    format!("invalid character {found:?} {looking}")
}
