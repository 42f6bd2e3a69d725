//! When a check runs next.
//!
//! Pure: chance comes in as a number, a pause goes out. It knows neither clocks nor sockets.

use std::time::Duration;

use consul::types::Status;

/// The first run of a check starts within this time. Long enough that a thousand checks registered
/// together do not all start in one instant, short enough that nobody waits for a new instance.
pub const FIRST_RUN_SPREAD: Duration = Duration::from_millis(50);

/// The pause after the first failure of a check that has not succeeded yet. It doubles with each
/// further failure until it reaches the interval, so a program that is registered a moment before
/// it listens need not wait a whole interval, at the cost of a handful of runs.
pub const WARM_UP_START: Duration = Duration::from_millis(100);

/// The pauses between the runs of one check.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    /// The next warm-up pause; none once the check has succeeded or its interval is reached.
    warm_up: Option<Duration>,
    /// Whether the run was moved to its own place within the interval.
    spread: bool,
}

impl Pace {
    /// `initial` is the status the check starts with. Only one that starts critical warms up: for
    /// the others quick runs would only use up the failures that it is allowed.
    pub(super) fn new(interval: Duration, initial: Status) -> Self {
        let warm_up = (initial == Status::Critical).then_some(WARM_UP_START);
        Self {
            interval,
            warm_up,
            spread: false,
        }
    }

    /// The pause before the first run. `chance` is in `0.0..1.0`.
    pub(super) fn first(&self, chance: f64) -> Duration {
        self.interval.min(FIRST_RUN_SPREAD).mul_f64(chance)
    }

    /// The pause after a run that ended with `status`.
    pub(super) fn after(&mut self, status: Status, chance: f64) -> Duration {
        if let Some(pause) = self.warm_up.take()
            && status == Status::Critical
            && pause < self.interval
        {
            self.warm_up = Some(pause.saturating_mul(2));
            return pause;
        }
        if std::mem::replace(&mut self.spread, true) {
            return self.interval;
        }
        // Once: checks registered together shall not run together for ever.
        self.interval.mul_f64(0.5 + chance / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(interval_ms: u64, initial: Status, results: &str) -> Vec<u128> {
        let mut pace = Pace::new(Duration::from_millis(interval_ms), initial);
        results
            .chars()
            .map(|letter| {
                let status = if letter == 'P' {
                    Status::Passing
                } else {
                    Status::Critical
                };
                pace.after(status, 0.5).as_millis()
            })
            .collect()
    }

    #[test]
    fn the_first_run_comes_soon_whatever_the_interval() {
        for interval in [Duration::from_millis(10), Duration::from_secs(3600)] {
            let pace = Pace::new(interval, Status::Critical);
            assert_eq!(pace.first(0.0), Duration::ZERO);
            assert!(pace.first(0.999) < interval.min(FIRST_RUN_SPREAD));
        }
    }

    #[test]
    fn after_a_success_the_interval_holds_and_the_first_pause_is_spread() {
        assert_eq!(pauses(1000, Status::Critical, "PPP"), [750, 1000, 1000]);
        assert_eq!(pauses(1000, Status::Passing, "PCC"), [750, 1000, 1000]);
    }

    #[test]
    fn a_check_that_has_not_succeeded_is_repeated_sooner_until_the_interval_is_reached() {
        assert_eq!(
            pauses(1000, Status::Critical, "CCCCCCC"),
            [100, 200, 400, 800, 750, 1000, 1000]
        );
    }

    #[test]
    fn the_warm_up_ends_with_the_first_success_and_does_not_come_back() {
        assert_eq!(
            pauses(1000, Status::Critical, "CCPCC"),
            [100, 200, 750, 1000, 1000]
        );
    }

    #[test]
    fn a_check_that_starts_passing_has_no_warm_up() {
        assert_eq!(pauses(1000, Status::Passing, "CCC"), [750, 1000, 1000]);
    }

    #[test]
    fn an_interval_shorter_than_the_warm_up_is_kept() {
        assert_eq!(pauses(100, Status::Critical, "CCC"), [75, 100, 100]);
    }
}
