//! Other brokers: each counts as a worker for every name it serves, after the workers here.
//!
//! What is handed over stays held here until it is answered, so a broker that is lost is a worker that is lost. What comes from
//! another broker is served at once or given back: it never waits here and never goes on, so nothing goes round in circles.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    Broker, Phase,
    board::LaneId,
    message::{Beats, Delivery, Peer, Refusal, What},
    request::RequestNumber,
    timers::Timer,
    worker::Worker,
};

/// What a broker can do for others under one name.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Spare {
    /// Requests it has room for.
    pub free: u16,
    /// Requests that wait there; 0 for a prefix, which has no queue of its own.
    pub queued: usize,
    /// Requests given back by that broker so far, under whatever name. Who got one back asks no more until it hears anew:
    /// this makes news of room that is again what it was.
    #[serde(default)]
    pub given_back: u64,
}

impl Broker {
    /// Another broker has room for so many requests besides those it has from here.
    pub(super) fn remote(&mut self, peer: Peer, service: &Bytes, free: Option<u16>, now: Instant) {
        if !self.workers.contains_key(&peer) && !self.join_remote(peer, service, free, now) {
            return;
        }
        let Some(worker) = self.workers.get_mut(&peer).filter(|it| it.far) else {
            return;
        };
        self.timers.clear(Timer::Stall(peer));
        let running = u16::try_from(worker.running.len()).unwrap_or(u16::MAX);
        worker.capacity = running.saturating_add(free.unwrap_or(0));
        worker.last_seen = now;
        worker.stalled = false;
        worker.draining = free.is_none();
        // Who says again what it said before keeps its place.
        if !(worker.has_room() && self.board.is_free(peer)) {
            self.settle(peer);
        }
    }

    /// Takes in another broker under a name that it has not had before.
    fn join_remote(
        &mut self,
        peer: Peer,
        service: &Bytes,
        free: Option<u16>,
        now: Instant,
    ) -> bool {
        if free.is_none() || self.remotes >= self.limits.remotes {
            return false;
        }
        let Some(selectors) = self.admissible(std::slice::from_ref(service)) else {
            return false;
        };
        let worker = Worker {
            capacity: 0,
            beats: Beats::Never, // its owner watches the connection
            silence: Duration::MAX,
            lease: self.limits.max_timeout, // it has leases of its own
            last_seen: now,
            running: Vec::new(),
            stalled: false,
            draining: false,
            far: true,
        };
        self.workers.insert(peer, worker);
        self.remotes += 1;
        self.board.join(peer, &selectors, true);
        true
    }

    /// Another broker had no room: the request waits here again, and that broker is left alone until it says more.
    pub(super) fn refused(&mut self, peer: Peer, delivery: Delivery, now: Instant) {
        let attempt = self.attempts.get(&delivery);
        let known = attempt.is_some_and(|it| it.worker == peer);
        if known && self.workers.get(&peer).is_some_and(|it| it.far) {
            self.undelivered(delivery, now);
        } else {
            self.counters.strays += 1;
        }
    }

    /// Ends a request that another broker keeps: it knows best what becomes of it.
    pub(super) fn give_back(&mut self, number: RequestNumber, maybe_executed: bool) {
        let (code, text) = if maybe_executed {
            (502, "the worker was lost")
        } else {
            (429, "the worker takes no more")
        };
        self.counters.given_back += 1;
        self.tell_of(What::GivenBack, number, None, code);
        let refusal = Refusal {
            maybe_executed,
            retry_after: Some(self.limits.retry_after),
            ..Refusal::new(code, text)
        };
        if let Some((held, service)) = self.take_out(number) {
            self.send_refusal(held, &service, &refusal);
        }
    }

    /// Whether another broker is known under this number.
    pub fn knows_remote(&self, peer: Peer) -> bool {
        self.workers.get(&peer).is_some_and(|it| it.far)
    }

    /// What this broker can do for others: every name and prefix that workers here serve, with the room they have.
    pub fn spare(&self) -> BTreeMap<String, Spare> {
        let mut room: BTreeMap<LaneId, usize> = BTreeMap::new();
        let workers = self.workers.iter();
        for (&peer, worker) in workers.filter(|(_, it)| !it.far && it.has_room()) {
            for &lane in self.board.lanes_of(peer) {
                *room.entry(lane).or_default() +=
                    usize::from(worker.capacity) - worker.running.len();
            }
        }
        let serving = self.phase == Phase::Serving;
        let spare = self.board.near().map(|(lane, selector)| {
            let name = selector.written();
            let free = room.get(&lane).copied().filter(|_| serving);
            let free = u16::try_from(free.unwrap_or(0)).unwrap_or(u16::MAX);
            let queued = self.queued(name.as_bytes());
            let given_back = self.counters.given_back;
            let spare = Spare {
                free,
                queued,
                given_back,
            };
            (name, spare)
        });
        spare.collect()
    }
}
