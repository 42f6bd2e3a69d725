//! Takes the fields of a JSON object one by one, each as the type Consul's structs have, and refuses what is left over.
//! A wrong type is reported as Go does it: by the path of the field and its Go type. It does not know any field's name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{BodyError, Result};

/// An object being read.
pub(super) struct Fields {
    map: Map<String, Value>,
    /// What Go prints before a field's name: the struct's name and the fields on the way to it.
    path: Path,
}

/// How errors name a field.
#[derive(Clone)]
pub(super) enum Path {
    /// `prefix.Field`.
    Under(String),
    /// Always the same text: inside values with a decoder of their own, Go names only the outer field.
    At(String),
}

impl Path {
    fn of(&self, field: &str) -> String {
        match self {
            Path::Under(prefix) => format!("{prefix}.{field}"),
            Path::At(text) => text.clone(),
        }
    }
}

impl Fields {
    /// The fields of `value`; `null` has none. `field` is its own place in errors, `of_type` its Go type.
    pub(super) fn new(value: Value, path: Path, of_type: &str) -> Result<Fields> {
        match value {
            Value::Object(map) => Ok(Fields { map, path }),
            Value::Null => Ok(Fields {
                map: Map::new(),
                path,
            }),
            other => Err(BodyError(format!(
                "json: cannot unmarshal {} into Go {of_type}",
                kind(&other)
            ))),
        }
    }

    /// Takes a field, whatever the case of its name; `null` counts as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        let value = match self.map.remove(name) {
            Some(value) => value,
            None => {
                let key = self
                    .map
                    .keys()
                    .find(|key| key.eq_ignore_ascii_case(name))?
                    .clone();
                self.map.remove(&key)?
            }
        };
        (!value.is_null()).then_some(value)
    }

    /// Undoes `take`.
    pub(super) fn put_back(&mut self, name: &str, value: Value) {
        self.map.insert(name.to_owned(), value);
    }

    /// Takes fields that are accepted and not used.
    pub(super) fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.take(name);
        }
    }

    pub(super) fn string(&mut self, name: &str) -> Result<String> {
        match self.take(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(self.wrong(&other, name, "string")),
        }
    }

    pub(super) fn boolean(&mut self, name: &str) -> Result<bool> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(yes)) => Ok(yes),
            Some(other) => Err(self.wrong(&other, name, "bool")),
        }
    }

    pub(super) fn integer(&mut self, name: &str) -> Result<i64> {
        match self.take(name) {
            None => Ok(0),
            Some(value) => value
                .as_i64()
                .ok_or_else(|| self.wrong(&value, name, "int")),
        }
    }

    pub(super) fn unsigned(&mut self, name: &str) -> Result<u64> {
        match self.take(name) {
            None => Ok(0),
            Some(value) => value
                .as_u64()
                .ok_or_else(|| self.wrong(&value, name, "uint64")),
        }
    }

    pub(super) fn strings(&mut self, name: &str) -> Result<Vec<String>> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(value) => self.string_list(value, name),
        }
    }

    pub(super) fn string_map(&mut self, name: &str) -> Result<Option<BTreeMap<String, String>>> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let map = self.object(value, name, "map[string]string")?;
        map.into_iter()
            .map(|(key, value)| match value {
                Value::String(text) => Ok((key, text)),
                Value::Null => Ok((key, String::new())),
                other => Err(self.wrong(&other, name, "string")),
            })
            .collect::<Result<_>>()
            .map(Some)
    }

    pub(super) fn list_map(&mut self, name: &str) -> Result<BTreeMap<String, Vec<String>>> {
        let Some(value) = self.take(name) else {
            return Ok(BTreeMap::new());
        };
        let map = self.object(value, name, "map[string][]string")?;
        map.into_iter()
            .map(|(key, value)| Ok((key, self.string_list(value, name)?)))
            .collect()
    }

    /// A duration in nanoseconds: a text with units or a number; anything else counts as absent, as in Consul.
    pub(super) fn duration(&mut self, name: &str) -> Result<i64> {
        match self.take(name) {
            Some(Value::String(text)) => super::super::duration::parse(&text).map_err(BodyError),
            Some(Value::Number(number)) => Ok(nanoseconds(&number)),
            _ => Ok(0),
        }
    }

    /// The elements of a list; `of_type` is the list's Go type.
    pub(super) fn list(&mut self, name: &str, of_type: &str) -> Result<Vec<Value>> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items),
            Some(other) => Err(self.wrong(&other, name, of_type)),
        }
    }

    pub(super) fn object(
        &self,
        value: Value,
        name: &str,
        of_type: &str,
    ) -> Result<Map<String, Value>> {
        match value {
            Value::Object(map) => Ok(map),
            Value::Null => Ok(Map::new()),
            other => Err(self.wrong(&other, name, of_type)),
        }
    }

    /// Go's words for a value of the wrong type.
    pub(super) fn wrong(&self, value: &Value, name: &str, of_type: &str) -> BodyError {
        BodyError(format!(
            "json: cannot unmarshal {} into Go struct field {} of type {of_type}",
            kind(value),
            self.path.of(name)
        ))
    }

    /// Refuses whatever has not been taken.
    pub(super) fn finish(self) -> Result<()> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(name) => Err(BodyError(format!("json: unknown field {name:?}"))),
        }
    }

    fn string_list(&self, value: Value, name: &str) -> Result<Vec<String>> {
        let items = match value {
            Value::Array(items) => items,
            Value::Null => Vec::new(),
            other => return Err(self.wrong(&other, name, "[]string")),
        };
        items
            .into_iter()
            .map(|item| match item {
                Value::String(text) => Ok(text),
                Value::Null => Ok(String::new()),
                other => Err(self.wrong(&other, name, "string")),
            })
            .collect()
    }
}

fn nanoseconds(number: &serde_json::Number) -> i64 {
    number.as_i64().unwrap_or_else(|| {
        // Saturates at the ends, which is what is wanted of a number this far out.
        number.as_f64().map_or(0, |float| float as i64)
    })
}

/// Go's name for what a value is. It quotes a number only where the number itself is the trouble.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(number) if number.is_i64() => "number".into(),
        Value::Number(number) => format!("number {number}"),
        Value::String(_) => "string".into(),
        Value::Array(_) => "array".into(),
        Value::Object(_) => "object".into(),
    }
}
