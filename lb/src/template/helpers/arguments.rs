//! What a helper was given, read as what it expects; the error says what was expected and what was found.

use handlebars::{Helper, JsonRender, PathAndJson};
use serde_json::{Map, Value};

/// What a helper makes of its arguments, or what it expected instead.
pub(super) type Outcome = Result<Value, String>;

/// An integer while it can be, else a floating-point number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    pub(super) fn float(self) -> f64 {
        match self {
            // Beyond 2^53 it is the nearest one, as everywhere.
            Self::Int(number) => number as f64,
            Self::Float(number) => number,
        }
    }

    pub(super) fn of(value: &Value) -> Option<Self> {
        let number = value.as_number()?;
        match number.as_i64() {
            Some(int) => Some(Self::Int(int)),
            None => number.as_f64().map(Self::Float),
        }
    }

    pub(super) fn value(self) -> Outcome {
        match self {
            Self::Int(number) => Ok(number.into()),
            Self::Float(number) => serde_json::Number::from_f64(number)
                .map(Value::Number)
                .ok_or_else(|| "the result is no number".to_owned()),
        }
    }
}

/// The arguments of one call.
pub(super) struct Arguments<'a, 'rc>(pub(super) &'a Helper<'rc>);

impl<'a, 'rc> Arguments<'a, 'rc> {
    /// How many stand by their place.
    pub(super) fn count(&self) -> usize {
        self.0.params().len()
    }

    /// The argument at a place, from 0, if it is there at all.
    pub(super) fn maybe(&self, place: usize) -> Option<&'a Value> {
        let given = self
            .0
            .param(place)
            .filter(|given| !given.is_value_missing());
        given.map(PathAndJson::value)
    }

    /// The argument at a place, whatever it is.
    pub(super) fn any(&self, place: usize) -> Result<&'a Value, String> {
        match self.0.param(place) {
            Some(given) if !given.is_value_missing() => Ok(given.value()),
            Some(given) => Err(format!(
                "there is no {}",
                given.relative_path().map_or("such value", String::as_str)
            )),
            None => Err(format!("argument {} is missing", place + 1)),
        }
    }

    /// All from a place on.
    pub(super) fn rest(&self, from: usize) -> Result<Vec<&'a Value>, String> {
        (from..self.count()).map(|place| self.any(place)).collect()
    }

    pub(super) fn text(&self, place: usize) -> Result<&'a str, String> {
        let value = self.any(place)?;
        value.as_str().ok_or_else(|| wrong(place, "a text", value))
    }

    /// A text, a number or a truth value as text.
    pub(super) fn scalar(&self, place: usize) -> Result<String, String> {
        let value = self.any(place)?;
        scalar(value).ok_or_else(|| wrong(place, "a text or a number", value))
    }

    pub(super) fn number(&self, place: usize) -> Result<Number, String> {
        let value = self.any(place)?;
        Number::of(value).ok_or_else(|| {
            let more = if value.is_string() {
                " (see parseInt)"
            } else {
                ""
            };
            format!("{}{more}", wrong(place, "a number", value))
        })
    }

    /// An integer, or a text that is one: values of keys are texts.
    pub(super) fn integer(&self, place: usize) -> Result<i64, String> {
        let value = self.any(place)?;
        let number = value
            .as_i64()
            .or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
        number.ok_or_else(|| wrong(place, "an integer", value))
    }

    /// An integer that counts something.
    pub(super) fn size(&self, place: usize) -> Result<usize, String> {
        let number = self.integer(place)?;
        usize::try_from(number).map_err(|_| format!("expected 0 or more, found {number}"))
    }

    pub(super) fn list(&self, place: usize) -> Result<&'a Vec<Value>, String> {
        let value = self.any(place)?;
        value
            .as_array()
            .ok_or_else(|| wrong(place, "a list", value))
    }

    pub(super) fn map(&self, place: usize) -> Result<&'a Map<String, Value>, String> {
        let value = self.any(place)?;
        value
            .as_object()
            .ok_or_else(|| wrong(place, "a map", value))
    }

    /// A named argument, if it is given.
    pub(super) fn named(&self, name: &str) -> Option<&'a Value> {
        self.0.hash_get(name).map(PathAndJson::value)
    }

    /// A named argument that is a text; an empty one counts as not given.
    pub(super) fn named_text(&self, name: &str) -> Result<Option<String>, String> {
        match self.named(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(value) => scalar(value)
                .map(Some)
                .ok_or_else(|| format!("expected {name}=TEXT, found {}", shown(value))),
        }
    }

    /// Refuses named arguments that nobody reads: a slip of the pen would go unnoticed.
    pub(super) fn only_named(&self, known: &[&str]) -> Result<(), String> {
        let unknown = self.0.hash().keys().find(|name| !known.contains(*name));
        match unknown {
            None => Ok(()),
            Some(name) if known.is_empty() => Err(format!("{name}= is not known")),
            Some(name) => Err(format!(
                "{name}= is not known; there are {}",
                known.join(" ")
            )),
        }
    }

    /// Refuses more than `most` arguments.
    pub(super) fn at_most(&self, most: usize) -> Result<(), String> {
        if self.count() <= most {
            return Ok(());
        }
        Err(format!("{} arguments are too many", self.count()))
    }
}

/// A text, a number or a truth value as text.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.render()),
        _ => None,
    }
}

fn wrong(place: usize, expected: &str, found: &Value) -> String {
    format!(
        "expected {expected} as argument {}, found {}",
        place + 1,
        shown(found)
    )
}

/// A value in a few words.
pub(super) fn shown(value: &Value) -> String {
    /// Enough to recognize it.
    const SHOWN: usize = 40;
    let text = value.to_string();
    let kind = match value {
        Value::Array(_) => "the list ",
        Value::Object(_) => "the map ",
        _ => "",
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{kind}{}…", &text[..end]),
        None => format!("{kind}{text}"),
    }
}
