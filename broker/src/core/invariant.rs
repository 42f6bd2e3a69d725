//! What always holds between two events, as code.
//!
//! Tests check it after every event, debug builds after those they can afford; release builds do not contain it.

use super::{
    Broker,
    message::Peer,
    request::{Keeping, Place},
    timers::Timer,
};

/// Up to this many things held, a debug build checks after every event …
const CHEAP: usize = 64;
/// … and beyond it after every so many.
const EVERY: u64 = 512;

impl Broker {
    pub(super) fn check_now_and_then(&mut self) {
        self.events += 1;
        let held = self.requests.len() + self.workers.len() + self.board.size().1;
        if held <= CHEAP || self.events.is_multiple_of(EVERY) {
            self.check();
        }
    }

    /// Panics if something does not hold.
    pub(super) fn check(&self) {
        #[cfg(test)]
        let looks = self.board.looks();
        self.check_all();
        #[cfg(test)]
        self.board.forget_looks_since(looks);
    }

    fn check_all(&self) {
        self.board.check(); // first of all: nobody is idle while a request it could serve waits
        for (&peer, worker) in &self.workers {
            assert_eq!(
                self.board.is_free(peer),
                worker.has_room(),
                "{peer:?}: {worker:?}"
            );
            assert!(
                worker.running.len() <= usize::from(worker.capacity),
                "{peer:?}"
            );
            for delivery in &worker.running {
                assert_eq!(self.attempts[delivery].worker, peer);
            }
        }
        for (delivery, attempt) in &self.attempts {
            assert!(self.workers[&attempt.worker].running.contains(delivery));
            if let Some(number) = attempt.request {
                assert!(self.requests[&number].deliveries.contains(delivery));
            }
            assert_ne!(self.timers.is_set(Timer::Lease(*delivery)), attempt.overdue);
        }
        let remotes = self.workers.values().filter(|worker| worker.far);
        assert_eq!(self.remotes, remotes.count());
        self.check_requests();
    }

    fn check_requests(&self) {
        let (mut bytes, mut queued, mut listed) = (0, 0, 0);
        for (&number, held) in &self.requests {
            bytes += held.size;
            listed += held.from.len();
            assert!(
                self.timers.is_set(Timer::Deadline(number)),
                "it ends at some time"
            );
            match held.place {
                Place::Queued(place) => {
                    queued += 1;
                    assert!(held.handed.is_none(), "what was handed over never waits");
                    let service = self.board.get(held.service);
                    assert_eq!(service.queue.get(&place), Some(&number));
                }
                Place::Running(delivery) => {
                    let attempt = &self.attempts[&delivery];
                    assert!(attempt.request == Some(number) && !attempt.overdue);
                    let far = self.workers[&attempt.worker].far;
                    assert!(!far || held.handed.is_none(), "no request goes on twice");
                }
                Place::Writing => assert_eq!(held.keeping, Keeping::Writing),
            }
            if let Some(name) = held.name() {
                assert_eq!(self.by_name.get(&name), Some(&number));
            }
            let mut peers: Vec<Peer> = held.from.iter().map(|address| address.peer).collect();
            assert!(
                peers
                    .iter()
                    .all(|peer| self.by_client[peer].contains(&number))
            );
            peers.sort_unstable();
            peers.dedup();
            assert_eq!(
                peers.len(),
                held.from.len(),
                "one address for each connection"
            );
        }
        assert_eq!(bytes, self.bytes);
        assert_eq!(queued, self.board.queued());
        let with_id = self
            .requests
            .values()
            .filter(|held| held.id.is_some())
            .count();
        assert_eq!(self.by_name.len(), with_id);
        let of_clients: usize = self.by_client.values().map(|mine| mine.len()).sum();
        assert_eq!(of_clients, listed);
    }
}
