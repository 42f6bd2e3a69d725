//! How long an upstream that cannot be reached is left out.
//!
//! The registry notices a dead instance at its next check, seconds later; until then each request that picks it would
//! pay for a failed connect. Time is an argument.

use std::time::{Duration, Instant};

/// The first time out. Short: the usual cause is a restart.
const FIRST: Duration = Duration::from_secs(1);

/// The longest time out, after failing again each time it came back.
const LONGEST: Duration = Duration::from_secs(30);

/// Being back for this long without a failure wipes the record.
const CALM: Duration = Duration::from_secs(60);

/// The record of one upstream that could not be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ejection {
    until: Instant,
    times: u32,
}

impl Ejection {
    /// The record after a failure at `now`; `before` is the record until then.
    pub(crate) fn after_failure(before: Option<Self>, now: Instant) -> Self {
        let times = match before {
            Some(record) if now < record.until + CALM => record.times + 1,
            _ => 1,
        };
        let out = FIRST.saturating_mul(1 << (times - 1).min(10)).min(LONGEST);
        Self {
            until: now + out,
            times,
        }
    }

    /// When it may be tried again.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// Whether it is left out at `now`.
    pub(crate) fn is_out(&self, now: Instant) -> bool {
        now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_after_coming_back_doubles_the_time_out_up_to_a_limit() {
        let mut now = Instant::now();
        let mut record = None;
        let mut seconds = Vec::new();
        for _ in 0..7 {
            let next = Ejection::after_failure(record, now);
            seconds.push((next.until() - now).as_secs());
            now = next.until();
            record = Some(next);
        }
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn a_calm_minute_wipes_the_record() {
        let now = Instant::now();
        let first = Ejection::after_failure(None, now);
        assert!(first.is_out(now) && !first.is_out(first.until()));
        let later = first.until() + CALM;
        assert_eq!(
            Ejection::after_failure(Some(first), later).until() - later,
            FIRST
        );
    }
}
