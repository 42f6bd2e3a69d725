//! Durations the way Consul writes them: Go's `"1h30m"`, `"250ms"`, `"1.5s"`.
//!
//! Pure text work; which durations a field allows is the business of whoever reads the field.

use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// A number without a unit, such as `"10"`.
    #[error("missing unit in duration {0:?}: write it like \"10s\"")]
    NoUnit(String),
    /// Anything else that is not a number followed by a unit, once or more.
    #[error("invalid duration {0:?}: write it like \"10s\" or \"1m30s\"")]
    Invalid(String),
    /// A duration below zero.
    #[error("negative duration {0:?}")]
    Negative(String),
    /// More than [`Duration`] can hold.
    #[error("duration {0:?} is too long")]
    TooLong(String),
}

/// Reads a Go duration: numbers, each with a unit of `ns us µs ms s m h`; a bare `0` is allowed.
///
/// # Errors
///
/// When the text is not of that form, is negative, or is too long for [`Duration`].
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned == "0" {
        return Ok(Duration::ZERO);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let mut total: u128 = 0;
    let mut rest = unsigned;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        if unit.is_empty() && !number.is_empty() {
            return Err(DurationError::NoUnit(text.to_owned()));
        }
        let scale = nanoseconds(unit).ok_or_else(invalid)?;
        let part = scaled(number, scale).ok_or_else(invalid)?;
        total = total.saturating_add(part);
        rest = after;
    }
    if text.starts_with('-') && total > 0 {
        return Err(DurationError::Negative(text.to_owned()));
    }
    let too_long = |_| DurationError::TooLong(text.to_owned());
    let seconds = u64::try_from(total / NANOS_PER_SECOND).map_err(too_long)?;
    let nanos = u32::try_from(total % NANOS_PER_SECOND).map_err(too_long)?;
    Ok(Duration::new(seconds, nanos))
}

/// Writes a duration so that Consul reads the same back: whole milliseconds as `"1500ms"`, whole seconds as `"10s"`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if !nanos.is_multiple_of(1_000_000) {
        format!("{nanos}ns")
    } else if !nanos.is_multiple_of(NANOS_PER_SECOND) {
        format!("{}ms", duration.as_millis())
    } else {
        format!("{}s", duration.as_secs())
    }
}

fn nanoseconds(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => NANOS_PER_SECOND,
        "m" => 60 * NANOS_PER_SECOND,
        "h" => 3_600 * NANOS_PER_SECOND,
        _ => return None,
    })
}

/// `number` (digits with at most one point) times `scale`; what is below a nanosecond is dropped.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    // Only digits here, so what cannot be parsed is too large; sums saturate and are judged at the end.
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut total = whole.saturating_mul(scale);
    let mut place = scale;
    for digit in fraction.bytes() {
        place /= 10;
        total = total.saturating_add(u128::from(digit - b'0') * place);
    }
    Some(total)
}
