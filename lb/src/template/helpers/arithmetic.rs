//! Numbers: integers stay integers, and what does not fit is an error. The order is that of writing: `(subtract 5 2)` is 3.

use serde_json::Value;

use super::Pure;
use super::arguments::{Arguments, Number, Outcome};

/// The longest list of numbers: one port each.
const MAX_LOOP: i64 = 65_536;

pub(super) const HELPERS: &[Pure] = &[
    Pure("add", "(add NUMBER NUMBER…)", |a| {
        fold(a, i64::checked_add, |x, y| x + y)
    }),
    Pure("subtract", "(subtract NUMBER NUMBER…)", |a| {
        fold(a, i64::checked_sub, |x, y| x - y)
    }),
    Pure("multiply", "(multiply NUMBER NUMBER…)", |a| {
        fold(a, i64::checked_mul, |x, y| x * y)
    }),
    Pure("divide", "(divide NUMBER NUMBER)", |a| {
        fold(a, i64::checked_div, |x, y| x / y)
    }),
    Pure("modulo", "(modulo NUMBER NUMBER)", |a| {
        fold(a, i64::checked_rem, |x, y| x % y)
    }),
    Pure("minimum", "(minimum NUMBER NUMBER…)", |a| {
        fold(a, |x, y| Some(x.min(y)), f64::min)
    }),
    Pure("maximum", "(maximum NUMBER NUMBER…)", |a| {
        fold(a, |x, y| Some(x.max(y)), f64::max)
    }),
    Pure("round", "(round NUMBER PLACES)", |a| {
        let places = if a.count() > 1 { a.size(1)?.min(15) } else { 0 };
        let scale = 10f64.powi(i32::try_from(places).unwrap_or(0));
        whole((a.number(0)?.float() * scale).round() / scale, places == 0)
    }),
    Pure("floor", "(floor NUMBER)", |a| {
        whole(a.number(0)?.float().floor(), true)
    }),
    Pure("ceil", "(ceil NUMBER)", |a| {
        whole(a.number(0)?.float().ceil(), true)
    }),
    Pure("loop", "(loop TO) or (loop FROM TO)", |a| {
        let (from, to) = match a.count() {
            1 => (0, a.integer(0)?),
            _ => (a.integer(0)?, a.integer(1)?),
        };
        if to.saturating_sub(from) > MAX_LOOP {
            return Err(format!("expected at most {MAX_LOOP} numbers"));
        }
        Ok((from..to).map(Value::from).collect())
    }),
];

fn fold(
    a: &Arguments<'_, '_>,
    int: fn(i64, i64) -> Option<i64>,
    float: fn(f64, f64) -> f64,
) -> Outcome {
    if a.count() < 2 {
        return Err("two numbers are needed".to_owned());
    }
    let mut result = a.number(0)?;
    for place in 1..a.count() {
        result = match (result, a.number(place)?) {
            (Number::Int(x), Number::Int(y)) => {
                Number::Int(int(x, y).ok_or("the result does not fit, or it is a division by 0")?)
            }
            (x, y) => Number::Float(float(x.float(), y.float())),
        };
    }
    result.value()
}

/// An integer if it has become one.
fn whole(number: f64, integer: bool) -> Outcome {
    /// Beyond this a floating-point number does not know its last digits.
    const EXACT: f64 = 9e15;
    if integer && number.abs() < EXACT {
        return Ok((number as i64).into());
    }
    Number::Float(number).value()
}
