//! How a request ends: with a worker's answer, with its failure, or with an error of ours.
//!
//! The first answer counts, whichever attempt it comes from. Whatever ends a request goes through `take_out`.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use super::{
    Broker,
    dedup::check_sum,
    keep::KeptAnswer,
    limits::MAX_BODY_FRAMES,
    message::{Delivery, Frames, Output, Peer, Refusal, ToClient, What},
    request::{Held, Keeping, Place, RequestNumber},
    timers::Timer,
};

/// Whether an answer may be passed on.
fn fits(body: &Frames, max: usize) -> bool {
    body.len() <= MAX_BODY_FRAMES && body.iter().map(Bytes::len).sum::<usize>() <= max
}

fn too_large() -> Refusal {
    Refusal {
        maybe_executed: true,
        ..Refusal::new(502, "the answer is too large")
    }
}

impl Broker {
    /// Takes an attempt off a worker that has finished with it. Returns the request if somebody still waits for it.
    fn settled(&mut self, peer: Peer, delivery: Delivery, now: Instant) -> Option<RequestNumber> {
        if !self.hear(peer, now) {
            return None;
        }
        if self
            .attempts
            .get(&delivery)
            .is_none_or(|it| it.worker != peer)
        {
            self.counters.strays += 1; // forged, or from before it was lost
            return None;
        }
        self.timers.clear(Timer::Lease(delivery));
        let request = self.attempts.remove(&delivery).and_then(|it| it.request);
        if let Some(worker) = self.workers.get_mut(&peer) {
            worker.running.retain(|&other| other != delivery);
            self.settle(peer);
        }
        match request {
            Some(number) => {
                if let Some(held) = self.requests.get_mut(&number) {
                    held.deliveries.retain(|&other| other != delivery);
                }
            }
            None => self.counters.late += 1,
        }
        request
    }

    pub(super) fn finished(&mut self, peer: Peer, delivery: Delivery, body: Frames, now: Instant) {
        let Some(number) = self.settled(peer, delivery, now) else {
            return;
        };
        let body = match self.requests.get_mut(&number) {
            // Parts of this attempt; those of another one are not its beginning.
            Some(held) if held.place == Place::Running(delivery) => {
                let mut whole = std::mem::take(&mut held.parts);
                whole.extend(body);
                whole
            }
            _ => body,
        };
        if !fits(&body, self.limits.max_body) {
            return self.fail(number, too_large());
        }
        self.counters.answered += 1;
        self.tell_of(What::Answered, number, Some(peer), 200);
        let Some((held, service)) = self.take_out(number) else {
            return;
        };
        self.latency.note(now.saturating_duration_since(held.since));
        let (id, last) = (held.id(), held.from.len().saturating_sub(1));
        if held.id.is_some() {
            self.keep((number, &held, &service), Ok(&body), now);
        }
        let mut body = Some(body);
        for (at, address) in held.from.into_iter().enumerate() {
            let body = if at == last {
                body.take()
            } else {
                body.clone()
            };
            let message = ToClient::Final {
                id: id.clone(),
                service: service.clone(),
                body: body.unwrap_or_default(),
            };
            self.out.push(Output::Client(address, message));
        }
    }

    pub(super) fn partial(&mut self, peer: Peer, delivery: Delivery, body: &Frames, now: Instant) {
        if !self.hear(peer, now) {
            return;
        }
        let attempt = self.attempts.get(&delivery);
        let Some(attempt) = attempt.filter(|attempt| attempt.worker == peer) else {
            self.counters.strays += 1;
            return;
        };
        let held = attempt
            .request
            .and_then(|number| self.requests.get_mut(&number));
        // Only the present attempt may begin an answer: two that write in turns would make no sense.
        let Some(held) = held.filter(|held| held.place == Place::Running(delivery)) else {
            self.counters.late += 1;
            return;
        };
        if !held.stream {
            held.parts.extend_from_slice(body);
            let fits = fits(&held.parts, self.limits.max_body);
            if let Some(number) = attempt.request.filter(|_| !fits) {
                self.fail(number, too_large());
            }
            return;
        }
        held.begun = true;
        for address in &held.from {
            let message = ToClient::Partial {
                id: held.id(),
                service: self.board.get(held.service).name.clone(),
                body: body.clone(),
            };
            self.out.push(Output::Client(address.clone(), message));
        }
    }

    pub(super) fn failed(
        &mut self,
        peer: Peer,
        delivery: Delivery,
        (code, text): (u16, Bytes),
        retryable: bool,
        now: Instant,
    ) {
        if retryable {
            if self.hear(peer, now)
                && self
                    .attempts
                    .get(&delivery)
                    .is_some_and(|it| it.worker == peer)
            {
                if let Some(worker) = self.workers.get_mut(&peer) {
                    worker.running.retain(|&other| other != delivery);
                }
                self.lose_delivery(delivery);
                self.settle(peer);
            } else {
                self.counters.strays += 1;
            }
            return;
        }
        let Some(number) = self.settled(peer, delivery, now) else {
            return;
        };
        let refusal = Refusal {
            code,
            text,
            retry_after: None,
            maybe_executed: true,
        };
        self.counters.failed += 1;
        self.tell_of(What::Answered, number, Some(peer), code);
        if let Some((held, service)) = self.take_out(number) {
            self.keep((number, &held, &service), Err(&refusal), now);
            self.send_refusal(held, &service, &refusal);
        }
    }

    /// Ends a request with an error of ours.
    pub(super) fn fail(&mut self, number: RequestNumber, refusal: Refusal) {
        self.counters.failed += 1;
        self.tell_of(What::Answered, number, None, refusal.code);
        if let Some((held, service)) = self.take_out(number) {
            self.release(number, &held, None);
            self.send_refusal(held, &service, &refusal);
        }
    }

    pub(super) fn send_refusal(&mut self, held: Held, service: &Arc<str>, refusal: &Refusal) {
        let id = held.id();
        for address in held.from {
            let message = ToClient::Error {
                id: id.clone(),
                service: service.clone(),
                refusal: refusal.clone(),
            };
            self.out.push(Output::Client(address, message));
        }
    }
}

impl Broker {
    /// Takes a request out of everything that knows it. Attempts that still run go on without it.
    pub(super) fn take_out(&mut self, number: RequestNumber) -> Option<(Held, Arc<str>)> {
        let held = self.requests.remove(&number)?;
        if let Place::Queued(place) = held.place {
            self.board.dequeue(held.service, place, held.size);
        }
        self.timers.clear(Timer::Deadline(number));
        self.timers.clear(Timer::Grace(number));
        for delivery in &held.deliveries {
            if let Some(attempt) = self.attempts.get_mut(delivery) {
                attempt.request = None;
            }
        }
        if let Some(name) = held.name() {
            self.by_name.remove(&name);
        }
        for address in &held.from {
            self.unlist(address.peer, number);
        }
        self.bytes -= held.size;
        let service = self.service_of(&held);
        self.board.release(held.service);
        Some((held, service))
    }

    /// Keeps the answer to a request that may come again.
    fn keep(
        &mut self,
        (number, held, service): (RequestNumber, &Held, &str),
        result: Result<&Frames, &Refusal>,
        now: Instant,
    ) {
        let Some(name) = held.name() else {
            return;
        };
        let check_sum = check_sum(service.as_bytes(), &held.body);
        if held.keeping != Keeping::No {
            let answer = KeptAnswer {
                name: name.clone(),
                check_sum,
                result: result.cloned().map_err(Refusal::clone),
                at: now,
            };
            self.release(number, held, Some(answer));
        }
        self.answers.put(&name, result, check_sum, now);
        self.answers_due(now);
    }
}
