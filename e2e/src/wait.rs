//! Waits for conditions, never for time.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// How often a condition is looked at. Short beside every bound that a test asserts.
const INTERVAL: Duration = Duration::from_millis(2);

/// For whatever should take well under a second, on a machine that is busy with other tests.
pub const SOON: Duration = Duration::from_secs(15);

/// Looks at `condition` until it gives a value. Returns the value and how long it took.
///
/// # Panics
/// If `limit` passes first, naming `what` was waited for.
pub fn until<T>(
    what: impl Display,
    limit: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> (T, Duration) {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return (value, started.elapsed());
        }
        assert!(
            started.elapsed() < limit,
            "waited {limit:?} in vain for: {what}"
        );
        std::thread::sleep(INTERVAL);
    }
}

/// [`until`] for a condition that is true or false.
///
/// # Panics
/// If `limit` passes first.
pub fn until_true(
    what: impl Display,
    limit: Duration,
    mut condition: impl FnMut() -> bool,
) -> Duration {
    until(what, limit, || condition().then_some(())).1
}
