//! Tells the manager again and again that the program lives, as long as every loop that serves does.
//!
//! A loop shows that it turns by a [`Pulse`]. A loop that hangs stops the messages, and systemd then restarts the program.
//! What the loops do is not known here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{State, notify};

/// Messages in the time that the manager waits for one: a loop that is late once, on a busy machine, is not the end.
const MESSAGES_IN_TIME: u32 = 4;

/// A loop that has not beaten for so long hangs. It is twice what [`Pulse::beat`] asks for.
const HANGS_AFTER: Duration = Duration::from_secs(2);

/// How a loop shows that it turns.
#[derive(Clone, Debug)]
pub struct Pulse {
    name: Arc<str>,
    beats: Arc<AtomicU64>,
}

impl Pulse {
    /// Of the loop called `name`, which is what the log will call it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            beats: Arc::default(),
        }
    }

    /// To be called by the loop itself at least once a second.
    pub fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }
}

/// Keeps systemd's watchdog quiet, if it watches us, as long as the runtime it is called in works and every one of `pulses`
/// beats. From `stopping` on, loops may end, and no pulse is asked for. Returns at once.
pub fn watchdog(pulses: Vec<Pulse>, stopping: CancellationToken) {
    let variable = |name| std::env::var(name).ok();
    let limit = limit(
        variable("WATCHDOG_USEC").as_deref(),
        variable("WATCHDOG_PID").as_deref(),
        std::process::id(),
    );
    if let Some(limit) = limit {
        info!(?limit, "systemd watches whether this program lives");
        let tell = || notify(State::Watchdog);
        tokio::spawn(feed(limit / MESSAGES_IN_TIME, pulses, stopping, tell));
    }
}

/// How long the manager waits for a message, if it waits for ours.
fn limit(micros: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    let micros: u64 = micros?.parse().ok().filter(|micros| *micros > 0)?;
    // Without a number, whoever has the variable is meant.
    let ours = pid.is_none_or(|pid| pid.parse() == Ok(own));
    ours.then_some(Duration::from_micros(micros))
}

/// Calls `tell` each `period`, unless a pulse has not beaten for [`HANGS_AFTER`]. Never ends.
async fn feed(
    period: Duration,
    pulses: Vec<Pulse>,
    stopping: CancellationToken,
    mut tell: impl FnMut(),
) {
    let mut seen: Vec<(u64, Instant)> = vec![(0, Instant::now()); pulses.len()];
    let mut ticks = interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = ticks.tick().await;
        let mut hangs = None;
        for (pulse, (seen, since)) in pulses.iter().zip(&mut seen) {
            let beats = pulse.beats();
            if *seen != beats {
                (*seen, *since) = (beats, now);
            } else if now - *since > HANGS_AFTER {
                hangs = Some(pulse);
            }
        }
        match hangs.filter(|_| !stopping.is_cancelled()) {
            None => tell(),
            Some(pulse) => warn!(
                name = &*pulse.name,
                "a loop hangs: systemd is not told that this program lives"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_environment_says_whether_we_are_watched() {
        let second = Some(Duration::from_secs(1));
        for (micros, pid, want) in [
            (Some("1000000"), Some("7"), second),
            (Some("1000000"), None, second),
            (Some("1000000"), Some("8"), None),
            (Some("1000000"), Some("x"), None),
            (Some("0"), Some("7"), None),
            (Some("soon"), Some("7"), None),
            (None, Some("7"), None),
        ] {
            assert_eq!(limit(micros, pid, 7), want, "{micros:?} {pid:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_hangs_stops_the_messages_until_it_turns_again() {
        const PERIOD: Duration = Duration::from_secs(5);
        let (first, second) = (Pulse::new("first"), Pulse::new("second"));
        let told = Cell::new(0);
        let stopping = CancellationToken::new();
        let pulses = vec![first.clone(), second.clone()];
        let feed = feed(PERIOD, pulses, stopping.clone(), || {
            told.set(told.get() + 1)
        });
        let script = async {
            tokio::time::sleep(PERIOD / 2).await;
            assert_eq!(told.replace(0), 1, "at once");
            for (beats, stop, want) in [
                (vec![&first, &second], false, 1),
                (vec![&first], false, 0),
                (vec![], false, 0),
                (vec![&second, &first], false, 1),
                (vec![], true, 1),
            ] {
                beats.iter().for_each(|pulse| pulse.beat());
                if stop {
                    stopping.cancel();
                }
                tokio::time::sleep(PERIOD).await;
                assert_eq!(told.replace(0), want, "{beats:?} {stop}");
            }
        };
        tokio::select! {
            () = feed => unreachable!("it never ends"),
            () = script => {}
        }
    }
}
