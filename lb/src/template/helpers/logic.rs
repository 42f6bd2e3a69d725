//! Comparing and choosing. What is true is Go's rule and Handlebars' too: everything but `false`, `null`, 0, the empty
//! text, list and map.

use std::cmp::Ordering;

use handlebars::JsonTruthy;
use serde_json::Value;

use super::Pure;
use super::arguments::{Arguments, Number, shown};

pub(super) const HELPERS: &[Pure] = &[
    Pure("eq", "(eq VALUE OTHER…)", |a| {
        let first = a.any(0)?;
        a.any(1)?;
        Ok(a.rest(1)?.iter().any(|other| same(first, other)).into())
    }),
    Pure("ne", "(ne VALUE OTHER)", |a| {
        Ok((!same(a.any(0)?, a.any(1)?)).into())
    }),
    Pure("lt", "(lt VALUE OTHER)", |a| Ok(order(a)?.is_lt().into())),
    Pure("le", "(le VALUE OTHER)", |a| Ok(order(a)?.is_le().into())),
    Pure("lte", "(lte VALUE OTHER)", |a| Ok(order(a)?.is_le().into())),
    Pure("gt", "(gt VALUE OTHER)", |a| Ok(order(a)?.is_gt().into())),
    Pure("ge", "(ge VALUE OTHER)", |a| Ok(order(a)?.is_ge().into())),
    Pure("gte", "(gte VALUE OTHER)", |a| Ok(order(a)?.is_ge().into())),
    Pure("and", "(and VALUE…)", |a| {
        Ok(chosen(a, |value| !value.is_truthy(false)))
    }),
    Pure("or", "(or VALUE…)", |a| {
        Ok(chosen(a, |value| value.is_truthy(false)))
    }),
    Pure("not", "(not VALUE)", |a| Ok((!is_true(a.maybe(0))).into())),
    Pure("empty", "(empty VALUE)", |a| {
        Ok((!is_true(a.maybe(0))).into())
    }),
    Pure("default", "(default VALUE OTHERWISE)", |a| {
        Ok(chosen(a, |value| value.is_truthy(false)))
    }),
    Pure("coalesce", "(coalesce VALUE…)", |a| {
        Ok(chosen(a, |value| value.is_truthy(false)))
    }),
    Pure("ternary", "(ternary CONDITION IF_TRUE IF_FALSE)", |a| {
        Ok(if is_true(a.maybe(0)) {
            a.any(1)?
        } else {
            a.any(2)?
        }
        .clone())
    }),
    Pure("fail", "(fail TEXT)", |a| Err(a.scalar(0)?)),
];

fn is_true(value: Option<&Value>) -> bool {
    value.is_some_and(|value| value.is_truthy(false))
}

/// The first that fits, else the last; one that does not exist counts as `null`.
fn chosen(a: &Arguments<'_, '_>, fits: fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for place in 0..a.count() {
        last = a.maybe(place).cloned().unwrap_or_default();
        if fits(&last) {
            break;
        }
    }
    last
}

/// Equality, in which 1 and 1.0 are the same number.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (Number::of(one), Number::of(other)) {
        (Some(Number::Int(one)), Some(Number::Int(other))) => one == other,
        (Some(one), Some(other)) => one.float() == other.float(),
        _ => one == other,
    }
}

fn order(a: &Arguments<'_, '_>) -> Result<Ordering, String> {
    let (one, other) = (a.any(0)?, a.any(1)?);
    compare(one, other)
        .ok_or_else(|| format!("cannot compare {} with {}", shown(one), shown(other)))
}

/// The order of two numbers, or of two texts.
pub(super) fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    match (Number::of(one), Number::of(other)) {
        (Some(Number::Int(one)), Some(Number::Int(other))) => Some(one.cmp(&other)),
        (Some(one), Some(other)) => one.float().partial_cmp(&other.float()),
        _ => Some(one.as_str()?.cmp(other.as_str()?)),
    }
}
