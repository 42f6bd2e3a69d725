//! What is to happen at a certain time, in order of time.
//!
//! A timer is set once and cleared by whoever set it; it knows no clock and wakes nobody.

use std::{
    collections::{BTreeSet, HashMap},
    hash::BuildHasherDefault,
    time::Instant,
};

use rustc_hash::FxHasher;

use super::{message::Delivery, message::Peer, request::RequestNumber};

/// What is waited for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Timer {
    /// A request's client no longer waits.
    Deadline(RequestNumber),
    /// A request has waited long enough for the first worker of its service.
    Grace(RequestNumber),
    /// A worker has had a request for too long.
    Lease(Delivery),
    /// A worker may have been silent for too long.
    Silence(Peer),
    /// A worker whose connection was full may be tried again.
    Stall(Peer),
    /// The workers are to be told that the broker lives.
    Heartbeat,
    /// The oldest kept answer is too old.
    Answers,
    /// The drain has taken too long.
    Drain,
}

/// Timers by time; one of each kind and subject.
#[derive(Debug, Default)]
pub(super) struct Timers {
    order: BTreeSet<(Instant, Timer)>,
    at: HashMap<Timer, Instant, BuildHasherDefault<FxHasher>>,
}

impl Timers {
    /// Sets it, or moves it if it was set.
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        if let Some(old) = self.at.insert(timer, at) {
            if old == at {
                return;
            }
            self.order.remove(&(old, timer));
        }
        self.order.insert((at, timer));
    }

    /// Sets it unless it is set.
    pub(super) fn set_if_clear(&mut self, timer: Timer, at: Instant) {
        if !self.at.contains_key(&timer) {
            self.set(timer, at);
        }
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.at.remove(&timer) {
            self.order.remove(&(at, timer));
        }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|&(at, _)| at)
    }

    /// Takes one that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let &(at, timer) = self.order.first()?;
        if at > now {
            return None;
        }
        self.order.pop_first();
        self.at.remove(&timer);
        Some(timer)
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.at.contains_key(&timer)
    }
}
