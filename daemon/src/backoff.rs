//! How long to wait before the next try.
//!
//! Doubles from a least to a most delay, with jitter, so that many clients of one registry that
//! came back do not all return at the same moment. It counts; it does not sleep, and it does not
//! know what is being tried.

use std::time::Duration;

/// The delays between tries: each twice the one before, up to a most.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    full: Duration,
}

impl Backoff {
    /// Starts at `min` and never exceeds `max`. A `max` below `min` counts as `min`.
    pub fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max: max.max(min),
            full: min,
        }
    }

    /// The next delay: random between half of the current full delay and all of it. The full
    /// delay then doubles.
    pub fn next_delay(&mut self) -> Duration {
        let full = self.full;
        self.full = full.saturating_mul(2).min(self.max);
        jittered(full, fastrand::f64())
    }

    /// Starts over from the least delay, because a try succeeded.
    pub fn reset(&mut self) {
        self.full = self.min;
    }
}

/// `full` scaled to between a half and one whole; `chance` is in `0.0..=1.0`.
fn jittered(full: Duration, chance: f64) -> Duration {
    let half = full / 2;
    half + (full - half).mul_f64(chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_millis(500);

    #[test]
    fn delays_double_up_to_the_most() {
        let mut backoff = Backoff::new(MIN, MAX);
        for full in [100, 200, 400, 500, 500] {
            let delay = backoff.next_delay();
            let full = Duration::from_millis(full);
            assert!(delay >= full / 2 && delay <= full, "{delay:?} for {full:?}");
        }
    }

    #[test]
    fn a_reset_starts_over() {
        let mut backoff = Backoff::new(MIN, MAX);
        for _ in 0..5 {
            backoff.next_delay();
        }
        backoff.reset();
        assert!(backoff.next_delay() <= MIN);
    }

    #[test]
    fn jitter_spans_half_to_full() {
        let cases = [(0.0, 50), (0.5, 75), (1.0, 100)];
        for (chance, want) in cases {
            assert_eq!(
                jittered(MIN, chance),
                Duration::from_millis(want),
                "chance {chance}"
            );
        }
    }

    #[test]
    fn odd_bounds_neither_panic_nor_overflow() {
        assert!(Backoff::new(MAX, MIN).next_delay() <= MAX);
        let mut endless = Backoff::new(Duration::MAX / 2, Duration::MAX / 2);
        for _ in 0..3 {
            endless.next_delay();
        }
        assert_eq!(
            Backoff::new(Duration::ZERO, Duration::ZERO).next_delay(),
            Duration::ZERO
        );
    }
}
