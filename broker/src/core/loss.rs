//! What happens when somebody is lost: a worker's requests go back to the front of their queues, a client's are let go
//! unless it may come back for them.
//!
//! How many attempts a request gets, and when a second run is out of the question, is decided here and nowhere else.

use std::time::{Duration, Instant};

use super::{
    Broker,
    message::{Delivery, Peer, Refusal, Retry, What},
    request::{Keeping, Place, RequestNumber},
    timers::Timer,
};

/// How long a request whose client has left is still worth serving: the client comes back within that time, or not at all.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(30);

impl Broker {
    /// A worker is gone, with all it had.
    pub(super) fn lose_worker(&mut self, peer: Peer) {
        let Some(worker) = self.workers.get_mut(&peer) else {
            return;
        };
        let mut lost = std::mem::take(&mut worker.running);
        self.remove_worker(peer);
        // Each goes to the front, so the oldest has to be the last.
        lost.sort_unstable_by_key(|delivery| {
            std::cmp::Reverse(self.attempts.get(delivery).and_then(|it| it.request))
        });
        for delivery in lost {
            self.lose_delivery(delivery);
        }
    }

    /// An attempt has come to nothing, and its worker has no part in it any more.
    pub(super) fn lose_delivery(&mut self, delivery: Delivery) {
        self.timers.clear(Timer::Lease(delivery));
        let Some(number) = self.attempts.remove(&delivery).and_then(|it| it.request) else {
            return;
        };
        let Some(held) = self.requests.get_mut(&number) else {
            return;
        };
        held.deliveries.retain(|&other| other != delivery);
        if held.place == Place::Running(delivery) {
            self.again(number);
        }
    }

    /// A worker has had a request for too long. It keeps its slot until it says something about it; whichever answer comes
    /// first counts.
    pub(super) fn lease_ended(&mut self, delivery: Delivery) {
        let Some(attempt) = self.attempts.get_mut(&delivery) else {
            return;
        };
        attempt.overdue = true;
        let Some(number) = attempt.request else {
            return;
        };
        if let Some(held) = self.requests.get(&number)
            && held.place == Place::Running(delivery)
        {
            self.again(number);
        }
    }

    /// A request whose attempt has come to nothing: another one, or an error.
    fn again(&mut self, number: RequestNumber) {
        let Some(held) = self.requests.get(&number) else {
            return;
        };
        let lost = |text| Refusal {
            maybe_executed: true,
            ..Refusal::new(502, text)
        };
        if !held.is_wanted() {
            self.abandon(number);
        } else if held.handed.is_some() {
            self.give_back(number, true);
        } else if held.begun {
            self.fail(number, lost("the worker was lost after part of its answer"));
        } else if held.retry == Retry::Never {
            self.fail(number, lost("the worker was lost, and no other may try"));
        } else if held.attempts >= self.limits.attempts {
            self.counters.dead_letters += 1;
            self.tell_of(What::DeadLetter, number, None, 502);
            self.fail(number, lost("every worker that had it was lost"));
        } else {
            self.requeue(number);
        }
    }

    fn requeue(&mut self, number: RequestNumber) {
        let Some(held) = self.requests.get_mut(&number) else {
            return;
        };
        let place = self.board.enqueue(held.service, number, held.size, true);
        held.place = Place::Queued(place);
        self.counters.requeued += 1;
        self.tell_of(What::Requeued, number, None, 0);
    }

    /// The request never reached the worker: it does not count as an attempt, and the worker is left alone for a while.
    pub(super) fn undelivered(&mut self, delivery: Delivery, now: Instant) {
        self.timers.clear(Timer::Lease(delivery));
        let Some(attempt) = self.attempts.remove(&delivery) else {
            return;
        };
        let peer = attempt.worker;
        if let Some(worker) = self.workers.get_mut(&peer) {
            worker.running.retain(|&other| other != delivery);
            worker.stalled = true;
            let due = now + self.limits.stall;
            self.timers.set(Timer::Stall(peer), due);
            self.settle(peer);
        }
        let Some(number) = attempt.request else {
            return;
        };
        let Some(held) = self.requests.get_mut(&number) else {
            return;
        };
        held.deliveries.retain(|&other| other != delivery);
        held.attempts -= 1;
        held.tried.pop();
        if held.place != Place::Running(delivery) {
            return;
        }
        if !held.is_wanted() {
            self.abandon(number);
        } else if held.handed.is_some() {
            self.give_back(number, false);
        } else {
            self.requeue(number);
        }
    }

    /// A client is gone. What it gave an id it may come back for; of the rest, what no worker has is dropped.
    pub(super) fn lose_client(&mut self, peer: Peer, now: Instant) {
        for number in self.by_client.remove(&peer).unwrap_or_default() {
            let Some(held) = self.requests.get_mut(&number) else {
                continue;
            };
            held.from.retain(|address| address.peer != peer);
            if !held.from.is_empty() {
                continue;
            }
            held.owed.retain(|&it| it != peer);
            if held.keeping != Keeping::No {
                // It was told that it may rely on it.
            } else if held.id.is_some() {
                held.deadline = held.deadline.min(now + ORPHAN_PATIENCE);
                self.timers.set(Timer::Deadline(number), held.deadline);
            } else if matches!(held.place, Place::Queued(_)) {
                self.abandon(number);
            }
        }
    }

    /// Nobody waits for it and nobody will.
    fn abandon(&mut self, number: RequestNumber) {
        self.counters.abandoned += 1;
        self.tell_of(What::Abandoned, number, None, 0);
        if let Some((held, _)) = self.take_out(number) {
            self.release(number, &held, None);
        }
    }
}
