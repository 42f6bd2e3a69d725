//! Forgiving ways to read JSON, shared by the wire types.
//!
//! Consul's servers (Go) fold the case of field names, send `null` for empty lists and accept durations
//! as text or as a number of nanoseconds. This file knows those habits and no particular type.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Reads `null` as the default of the type.
pub(super) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a count; `null` and negative numbers are 0, what is too large is the largest.
pub(super) fn clamped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = Option::<i64>::deserialize(deserializer)?.unwrap_or(0);
    Ok(u32::try_from(number.max(0)).unwrap_or(u32::MAX))
}

/// Reads a duration and keeps it as text: a number means nanoseconds, `null` and `""` mean none.
pub(super) fn duration_text<'de, D>(deserializer: D) -> Result<Option<String>, D::Error>
where
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Nanoseconds(i64),
        Text(String),
    }
    Ok(match Option::<Written>::deserialize(deserializer)? {
        Some(Written::Nanoseconds(0)) | None => None,
        Some(Written::Nanoseconds(number)) => Some(format!("{number}ns")),
        Some(Written::Text(text)) => Some(text).filter(|text| !text.is_empty()),
    })
}

/// The fields of an object under folded names (lower case, no underscores), to be taken one by one.
///
/// So `ServiceID`, `service_id` and `serviceid` are one field; of repeated ones the last counts.
#[derive(Debug)]
pub(super) struct Fields(BTreeMap<String, (String, Value)>);

impl Fields {
    /// Takes the field `name` (folded). Absent or `null` is the default.
    pub(super) fn take<T, E>(&mut self, name: &str) -> Result<T, E>
    where
        T: Default + DeserializeOwned,
        E: Error,
    {
        let Some((written, value)) = self.0.remove(name) else {
            return Ok(T::default());
        };
        serde_json::from_value::<Option<T>>(value)
            .map(Option::unwrap_or_default)
            .map_err(|error| E::custom(format_args!("field {written}: {error}")))
    }

    /// Takes a text where the empty one means "not given".
    pub(super) fn take_text<E: Error>(&mut self, name: &str) -> Result<Option<String>, E> {
        Ok(self
            .take::<Option<String>, E>(name)?
            .filter(|text| !text.is_empty()))
    }

    /// Takes a duration as text; see [`duration_text`].
    pub(super) fn take_duration<E: Error>(&mut self, name: &str) -> Result<Option<String>, E> {
        let Some((written, value)) = self.0.remove(name) else {
            return Ok(None);
        };
        duration_text(value)
            .map_err(|_| E::custom(format_args!("field {written}: not a duration like \"10s\"")))
    }

    /// Takes a count; see [`clamped`].
    pub(super) fn take_count<E: Error>(&mut self, name: &str) -> Result<u32, E> {
        let number = self.take::<i64, E>(name)?;
        Ok(u32::try_from(number.max(0)).unwrap_or(u32::MAX))
    }

    /// The names, as written, of the fields that nobody took.
    pub(super) fn left(self) -> Vec<String> {
        self.0.into_values().map(|(written, _)| written).collect()
    }
}

fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| *c != '_')
        .flat_map(char::to_lowercase)
        .collect()
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Folding;

        impl<'de> Visitor<'de> for Folding {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    fields.insert(fold(&name), (name, value));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Folding)
    }
}
