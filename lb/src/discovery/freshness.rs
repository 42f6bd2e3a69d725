//! How old what we know is, for each followed service: for `/ready`, for metrics, and for the log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The log repeats that the registry is away at each so many failures of one service.
const REPEAT_EVERY: u32 = 30;

/// What is known about the answers for one service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    /// When the registry last answered.
    pub(crate) answered: Option<Instant>,
    /// The index of that answer.
    pub(crate) index: u64,
    /// The last error, if nothing was answered since.
    pub(crate) error: Option<String>,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// Failures ever.
    pub(crate) failures_total: u64,
    /// Endpoints kept although the registry does not list them (any more).
    pub(crate) held: usize,
}

impl Source {
    /// Time since the last answer; `None` before the first.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        self.answered.map(|at| now.saturating_duration_since(at))
    }
}

/// The sources of all followed services. Written by the followers, read by admin.
#[derive(Debug, Default)]
pub(crate) struct Freshness {
    sources: Mutex<BTreeMap<Arc<str>, Source>>,
}

impl Freshness {
    pub(crate) fn answered(&self, service: &Arc<str>, index: u64, held: usize, now: Instant) {
        self.with(service, |source, others_failing| {
            if source.failures > 0 && !others_failing {
                let away = source
                    .age(now)
                    .map_or(String::new(), |age| format!(" after {}s", age.as_secs()));
                tracing::info!(
                    service = &**service,
                    index,
                    "the registry answers again{away}"
                );
            }
            source.answered = Some(now);
            source.index = index;
            source.error = None;
            source.failures = 0;
            source.held = held;
        });
    }

    pub(crate) fn failed(&self, service: &Arc<str>, error: &str, endpoints: usize) {
        self.with(service, |source, others_failing| {
            let first = source.failures == 0 && !others_failing;
            if first || (source.failures > 0 && source.failures % REPEAT_EVERY == 0) {
                let meanwhile = match source.answered {
                    Some(_) => format!("keeping its last {endpoints} endpoints"),
                    None => "waiting for its first answer".to_owned(),
                };
                tracing::warn!(
                    service = &**service,
                    "the registry is away: {error}; {meanwhile}"
                );
            }
            source.error = Some(error.to_owned());
            source.failures = source.failures.saturating_add(1);
            source.failures_total += 1;
        });
    }

    /// All sources, by service.
    pub(crate) fn sources(&self) -> Vec<(Arc<str>, Source)> {
        let sources = self.sources.lock().expect("no holder of this lock panics");
        sources
            .iter()
            .map(|(name, source)| (Arc::clone(name), source.clone()))
            .collect()
    }

    fn with(&self, service: &Arc<str>, change: impl FnOnce(&mut Source, bool)) {
        let mut sources = self.sources.lock().expect("no holder of this lock panics");
        let others_failing = sources
            .iter()
            .any(|(name, s)| name != service && s.failures > 0);
        change(
            sources.entry(Arc::clone(service)).or_default(),
            others_failing,
        );
    }
}
