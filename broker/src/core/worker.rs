//! Workers as the broker knows them: they offer themselves, beat, pause and leave.
//!
//! What happens to the requests of a worker that is gone stands in `loss`.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{
    Broker,
    board::Selector,
    limits::MAX_SERVICES_PER_WORKER,
    message::{Beats, Delivery, Output, Peer, Ready, ToWorker, What},
    timers::Timer,
};

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) capacity: u16,
    pub(super) beats: Beats,
    pub(super) silence: Duration,
    pub(super) lease: Duration,
    pub(super) last_seen: Instant,
    /// What it has, whether or not anybody still waits for it.
    pub(super) running: Vec<Delivery>,
    /// Its connection was full.
    pub(super) stalled: bool,
    /// It wants no more.
    pub(super) draining: bool,
    /// It is another broker.
    pub(super) far: bool,
}

impl Worker {
    /// Whether it can be given a request.
    pub(super) fn has_room(&self) -> bool {
        !self.stalled && !self.draining && self.running.len() < usize::from(self.capacity)
    }
}

impl Broker {
    pub(super) fn ready(&mut self, peer: Peer, ready: &Ready, now: Instant) {
        if self.workers.contains_key(&peer) {
            self.lose_worker(peer);
        }
        let room = self.workers.len() - self.remotes < self.limits.workers;
        let selectors = self.admissible(&ready.services).filter(|_| room);
        let Some(selectors) = selectors else {
            self.counters.workers_refused += 1;
            self.out.push(Output::Worker(peer, ToWorker::Bye));
            return;
        };
        let worker = Worker {
            capacity: ready.capacity.clamp(1, self.limits.capacity),
            beats: ready.beats,
            silence: ready.silence,
            lease: ready.lease,
            last_seen: now,
            running: Vec::new(),
            stalled: false,
            draining: false,
            far: false,
        };
        self.workers.insert(peer, worker);
        self.board.join(peer, &selectors, false);
        self.board.free(peer);
        if ready.beats != Beats::Never {
            let due = now + ready.silence;
            self.timers.set(Timer::Silence(peer), due);
            let due = now + self.limits.heartbeat;
            self.timers.set_if_clear(Timer::Heartbeat, due);
        }
        let lease = ready.lease;
        self.out
            .push(Output::Worker(peer, ToWorker::Welcome { lease }));
        self.tell(What::WorkerReady, None, Some(peer), 0);
    }

    /// The offer as selectors, unless it is malformed or names too much.
    pub(super) fn admissible(&self, services: &[Bytes]) -> Option<Vec<Selector>> {
        let known = 1..=MAX_SERVICES_PER_WORKER;
        if !known.contains(&services.len()) {
            return None;
        }
        let mut selectors = Vec::with_capacity(services.len());
        for service in services {
            let selector = Selector::parse(service)?;
            if !selectors.contains(&selector) {
                selectors.push(selector);
            }
        }
        let (lanes, prefixes) = self.board.lanes_with(&selectors);
        (lanes <= self.limits.lanes && prefixes <= self.limits.prefixes).then_some(selectors)
    }

    /// A known worker said something: it lives, and its connection moves again. Says whether it is known; one that is not
    /// is told so, and will offer itself again.
    pub(super) fn hear(&mut self, peer: Peer, now: Instant) -> bool {
        let Some(worker) = self.workers.get_mut(&peer) else {
            self.counters.strays += 1;
            self.out.push(Output::Worker(peer, ToWorker::Bye));
            return false;
        };
        worker.last_seen = now;
        if worker.stalled {
            self.resume(peer);
        }
        true
    }

    /// A worker that was left alone may be tried again.
    pub(super) fn resume(&mut self, peer: Peer) {
        self.timers.clear(Timer::Stall(peer));
        if let Some(worker) = self.workers.get_mut(&peer) {
            worker.stalled = false;
            self.settle(peer);
        }
    }

    /// Brings the board in line with a worker that has more or less room than before, and lets one go that waited for its
    /// last request to end.
    pub(super) fn settle(&mut self, peer: Peer) {
        let Some(worker) = self.workers.get(&peer) else {
            return;
        };
        if worker.has_room() {
            self.board.free(peer);
        } else {
            self.board.busy(peer);
        }
        if worker.draining && worker.running.is_empty() {
            if !worker.far {
                self.out.push(Output::Worker(peer, ToWorker::Bye));
            }
            self.remove_worker(peer);
        }
    }

    pub(super) fn heartbeat(&mut self, peer: Peer, running: &[Delivery], now: Instant) {
        if !self.hear(peer, now) {
            return;
        }
        let Some(worker) = self.workers.get(&peer) else {
            return;
        };
        let due = now + worker.lease;
        // It can name no more than it has, however long its list is.
        for &delivery in running.iter().take(worker.running.len()) {
            self.renew(peer, delivery, due);
        }
    }

    pub(super) fn extend(&mut self, peer: Peer, delivery: Delivery, by: Duration, now: Instant) {
        if self.hear(peer, now) {
            self.renew(peer, delivery, now + by.min(self.limits.max_extension));
        }
    }

    fn renew(&mut self, peer: Peer, delivery: Delivery, due: Instant) {
        let lease = Timer::Lease(delivery);
        if let Some(attempt) = self.attempts.get(&delivery)
            && attempt.worker == peer
            && !attempt.overdue
        {
            self.timers.set(lease, due);
        }
    }

    pub(super) fn drain_worker(&mut self, peer: Peer, now: Instant) {
        if self.hear(peer, now)
            && let Some(worker) = self.workers.get_mut(&peer)
        {
            worker.draining = true;
            self.settle(peer);
        }
    }

    /// A worker may have been silent for too long.
    pub(super) fn check_silence(&mut self, peer: Peer, now: Instant) {
        let Some(worker) = self.workers.get(&peer) else {
            return;
        };
        let busy = worker.beats == Beats::WhenIdle && !worker.running.is_empty();
        let heard = if busy { now } else { worker.last_seen };
        let due = heard + worker.silence;
        if due > now {
            self.timers.set(Timer::Silence(peer), due);
        } else {
            self.out.push(Output::Worker(peer, ToWorker::Bye));
            self.lose_worker(peer);
        }
    }

    /// Tells the workers that wait for it that the broker lives.
    pub(super) fn beat(&mut self, now: Instant) {
        let mut any = false;
        for (&peer, worker) in &self.workers {
            if worker.beats != Beats::Never {
                any = true;
                self.out.push(Output::Worker(peer, ToWorker::Heartbeat));
            }
        }
        if any {
            let due = now + self.limits.heartbeat;
            self.timers.set(Timer::Heartbeat, due);
        }
    }

    /// Forgets a worker that has nothing.
    pub(super) fn remove_worker(&mut self, peer: Peer) {
        let far = self.workers.remove(&peer).is_some_and(|it| it.far);
        self.remotes -= usize::from(far);
        self.timers.clear(Timer::Silence(peer));
        self.timers.clear(Timer::Stall(peer));
        self.board.leave(peer);
        if !far {
            self.tell(What::WorkerLost, None, Some(peer), 0);
        }
    }
}
