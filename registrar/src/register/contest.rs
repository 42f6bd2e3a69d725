//! Two who register the same instance: when to say so, and how to stop taking it from each other at every look.
//!
//! It counts looks and knows neither clock nor registry.

use std::time::Duration;

/// The longest time between two looks while the instance is contested. Whoever of the two looks more seldom lets the other
/// have it for longer; an instance that is gone is back within this.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// So many looks in a row must have found somebody else there before it is said: one may be the last word of an earlier life.
const SAID_AT: u32 = 2;

/// How many looks in a row have found somebody else's address under the instance's id.
#[derive(Debug, Default)]
pub(super) struct Contest(u32);

impl Contest {
    /// Counts a look. Returns whether it is time to say that there are two, which it is once.
    pub(super) fn look(&mut self, elsewhere: bool) -> bool {
        self.0 = if elsewhere {
            self.0.saturating_add(1)
        } else {
            0
        };
        self.0 == SAID_AT
    }

    /// The time to the next look, `interval` if there is no contest.
    pub(super) fn pause(&self, interval: Duration) -> Duration {
        let doubled = interval.saturating_mul(2_u32.saturating_pow(self.0.saturating_sub(1)));
        doubled.min(PAUSE_MAX.max(interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_are_told_once_and_look_more_and_more_seldom() {
        let mut contest = Contest::default();
        let mut step = |elsewhere| {
            let said = contest.look(elsewhere);
            (said, contest.pause(Duration::from_secs(5)).as_secs())
        };
        for (elsewhere, want) in [
            (false, (false, 5)),
            (true, (false, 5)),
            (true, (true, 10)),
            (true, (false, 20)),
            (true, (false, 40)),
            (true, (false, 60)),
            (true, (false, 60)),
            (false, (false, 5)),
            (true, (false, 5)),
            (true, (true, 10)),
        ] {
            assert_eq!(step(elsewhere), want);
        }
        assert_eq!(
            Contest(u32::MAX).pause(Duration::from_secs(300)).as_secs(),
            300
        );
    }
}
