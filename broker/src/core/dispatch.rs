//! Gives what waits to who is free, as long as there is both.
//!
//! It runs after every event, so nothing else in the core ever has to think of it.

use std::time::Instant;

use super::{
    Attempt, Broker,
    board::ServiceId,
    message::{Delivery, Output, Peer, ToWorker, What},
    request::{Place, RequestNumber},
    timers::Timer,
};

impl Broker {
    pub(super) fn dispatch(&mut self, now: Instant) {
        while let Some(service) = self.board.next() {
            let Some((&place, &number)) = self.board.get(service).queue.first_key_value() else {
                debug_assert!(false, "a service that waits has a request in its queue");
                return;
            };
            let tried = self
                .requests
                .get(&number)
                .map_or(&[][..], |held| &held.tried);
            let Some(worker) = self.board.worker_for(service, tried) else {
                debug_assert!(false, "an active lane has a free worker");
                return;
            };
            self.assign((service, place, number), worker, now);
        }
    }

    fn assign(
        &mut self,
        (service, place, number): (ServiceId, i64, RequestNumber),
        peer: Peer,
        now: Instant,
    ) {
        let delivery = Delivery(self.next_delivery);
        self.next_delivery = self.next_delivery.wrapping_add(1);
        let (Some(held), Some(worker)) =
            (self.requests.get_mut(&number), self.workers.get_mut(&peer))
        else {
            debug_assert!(false, "the board names requests and workers that exist");
            return;
        };
        held.place = Place::Running(delivery);
        held.deliveries.push(delivery);
        held.attempts += 1;
        held.parts.clear();
        held.tried.push(peer);
        worker.running.push(delivery);
        let message = ToWorker::Request {
            delivery,
            service: self.board.get(service).name.clone(),
            id: held.handed.clone().unwrap_or_else(|| held.id()),
            attempt: held.attempts,
            time_left: held.deadline.saturating_duration_since(now),
            trace: held.trace.clone(),
            body: held.body.clone(),
        };
        self.out.push(Output::Worker(peer, message));
        let (size, far) = (held.size, worker.far);
        self.timers.set(Timer::Lease(delivery), now + worker.lease);
        self.timers.clear(Timer::Grace(number));
        let attempt = Attempt {
            worker: peer,
            request: Some(number),
            overdue: false,
        };
        self.attempts.insert(delivery, attempt);
        self.board.dequeue(service, place, size);
        self.board.served(service);
        self.settle(peer);
        let what = if far {
            self.counters.handed_over += 1;
            What::HandedOver
        } else {
            self.counters.dispatched += 1;
            What::Dispatched
        };
        self.tell_of(what, number, Some(peer), 0);
    }
}
