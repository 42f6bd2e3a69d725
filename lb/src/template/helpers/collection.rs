//! Lists and maps. The list or map always stands first; maps are gone through in the order of their keys.

use handlebars::JsonTruthy;
use serde_json::{Map, Value};

use super::Pure;
use super::arguments::{Arguments, Outcome, scalar, shown};
use super::logic::{compare, same};

pub(super) const HELPERS: &[Pure] = &[
    Pure(
        "contains",
        "(contains LIST MEMBER) or (contains TEXT PART)",
        |a| Ok(holds(a.any(0)?, a.any(1)?)?.into()),
    ),
    Pure("in", "(in MEMBER LIST) or (in PART TEXT)", |a| {
        Ok(holds(a.any(1)?, a.any(0)?)?.into())
    }),
    Pure("containsAll", "(containsAll LIST MEMBERS)", |a| {
        Ok((held(a)? == a.list(1)?.len()).into())
    }),
    Pure("containsAny", "(containsAny LIST MEMBERS)", |a| {
        Ok((held(a)? > 0).into())
    }),
    Pure("containsNone", "(containsNone LIST MEMBERS)", |a| {
        Ok((held(a)? == 0).into())
    }),
    Pure("containsNotAll", "(containsNotAll LIST MEMBERS)", |a| {
        Ok((held(a)? < a.list(1)?.len()).into())
    }),
    Pure("len", "(len VALUE)", |a| match a.any(0)? {
        Value::Array(list) => Ok(list.len().into()),
        Value::Object(map) => Ok(map.len().into()),
        Value::String(text) => Ok(text.chars().count().into()),
        other => Err(format!(
            "expected a list, a map or a text, found {}",
            shown(other)
        )),
    }),
    Pure("index", "(index LIST PLACE…) or (index MAP KEY…)", index),
    Pure("slice", "(slice LIST FROM TO)", slice),
    Pure("list", "(list VALUE…)", |a| {
        Ok(a.rest(0)?.into_iter().cloned().collect())
    }),
    Pure("first", "(first LIST)", |a| {
        Ok(a.list(0)?.first().cloned().unwrap_or_default())
    }),
    Pure("last", "(last LIST)", |a| {
        Ok(a.list(0)?.last().cloned().unwrap_or_default())
    }),
    Pure("rest", "(rest LIST)", |a| {
        Ok(a.list(0)?.iter().skip(1).cloned().collect())
    }),
    Pure("initial", "(initial LIST)", |a| {
        let list = a.list(0)?;
        Ok(list
            .iter()
            .take(list.len().saturating_sub(1))
            .cloned()
            .collect())
    }),
    Pure("reverse", "(reverse LIST)", |a| {
        Ok(a.list(0)?.iter().rev().cloned().collect())
    }),
    Pure("concat", "(concat LIST LIST…)", |a| {
        let lists: Result<Vec<_>, _> = (0..a.count()).map(|place| a.list(place)).collect();
        Ok(lists?.into_iter().flatten().cloned().collect())
    }),
    Pure("append", "(append LIST VALUE…)", |a| {
        let more = a.rest(1)?;
        Ok(a.list(0)?.iter().chain(more).cloned().collect())
    }),
    Pure("prepend", "(prepend LIST VALUE…)", |a| {
        let more = a.rest(1)?;
        Ok(more.into_iter().chain(a.list(0)?).cloned().collect())
    }),
    Pure("without", "(without LIST VALUE…)", |a| {
        let out = a.rest(1)?;
        let kept = a
            .list(0)?
            .iter()
            .filter(|v| !out.iter().any(|out| same(v, out)));
        Ok(kept.cloned().collect())
    }),
    Pure("uniq", "(uniq LIST)", |a| {
        let mut kept: Vec<Value> = Vec::new();
        for value in a.list(0)? {
            if !kept.iter().any(|other| same(other, value)) {
                kept.push(value.clone());
            }
        }
        Ok(Value::Array(kept))
    }),
    Pure("compact", "(compact LIST)", |a| {
        Ok(a.list(0)?
            .iter()
            .filter(|value| value.is_truthy(false))
            .cloned()
            .collect())
    }),
    Pure("sort", "(sort LIST)", |a| sorted(a.list(0)?, Some)),
    Pure("sortBy", "(sortBy LIST FIELD)", |a| {
        let field = a.text(1)?;
        sorted(a.list(0)?, |value| at(value, field))
    }),
    Pure("where", "(where LIST FIELD VALUE)", |a| {
        let (field, wanted) = (a.text(1)?, a.any(2)?);
        let fits = |value: &&Value| at(value, field).is_some_and(|found| same(found, wanted));
        Ok(a.list(0)?.iter().filter(fits).cloned().collect())
    }),
    Pure("pluck", "(pluck LIST FIELD)", |a| {
        let field = a.text(1)?;
        Ok(a.list(0)?
            .iter()
            .filter_map(|value| at(value, field))
            .cloned()
            .collect())
    }),
    Pure("chunk", "(chunk LIST SIZE)", |a| match a.size(1)? {
        0 => Err("expected at least 1".to_owned()),
        size => Ok(a
            .list(0)?
            .chunks(size)
            .map(|part| Value::from(part.to_vec()))
            .collect()),
    }),
    Pure("dict", "(dict KEY VALUE…)", |a| {
        if a.count() % 2 == 1 {
            return Err("a key has no value".to_owned());
        }
        let pairs = (0..a.count()).step_by(2);
        let pairs = pairs.map(|place| Ok((a.scalar(place)?, a.any(place + 1)?.clone())));
        Ok(Value::Object(pairs.collect::<Result<Map<_, _>, String>>()?))
    }),
    Pure("keys", "(keys MAP)", |a| {
        Ok(a.map(0)?.keys().cloned().map(Value::from).collect())
    }),
    Pure("values", "(values MAP)", |a| {
        Ok(a.map(0)?.values().cloned().collect())
    }),
    Pure("hasKey", "(hasKey MAP KEY)", |a| {
        Ok(a.map(0)?.contains_key(a.text(1)?).into())
    }),
    Pure("pick", "(pick MAP KEY…)", |a| picked(a, true)),
    Pure("omit", "(omit MAP KEY…)", |a| picked(a, false)),
    Pure("dig", "(dig MAP KEY… OTHERWISE)", dig),
    Pure("mergeMap", "(mergeMap MAP MORE)", |a| {
        Ok(Value::Object(merged(a.map(1)?.clone(), a.map(0)?)))
    }),
    Pure(
        "mergeMapWithOverride",
        "(mergeMapWithOverride MAP STRONGER)",
        |a| Ok(Value::Object(merged(a.map(0)?.clone(), a.map(1)?))),
    ),
];

/// Whether a list has a member, a text a part, or a map a key.
fn holds(whole: &Value, part: &Value) -> Result<bool, String> {
    match (whole, part) {
        (Value::Array(list), member) => Ok(list.iter().any(|found| same(found, member))),
        (Value::String(text), part) => {
            let part =
                scalar(part).ok_or_else(|| format!("expected a text, found {}", shown(part)))?;
            Ok(text.contains(part.as_str()))
        }
        (Value::Object(map), Value::String(key)) => Ok(map.contains_key(key)),
        _ => Err(format!("expected a list or a text, found {}", shown(whole))),
    }
}

/// How many of the members asked for are there.
fn held(a: &Arguments<'_, '_>) -> Result<usize, String> {
    let list = a.list(0)?;
    let found = |member: &&Value| list.iter().any(|value| same(value, member));
    Ok(a.list(1)?.iter().filter(found).count())
}

/// What is not there is `null`, as it is the empty value in Go.
fn index(a: &Arguments<'_, '_>) -> Outcome {
    let mut value = a.any(0)?;
    for place in 1..a.count() {
        let found = match value {
            Value::Array(list) => list.get(a.size(place)?),
            Value::Object(map) => map.get(&a.scalar(place)?),
            Value::Null => None,
            other => return Err(format!("expected a list or a map, found {}", shown(other))),
        };
        value = found.unwrap_or(&Value::Null);
    }
    Ok(value.clone())
}

fn slice(a: &Arguments<'_, '_>) -> Outcome {
    let from = a.size(1)?;
    let to = if a.count() > 2 {
        a.size(2)?
    } else {
        usize::MAX
    };
    match a.any(0)? {
        Value::Array(list) => Ok(list.iter().take(to).skip(from).cloned().collect()),
        Value::String(text) => Ok(text.chars().take(to).skip(from).collect::<String>().into()),
        other => Err(format!("expected a list or a text, found {}", shown(other))),
    }
}

/// A field, or one further down: `Weights.Passing`.
pub(super) fn at<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    field
        .split('.')
        .try_fold(value, |value, part| value.get(part))
}

/// Sorted by a key, equal ones in their old order; what has no key comes first.
fn sorted<'a>(list: &'a [Value], key: impl Fn(&'a Value) -> Option<&'a Value>) -> Outcome {
    let mut list: Vec<&Value> = list.iter().collect();
    let mut apart = None;
    list.sort_by(|a, b| match (key(a), key(b)) {
        (Some(a), Some(b)) => compare(a, b).unwrap_or_else(|| {
            apart.get_or_insert_with(|| format!("cannot compare {} with {}", shown(a), shown(b)));
            // Any order will do: the result is not used.
            a.to_string().cmp(&b.to_string())
        }),
        (a, b) => a.is_some().cmp(&b.is_some()),
    });
    match apart {
        Some(apart) => Err(apart),
        None => Ok(list.into_iter().cloned().collect()),
    }
}

fn picked(a: &Arguments<'_, '_>, those: bool) -> Outcome {
    let names: Result<Vec<&str>, String> = (1..a.count()).map(|place| a.text(place)).collect();
    let names = names?;
    let wanted = a
        .map(0)?
        .iter()
        .filter(|(key, _)| names.contains(&key.as_str()) == those);
    let wanted = wanted.map(|(key, value)| (key.clone(), value.clone()));
    Ok(Value::Object(wanted.collect()))
}

fn dig(a: &Arguments<'_, '_>) -> Outcome {
    if a.count() < 3 {
        return Err("a map, a key and what it is otherwise are needed".to_owned());
    }
    let mut value = a.any(0)?;
    for place in 1..a.count() - 1 {
        match value.get(a.text(place)?) {
            Some(found) => value = found,
            None => return Ok(a.any(a.count() - 1)?.clone()),
        }
    }
    Ok(value.clone())
}

/// Maps in both are merged; else `stronger` counts.
fn merged(mut weaker: Map<String, Value>, stronger: &Map<String, Value>) -> Map<String, Value> {
    for (key, value) in stronger {
        let value = match (weaker.remove(key), value) {
            (Some(Value::Object(weak)), Value::Object(strong)) => {
                Value::Object(merged(weak, strong))
            }
            (_, value) => value.clone(),
        };
        weaker.insert(key.clone(), value);
    }
    weaker
}
