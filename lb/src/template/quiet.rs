//! Waits out a burst of changes before the templates are rendered.
//!
//! A reload costs HAProxy a new process, so a deploy that adds fifty instances should cost one. A removal is another
//! matter: requests go to what is gone. This file knows about time and nothing else; time is an argument.

use std::str::FromStr;
use std::time::{Duration, Instant};

/// How long additions wait: `min` after the last change, `max` after the first. Removals never wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Quiet for so long, or no longer a burst.
    pub min: Duration,
    /// However long the burst goes on.
    pub max: Duration,
}

impl Default for Wait {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(200),
            max: Duration::from_secs(2),
        }
    }
}

/// The longest wait that makes sense: an hour of stale configuration is an outage.
const LONGEST: Duration = Duration::from_secs(60 * 60);

impl FromStr for Wait {
    type Err = String;

    /// `MIN[:MAX]`, as `200ms:2s`. Without MAX it is four times MIN.
    fn from_str(text: &str) -> Result<Self, String> {
        let (min, max) = text
            .split_once(':')
            .map_or((text, None), |(min, max)| (min, Some(max)));
        let min = crate::config::parse_duration(min)?;
        let max = max.map_or(Ok(min.saturating_mul(4)), crate::config::parse_duration)?;
        if min > max || max > LONGEST {
            return Err(format!(
                "expected MIN[:MAX] with MIN at most MAX and MAX at most 1h, found {text:?}"
            ));
        }
        Ok(Self { min, max })
    }
}

/// A burst, while it lasts.
#[derive(Debug)]
pub(crate) struct QuietPeriod {
    wait: Wait,
    first: Option<Instant>,
    due: Option<Instant>,
}

impl QuietPeriod {
    pub(crate) fn new(wait: Wait) -> Self {
        Self {
            wait,
            first: None,
            due: None,
        }
    }

    /// Notes a change. `urgent` ends the burst at once.
    pub(crate) fn change(&mut self, now: Instant, urgent: bool) {
        // Both bounds matter: without `max`, an instance that flaps faster than `min` would hold back all others.
        let first = *self.first.get_or_insert(now);
        let calm = (now + self.wait.min).min(first + self.wait.max);
        let due = if urgent { now } else { calm };
        // What is due already stays due: a later addition must not hold a removal back.
        self.due = Some(match self.due {
            Some(earlier) if earlier <= now || urgent => earlier.min(due),
            _ => due,
        });
    }

    /// When to act.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// It was acted.
    pub(crate) fn acted(&mut self) {
        (self.first, self.due) = (None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_wait_for_quiet_and_no_longer_than_the_limit() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut quiet = QuietPeriod::new(Wait::default());
        assert_eq!(quiet.due(), None);
        quiet.change(at(0), false);
        assert_eq!(quiet.due(), Some(at(200)));
        quiet.change(at(150), false);
        assert_eq!(quiet.due(), Some(at(350)));
        for step in 2..14 {
            quiet.change(at(150 * step), false);
        }
        assert_eq!(quiet.due(), Some(at(2_000)));
        quiet.acted();
        assert_eq!(quiet.due(), None);
    }

    #[test]
    fn a_removal_does_not_wait_and_nothing_delays_it() {
        let start = Instant::now();
        let mut quiet = QuietPeriod::new(Wait::default());
        quiet.change(start, false);
        let later = start + Duration::from_millis(10);
        quiet.change(later, true);
        assert_eq!(quiet.due(), Some(later));
        quiet.change(later + Duration::from_millis(10), false);
        assert_eq!(quiet.due(), Some(later));
    }

    #[test]
    fn waits_as_people_write_them() {
        let wait = |min, max| {
            Ok(Wait {
                min: Duration::from_millis(min),
                max: Duration::from_millis(max),
            })
        };
        assert_eq!("200ms:2s".parse(), wait(200, 2_000));
        assert_eq!("1s".parse(), wait(1_000, 4_000));
        for text in ["", "x", "2s:1s", "1s:2h", "1s:"] {
            assert!(text.parse::<Wait>().is_err(), "{text}");
        }
    }
}
