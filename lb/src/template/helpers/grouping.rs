//! Lists turned into maps: pairs by the parts of their keys, instances by tag, port or facts.

use serde_json::{Map, Value, json};

use super::Pure;
use super::arguments::{Arguments, Outcome, shown};
use super::collection::at;

pub(super) const HELPERS: &[Pure] = &[
    Pure("byKey", "(byKey PAIRS)", by_key),
    Pure("byTag", "(byTag LIST)", by_tag),
    Pure("byPort", "(byPort INSTANCES)", |a| {
        grouped(a, |instance| {
            let port = at(instance, "Port").and_then(Value::as_i64).ok_or("Port")?;
            Ok(port.to_string())
        })
    }),
    Pure("byMeta", "(byMeta INSTANCES \"NAME,NAME|int\")", |a| {
        let names = a.text(1)?;
        grouped(a, |instance| meta_key(instance, names))
    }),
    Pure("explode", "(explode PAIRS)", |a| {
        let mut root = Map::new();
        for pair in a.list(0)? {
            let (key, value) = key_and_value(pair)?;
            plant(&mut root, key, value.clone())?;
        }
        Ok(Value::Object(root))
    }),
    Pure("explodeMap", "(explodeMap MAP)", |a| {
        let mut root = Map::new();
        for (key, value) in a.map(0)? {
            plant(&mut root, key, value.clone())?;
        }
        Ok(Value::Object(root))
    }),
];

fn key_and_value(pair: &Value) -> Result<(&str, &Value), String> {
    match (pair.get("Key").and_then(Value::as_str), pair.get("Value")) {
        (Some(key), Some(value)) => Ok((key, value)),
        _ => Err(format!(
            "expected pairs, as ls and tree give them; found {}",
            shown(pair)
        )),
    }
}

/// First part of the key → the rest of it → the pair.
fn by_key(a: &Arguments<'_, '_>) -> Outcome {
    let mut groups = Map::new();
    for pair in a.list(0)? {
        let (key, _) = key_and_value(pair)?;
        let (top, rest) = key.split_once('/').unwrap_or((key, ""));
        let mut pair = pair.clone();
        pair["Key"] = rest.into();
        let group = groups.entry(top).or_insert_with(|| json!({}));
        group[rest] = pair;
    }
    Ok(Value::Object(groups))
}

fn by_tag(a: &Arguments<'_, '_>) -> Outcome {
    let mut groups = Map::new();
    for item in a.list(0)? {
        let tags = at(item, "Tags").and_then(Value::as_array);
        let tags =
            tags.ok_or_else(|| format!("expected things with Tags, found {}", shown(item)))?;
        for tag in tags.iter().filter_map(Value::as_str) {
            put(&mut groups, tag, item);
        }
    }
    Ok(Value::Object(groups))
}

fn grouped(a: &Arguments<'_, '_>, key: impl Fn(&Value) -> Result<String, &'static str>) -> Outcome {
    let mut groups = Map::new();
    for item in a.list(0)? {
        let key = key(item)
            .map_err(|field| format!("expected things with {field}, found {}", shown(item)))?;
        put(&mut groups, &key, item);
    }
    Ok(Value::Object(groups))
}

fn put(groups: &mut Map<String, Value>, key: &str, item: &Value) {
    let group = groups
        .entry(key)
        .or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(list) = group {
        list.push(item.clone());
    }
}

/// The values of the facts named, joined; what cannot stand in a name becomes `_`.
fn meta_key(instance: &Value, names: &str) -> Result<String, &'static str> {
    let meta = at(instance, "ServiceMeta")
        .and_then(Value::as_object)
        .ok_or("ServiceMeta")?;
    let part = |name: &str| {
        let (name, int) = match name.split_once('|') {
            Some((name, "int")) => (name, true),
            _ => (name, false),
        };
        let value = meta.get(name).and_then(Value::as_str);
        match (value, int) {
            (None, true) => "00000".to_owned(),
            (None, false) => format!("_no_{name}_"),
            (Some(value), true) => format!("{:05}", value.parse::<i64>().unwrap_or(0)),
            (Some(value), false) => {
                let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
                value
                    .chars()
                    .map(|c| if plain(c) { c } else { '_' })
                    .collect()
            }
        }
    };
    Ok(names
        .split(',')
        .map(|name| part(name.trim()))
        .collect::<Vec<_>>()
        .join("_"))
}

/// Puts `value` where the path `key` leads. A key that is a value cannot be a folder as well.
fn plant(root: &mut Map<String, Value>, key: &str, value: Value) -> Result<(), String> {
    let mut parts = key.split('/').filter(|part| !part.is_empty()).peekable();
    let mut map = root;
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            map.insert(part.to_owned(), value);
            return Ok(());
        }
        let child = map.entry(part).or_insert_with(|| json!({}));
        map = child
            .as_object_mut()
            .ok_or_else(|| format!("{part:?} in {key:?} is a value and a folder"))?;
    }
    Ok(())
}
