//! What there is at this moment, service by service, and how long answers took: for people and for monitoring.
//!
//! Made when somebody asks for it; the broker does not work for it in between but for one count with each answer.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::Broker;

/// Services in one report, those with the longest queues first: a page or a scrape with more helps nobody.
pub const MAX_SERVICES: usize = 1000;

/// Upper bounds of the histogram's steps, in seconds; the last step has none.
pub const LATENCY_BOUNDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// How long requests took from their acceptance to a worker's answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Answers in each step, not counting those of the steps before.
    pub counts: [u64; LATENCY_BOUNDS.len() + 1],
    /// All of them together, in seconds.
    pub sum: f64,
}

impl Latency {
    pub(super) fn note(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let step = LATENCY_BOUNDS.partition_point(|&bound| bound < seconds);
        self.counts[step] += 1;
        self.sum += seconds;
    }

    /// The bound below which this share of the answers lies, in seconds; infinite if that is the last step. `None` without
    /// answers.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let all: u64 = self.counts.iter().sum();
        let mut below = 0;
        for (step, count) in self.counts.iter().enumerate() {
            below += count;
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            if below > 0 && below as f64 >= all as f64 * share {
                return Some(LATENCY_BOUNDS.get(step).copied().unwrap_or(f64::INFINITY));
            }
        }
        None
    }
}

/// One service.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ServiceReport {
    /// Its name.
    pub name: String,
    /// Requests waiting for a worker.
    pub queued: usize,
    /// Bytes they are accounted for.
    pub queued_bytes: usize,
    /// How long the first of them has waited since it was accepted, in milliseconds.
    pub oldest_ms: u64,
    /// Requests with a worker.
    pub running: usize,
    /// Workers that serve it; one that offers it twice, by its name and a prefix, counts twice.
    pub workers: usize,
    /// Those of them with room for a request.
    pub free: usize,
    /// Other brokers that have room for one.
    pub brokers: usize,
}

impl Broker {
    /// The services that are asked for or served, those with the longest queues first, and how many were left out.
    pub fn services(&self, now: Instant) -> (Vec<ServiceReport>, usize) {
        let mut reports: Vec<_> = self
            .board
            .services()
            .map(|(service, workers, free, brokers)| {
                let first = service.queue.first_key_value();
                let held = first.and_then(|(_, number)| self.requests.get(number));
                let oldest = held.map(|held| now.saturating_duration_since(held.since));
                let queued = service.queue.len();
                ServiceReport {
                    name: (*service.name).to_owned(),
                    queued,
                    queued_bytes: service.bytes,
                    oldest_ms: oldest.map_or(0, |it| u64::try_from(it.as_millis()).unwrap_or(0)),
                    running: service.held() - queued,
                    workers,
                    free,
                    brokers,
                }
            })
            .collect();
        let left_out = reports.len().saturating_sub(MAX_SERVICES);
        reports.sort_unstable_by(|a, b| b.queued.cmp(&a.queued).then(a.name.cmp(&b.name)));
        reports.truncate(MAX_SERVICES);
        (reports, left_out)
    }

    /// How long requests took.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_holds_its_upper_bound_and_quantiles_are_bounds() {
        let mut latency = Latency::default();
        assert_eq!(latency.quantile(0.5), None);
        for ms in [1, 1, 2, 600_000] {
            latency.note(Duration::from_millis(ms));
        }
        assert_eq!(latency.counts[1], 2);
        assert_eq!(latency.counts[2], 1);
        assert_eq!(latency.counts[LATENCY_BOUNDS.len()], 1);
        assert_eq!(latency.quantile(0.5), Some(0.001));
        assert_eq!(latency.quantile(0.75), Some(0.0025));
        assert_eq!(latency.quantile(0.99), Some(f64::INFINITY));
    }
}
