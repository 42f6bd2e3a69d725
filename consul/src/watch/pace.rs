//! When to ask next, and with which index: the decisions of a watch.
//!
//! Time and chance come in as arguments; nothing here sleeps or asks.

use std::time::Duration;

use tokio::time::Instant;

/// From the start of one query to the start of the next: a registry whose index moves without pause, or
/// that does not block at all, is asked ten times a second and no more.
pub(super) const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// The delay after the first failure; it doubles with each further one.
const RETRY_MIN: Duration = Duration::from_millis(100);

/// The longest delay while the registry is away or leaderless. Asking costs it nothing then, and its
/// return should be seen within two seconds.
const RETRY_MAX_AWAY: Duration = Duration::from_secs(1);

/// The longest delay while it refuses us or talks nonsense: only a person can end that.
const RETRY_MAX_REFUSED: Duration = Duration::from_secs(30);

const _: () = assert!(RETRY_MIN.as_millis() >= MIN_INTERVAL.as_millis());

/// Why a query failed, as far as the pace depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nobody there, nobody in time, or nobody in charge.
    Away,
    /// An answer, but not one that helps.
    Refused,
}

impl Failure {
    fn longest(self) -> Duration {
        match self {
            Self::Away => RETRY_MAX_AWAY,
            Self::Refused => RETRY_MAX_REFUSED,
        }
    }
}

/// Where a watch stands between two queries.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    index: Option<u64>,
    not_before: Option<Instant>,
    attempts: u32,
    last_failure: Option<(Failure, Duration)>,
}

impl Default for Pace {
    fn default() -> Self {
        Self::every(MIN_INTERVAL)
    }
}

impl Pace {
    /// Queries start at least `interval` apart.
    pub(super) fn every(interval: Duration) -> Self {
        Self {
            interval,
            index: None,
            not_before: None,
            attempts: 0,
            last_failure: None,
        }
    }

    /// When the next query may start; `None` means at once.
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    /// The index to block on; `None` asks for an answer at once.
    pub(super) fn index(&self) -> Option<u64> {
        self.index
    }

    /// Notes that a query starts.
    pub(super) fn started(&mut self, now: Instant) {
        self.not_before = Some(now + self.interval);
    }

    /// Notes an answer and the index it came with.
    ///
    /// An index of 0 would mean "do not block", and one that went back belongs to another history (a
    /// restored or restarted registry, or another server): waiting for the old one could last for ever.
    pub(super) fn answered(&mut self, index: u64) {
        self.attempts = 0;
        self.last_failure = None;
        let went_back = self.index.is_some_and(|asked| index < asked);
        self.index = (index > 0 && !went_back).then_some(index);
    }

    /// Notes a failure. Returns how many there were in a row, and the delay before the next query.
    ///
    /// `chance` is in `[0, 1)`: the delay lies between half of its full length and all of it, so that
    /// watchers that failed together do not return together. After a failure the index is forgotten, so
    /// that the first answer of a recovered registry comes at once.
    pub(super) fn failed(
        &mut self,
        failure: Failure,
        now: Instant,
        chance: f64,
    ) -> (u32, Duration) {
        let full = match self.last_failure {
            Some((last, delay)) if last == failure => {
                delay.saturating_mul(2).min(failure.longest())
            }
            // Another kind of failure is news, e.g. a registry that is back but elects a leader.
            _ => RETRY_MIN,
        };
        self.last_failure = Some((failure, full));
        self.attempts = self.attempts.saturating_add(1);
        self.index = None;
        let delay = full.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        // What is asked seldom is asked sooner after a failure.
        let asked_next = self.not_before.unwrap_or(now);
        let started = asked_next.checked_sub(self.interval).unwrap_or(now);
        self.not_before = Some((started + MIN_INTERVAL).max(now + delay));
        (self.attempts, delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Failure::{Away, Refused};

    #[test]
    fn which_index_is_asked_next() {
        for (answers, next) in [
            (&[][..], None),
            (&[5], Some(5)),
            (&[5, 5], Some(5)),
            (&[5, 9], Some(9)),
            (&[0], None),
            (&[5, 0], None),
            (&[5, 4], None),
            (&[5, 4, 4], Some(4)),
            (&[5, 0, 5], Some(5)),
            (&[u64::MAX, 1], None),
        ] {
            let mut pace = Pace::default();
            answers.iter().for_each(|index| pace.answered(*index));
            assert_eq!(pace.index(), next, "{answers:?}");
        }
    }

    #[test]
    fn delays_double_up_to_their_limit() {
        let delays = |failures: &[Failure]| -> Vec<u128> {
            let mut pace = Pace::default();
            let now = Instant::now();
            failures
                .iter()
                .map(|f| pace.failed(*f, now, 1.0).1.as_millis())
                .collect()
        };
        assert_eq!(delays(&[Away; 6]), [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(delays(&[Refused; 11])[7..], [12800, 25600, 30000, 30000]);
        let mixed = [Refused, Refused, Refused, Away, Away, Refused];
        assert_eq!(
            delays(&mixed),
            [100, 200, 400, 100, 200, 100],
            "another failure is news"
        );
    }

    #[test]
    fn jitter_takes_at_most_half() {
        for (chance, millis) in [(0.0, 50), (0.5, 75), (1.0, 100), (7.0, 100), (-7.0, 50)] {
            let (_, delay) = Pace::default().failed(Away, Instant::now(), chance);
            assert_eq!(delay.as_millis(), millis, "{chance}");
        }
    }

    #[test]
    fn an_answer_ends_the_back_off_and_an_error_forgets_the_index() {
        let mut pace = Pace::default();
        let now = Instant::now();
        pace.answered(7);
        assert_eq!(pace.failed(Away, now, 1.0).0, 1);
        assert_eq!(pace.index(), None);
        assert_eq!(pace.failed(Away, now, 1.0), (2, Duration::from_millis(200)));
        pace.answered(7);
        assert_eq!(pace.failed(Away, now, 1.0), (1, Duration::from_millis(100)));
    }

    #[test]
    fn the_interval_counts_from_start_to_start() {
        let mut pace = Pace::default();
        assert_eq!(pace.not_before(), None, "the first query starts at once");
        let now = Instant::now();
        pace.started(now);
        pace.answered(1);
        assert_eq!(pace.not_before(), Some(now + MIN_INTERVAL));
        pace.failed(Away, now, 0.0);
        assert_eq!(
            pace.not_before(),
            Some(now + MIN_INTERVAL),
            "a short delay does not undercut it"
        );
        let later = now + Duration::from_secs(9);
        pace.failed(Away, later, 1.0);
        assert_eq!(pace.not_before(), Some(later + Duration::from_millis(200)));
    }
}
