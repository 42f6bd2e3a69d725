//! What a configuration of a balancer needs of an instance: its weight, and its name in a form HAProxy takes.

use serde_json::{Value, json};

use super::Pure;
use super::arguments::{Arguments, Outcome, shown};
use super::collection::at;

/// HAProxy's largest weight (configuration manual, "weight").
const MAX_WEIGHT: u64 = 256;

pub(super) const HELPERS: &[Pure] = &[
    Pure("haproxyEscape", "(haproxyEscape TEXT)", |a| {
        // Configuration manual, §2.2: what names may be made of.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        let name = a.scalar(0)?;
        Ok(name
            .chars()
            .map(|c| if plain(c) { c } else { '_' })
            .collect::<String>()
            .into())
    }),
    Pure("isAddress", "(isAddress TEXT)", |a| {
        Ok(is_address(&a.scalar(0)?).into())
    }),
    Pure(
        "weight",
        "(weight INSTANCE [of=INSTANCES] [max=256])",
        weight,
    ),
];

/// Whether it is an IP address, or a name of the form that resolvers take (RFC 1035 §2.3.4 for the lengths; `_` is usual).
/// Anything else makes HAProxy refuse its whole file.
fn is_address(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain);
    let name = text.strip_suffix('.').unwrap_or(text);
    text.parse::<std::net::IpAddr>().is_ok() || (name.len() <= 253 && name.split('.').all(label))
}

/// The instance's share for its present status, 0 if it is out of rotation. With `of`, scaled so that the largest of
/// those is at most `max`; else cut off there. One that is in rotation keeps at least 1.
fn weight(a: &Arguments<'_, '_>) -> Outcome {
    a.only_named(&["of", "max"])?;
    let max = match a.named("max") {
        None => MAX_WEIGHT,
        Some(value) => value
            .as_u64()
            .filter(|max| *max > 0)
            .ok_or("expected max=NUMBER above 0")?,
    };
    let own = share(a.any(0)?)?;
    let largest = match a.named("of") {
        None => 0,
        Some(Value::Array(list)) => list
            .iter()
            .map(share)
            .try_fold(0, |most, share| share.map(|s| most.max(s)))?,
        Some(other) => return Err(format!("expected of=INSTANCES, found {}", shown(other))),
    };
    let scaled = if largest > max {
        own * max / largest
    } else {
        own.min(max)
    };
    Ok(json!(if own > 0 { scaled.max(1) } else { 0 }))
}

fn share(instance: &Value) -> Result<u64, String> {
    at(instance, "Weight")
        .and_then(Value::as_u64)
        .ok_or_else(|| {
            format!(
                "expected an instance, as service gives them; found {}",
                shown(instance)
            )
        })
}

#[cfg(test)]
mod tests {
    use super::is_address;

    #[test]
    fn what_can_be_connected_to() {
        let label = "a".repeat(63);
        let good = ["10.0.0.1", "::1", "web", "web-1.node_2.consul.", &label];
        let long = "a.".repeat(127) + "a";
        let bad = [
            "",
            ".",
            ".web",
            "a..b",
            "a b",
            "a:b",
            "web\n",
            "x..",
            &long,
            &"a".repeat(64),
        ];
        for text in good {
            assert!(is_address(text), "{text:?}");
        }
        for text in bad {
            assert!(!is_address(text), "{text:?}");
        }
    }
}
