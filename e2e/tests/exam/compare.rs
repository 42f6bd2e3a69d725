//! Where two comparable answers differ: a place and the two values there, as small as can be said.

use std::fmt;

use serde_json::Value;

/// One place where two answers differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Such as `status`, `header/vary` or `body/0/Checks/1/Output`.
    pub(crate) place: String,
    /// `None` where there is nothing at that place.
    pub(crate) consul: Option<Value>,
    pub(crate) ours: Option<Value>,
}

impl Difference {
    /// The last word of the place.
    pub(crate) fn field(&self) -> &str {
        self.place.rsplit('/').next().unwrap_or_default()
    }

    /// The two values as text, where both are.
    pub(crate) fn texts(&self) -> Option<(&str, &str)> {
        Some((
            self.consul.as_ref()?.as_str()?,
            self.ours.as_ref()?.as_str()?,
        ))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| {
            value
                .as_ref()
                .map_or("nothing".to_owned(), ToString::to_string)
        };
        write!(
            f,
            "{}: Consul {} | ours {}",
            self.place,
            text(&self.consul),
            text(&self.ours)
        )
    }
}

/// Every place where `consul` and `ours` differ.
pub(crate) fn differences(consul: &Value, ours: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    walk("", Some(consul), Some(ours), &mut found);
    found
}

fn walk(place: &str, consul: Option<&Value>, ours: Option<&Value>, found: &mut Vec<Difference>) {
    let below = |name: &str| {
        if place.is_empty() {
            name.to_owned()
        } else {
            format!("{place}/{name}")
        }
    };
    match (consul, ours) {
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            let extra = right.keys().filter(|name| !left.contains_key(*name));
            for name in left.keys().chain(extra) {
                walk(&below(name), left.get(name), right.get(name), found);
            }
        }
        (Some(Value::Array(left)), Some(Value::Array(right))) if left.len() == right.len() => {
            for (at, (left, right)) in left.iter().zip(right).enumerate() {
                walk(&below(&at.to_string()), Some(left), Some(right), found);
            }
        }
        _ if consul == ours => {}
        _ => found.push(Difference {
            place: place.to_owned(),
            consul: consul.cloned(),
            ours: ours.cloned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_smallest_places_are_named() {
        let (left, right) = (
            json!({"a": [1, {"b": 2}], "c": [], "d": 1}),
            json!({"a": [1, {"b": 3}], "c": [1], "e": 1}),
        );
        let found = differences(&left, &right);
        let places: Vec<&str> = found
            .iter()
            .map(|difference| difference.place.as_str())
            .collect();
        assert_eq!(places, ["a/1/b", "c", "d", "e"]);
        assert_eq!(found[0].field(), "b");
    }
}
