//! A blocking query that waits on both registries, and what became of it.
//!
//! It waits for the two to stand alike, and says whether what ended brought news. It does not judge.

use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use e2e::http::Answer;
use serde_json::Value;

use crate::compare::{Difference, differences};
use crate::pair::{LOOK, Pair, Request};

/// A blocking query on its way.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) path: String,
    pub(crate) consul: Receiver<Answer>,
    pub(crate) ours: Receiver<Answer>,
    pub(crate) woken: (Option<Answer>, Option<Answer>),
    /// What Consul and ours said when the wait began.
    pub(crate) before: (Answer, Answer),
}

impl Waiting {
    /// Whether the query has ended, on Consul and on ours.
    pub(crate) fn woken(&mut self) -> (bool, bool) {
        if self.woken.0.is_none() {
            self.woken.0 = self.consul.try_recv().ok();
        }
        if self.woken.1.is_none() {
            self.woken.1 = self.ours.try_recv().ok();
        }
        (self.woken.0.is_some(), self.woken.1.is_some())
    }

    /// Waits until the query has ended on both, or the limit has passed. Returns how it stands then.
    pub(crate) fn await_both(&mut self, limit: Duration) -> (bool, bool) {
        let started = Instant::now();
        loop {
            let woken = self.woken();
            if woken == (true, true) || started.elapsed() > limit {
                return woken;
            }
            thread::sleep(LOOK);
        }
    }

    /// Waits until the query has ended on Consul, or the limit has passed. Returns how it stands then.
    pub(crate) fn await_consul(&mut self, limit: Duration) -> (bool, bool) {
        let started = Instant::now();
        while !self.woken().0 && started.elapsed() < limit {
            thread::sleep(LOOK);
        }
        self.woken()
    }

    /// The first thing that an answer says, Consul's or else ours, that it did not say when the wait began.
    pub(crate) fn news(&self, pair: &Pair, request: &Request) -> Option<Difference> {
        let (side, before, now) = match &self.woken {
            (Some(now), _) => (&pair.consul, &self.before.0, now),
            (None, now) => (&pair.ours, &self.before.1, now.as_ref()?),
        };
        let before = side.memory.comparable(&request.path, before, "");
        let now = side.memory.comparable(&request.path, now, "");
        differences(&before["body"], &now["body"])
            .into_iter()
            .next()
    }

    /// What ours answered, if it has.
    pub(crate) fn told_by_ours(&self) -> Value {
        let body = self.woken.1.as_ref().map(|answer| answer.body.as_slice());
        serde_json::from_slice(body.unwrap_or_default()).unwrap_or_default()
    }

    /// Waits until the query stands alike on both, or the limit has passed.
    pub(crate) fn await_alike(&mut self, limit: Duration) -> (bool, bool) {
        let started = Instant::now();
        loop {
            let woken = self.woken();
            if woken.0 == woken.1 || started.elapsed() > limit {
                return woken;
            }
            thread::sleep(LOOK);
        }
    }
}
