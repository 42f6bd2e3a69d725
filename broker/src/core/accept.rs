//! What happens when a client asks: the request is accepted, joined to the one it repeats, or refused.
//!
//! A refusal tells why and whether another try is worth it; the order of the reasons is that of what the client can do.

use std::time::Instant;

use bytes::Bytes;

use super::{
    Broker, Phase,
    board::{ServiceId, service_name},
    dedup::{check_sum, size_of_frames},
    limits::{MAX_BODY_FRAMES, MAX_ID, OVERHEAD},
    message::{
        Event, NewRequest, Output, Peer, Refusal, RequestName, ReturnAddress, ToClient, What,
    },
    request::{Held, Keeping, Place, RequestNumber},
    timers::Timer,
};

/// Connections that may wait for the answer to one request: a client that lost one and came back needs two.
const MAX_ADDRESSES: usize = 8;

impl Broker {
    pub(super) fn request(&mut self, new: NewRequest, now: Instant) {
        if let Err(refusal) = self.well_formed(&new) {
            return self.refuse(new, refusal);
        }
        let Some(new) = self.unless_repeated(new, now) else {
            return;
        };
        let Some(name) = service_name(&new.service) else {
            return self.refuse(new, Refusal::new(400, "not a name of a service"));
        };
        let service = self.board.service(name);
        let size = OVERHEAD + size_of_frames(&new.body);
        if let Err(refusal) = self.room_for(&new, service, size) {
            self.refuse(new, refusal);
            return self.board.forget_if_unused(service);
        }
        self.accept(new, service, size, now);
    }

    fn well_formed(&self, new: &NewRequest) -> Result<(), Refusal> {
        if new
            .id
            .as_ref()
            .is_some_and(|id| !(1..=MAX_ID).contains(&id.len()))
        {
            return Err(Refusal::new(400, "the id of a request has 1 to 64 bytes"));
        }
        if new.handed.as_ref().is_some_and(|id| id.len() > MAX_ID) {
            return Err(Refusal::new(
                400,
                "the id of a request has at most 64 bytes",
            ));
        }
        if new.body.len() > MAX_BODY_FRAMES {
            return Err(Refusal::new(413, "the body has too many frames"));
        }
        if new.body.iter().map(Bytes::len).sum::<usize>() > self.limits.max_body {
            return Err(Refusal::new(413, "the body is too large"));
        }
        Ok(())
    }

    /// Joins a request that has come before to the first one. Returns it if it is new.
    fn unless_repeated(&mut self, new: NewRequest, now: Instant) -> Option<NewRequest> {
        let Some(name) = new.name() else {
            return Some(new);
        };
        if let Some(&number) = self.by_name.get(&name) {
            let same = self.requests.get(&number).is_some_and(|held| {
                *self.board.get(held.service).name.as_bytes() == *new.service
                    && held.body == new.body
            });
            if same {
                self.join(number, new);
            } else {
                self.refuse(new, Refusal::new(400, "this id is another request's"));
            }
            return None;
        }
        let Some((answer, sum)) = self.answers.get(&name, now) else {
            return Some(new);
        };
        if sum != check_sum(&new.service, &new.body) {
            self.refuse(new, Refusal::new(400, "this id is another request's"));
            return None;
        }
        self.counters.replayed += 1;
        let id = name.id;
        let service = String::from_utf8_lossy(&new.service).into();
        let message = match answer {
            Ok(body) => ToClient::Final { id, service, body },
            Err(refusal) => ToClient::Error {
                id,
                service,
                refusal,
            },
        };
        self.out.push(Output::Client(new.from, message));
        None
    }

    /// One more connection waits for the answer to this request.
    fn join(&mut self, number: RequestNumber, new: NewRequest) {
        self.counters.duplicates += 1;
        let Some(held) = self.requests.get_mut(&number) else {
            return;
        };
        let peer = new.from.peer;
        held.from.retain(|address| address.peer != peer);
        let displaced = (held.from.len() >= MAX_ADDRESSES).then(|| held.from.remove(0));
        held.from.push(new.from);
        self.by_client.entry(peer).or_default().insert(number);
        if new.ack {
            self.acknowledge(number, peer);
        }
        if let Some(address) = displaced {
            self.unlist(address.peer, number);
            let refusal = Refusal::new(409, "asked for by too many connections");
            self.tell_error(address, number, refusal);
        }
    }

    /// Whether there is room, and if not, why.
    fn room_for(&self, new: &NewRequest, service: ServiceId, size: usize) -> Result<(), Refusal> {
        let retry_after = Some(self.limits.retry_after);
        let later = |code, text| {
            Err(Refusal {
                retry_after,
                ..Refusal::new(code, text)
            })
        };
        if self.phase != Phase::Serving {
            return later(503, "this broker is leaving");
        }
        let of_client = self.by_client.get(&new.from.peer);
        if of_client.is_some_and(|held| held.len() >= self.limits.requests_per_client) {
            return later(429, "this client has too many requests waiting");
        }
        if self.requests.len() >= self.limits.requests || self.bytes + size > self.limits.bytes {
            return later(429, "the broker is full");
        }
        if new.handed.is_some() && !self.board.has_near(service) {
            return later(429, "no worker is free here");
        }
        let service = self.board.get(service);
        let waiting = service.queue.len();
        let too_much = waiting > 0 && service.bytes + size > self.limits.queue_bytes;
        if waiting >= self.limits.queue_length || too_much {
            return later(429, "the queue of this service is full");
        }
        Ok(())
    }

    fn accept(&mut self, new: NewRequest, service: ServiceId, size: usize, now: Instant) {
        let number = RequestNumber(self.next_request);
        self.next_request += 1;
        let deadline = now + new.timeout.min(self.limits.max_timeout);
        self.timers.set(Timer::Deadline(number), deadline);
        if let Some(name) = new.name() {
            self.by_name.insert(name, number);
        }
        let peer = new.from.peer;
        self.by_client.entry(peer).or_default().insert(number);
        self.bytes += size;
        self.board.hold(service);
        let held = Held {
            from: vec![new.from],
            key: new.key,
            patient: new.patient,
            retry: new.retry,
            stream: new.stream,
            trace: new.trace,
            handed: new.handed,
            ..Held::new(
                new.id,
                service,
                Place::Writing,
                (now, deadline),
                new.body,
                size,
            )
        };
        self.counters.taken_over += u64::from(held.handed.is_some());
        self.counters.accepted += 1;
        self.tell(What::Accepted, Some(&held), None, 0);
        self.requests.insert(number, held);
        if new.ack {
            self.acknowledge(number, peer);
        }
        if self
            .requests
            .get(&number)
            .is_some_and(|it| it.keeping == Keeping::No)
        {
            self.queue_up(number, now);
        }
    }

    /// Tells a client that its request was accepted, at once or when it is on disk.
    fn acknowledge(&mut self, number: RequestNumber, peer: Peer) {
        let Some(held) = self.requests.get_mut(&number) else {
            return;
        };
        if self.has_disk && held.id.is_some() && held.keeping != Keeping::Done {
            held.owed.push(peer);
            if held.keeping == Keeping::No {
                self.keep_request(number);
            }
            return;
        }
        let accepted = ToClient::Accepted { id: held.id() };
        if let Some(address) = held.from.iter().find(|it| it.peer == peer) {
            self.out.push(Output::Client(address.clone(), accepted));
        }
    }

    fn refuse(&mut self, new: NewRequest, refusal: Refusal) {
        if new.handed.is_some() {
            self.counters.given_back += 1;
        } else {
            self.counters.refused += 1;
        }
        let service = String::from_utf8_lossy(&new.service).into();
        let id = new.id.unwrap_or_default();
        if self.traces {
            self.out.push(Output::Event(Event {
                what: What::Refused,
                service: Some(std::sync::Arc::clone(&service)),
                id: id.clone(),
                worker: None,
                attempt: 0,
                code: refusal.code,
            }));
        }
        let error = ToClient::Error {
            id,
            service,
            refusal,
        };
        self.out.push(Output::Client(new.from, error));
    }

    /// The client wants no answer any more. It is told that there will be none.
    pub(super) fn cancel(&mut self, client: Peer, name: &RequestName) {
        let Some(&number) = self.by_name.get(name) else {
            return;
        };
        let Some(held) = self.requests.get_mut(&number) else {
            return;
        };
        let Some(at) = held.from.iter().position(|address| address.peer == client) else {
            return; // somebody else's
        };
        let executed = !held.deliveries.is_empty();
        let refusal = Refusal {
            maybe_executed: executed,
            ..Refusal::new(409, "cancelled")
        };
        if held.from.len() == 1 {
            return self.fail(number, refusal);
        }
        let address = held.from.remove(at);
        self.unlist(client, number);
        self.tell_error(address, number, refusal);
    }

    /// Tells one of those who wait for a request that they wait in vain.
    fn tell_error(&mut self, address: ReturnAddress, number: RequestNumber, refusal: Refusal) {
        if let Some(held) = self.requests.get(&number) {
            let error = ToClient::Error {
                id: held.id(),
                service: self.service_of(held),
                refusal,
            };
            self.out.push(Output::Client(address, error));
        }
    }

    /// A client no longer waits for this request.
    pub(super) fn unlist(&mut self, client: Peer, number: RequestNumber) {
        if let Some(mine) = self.by_client.get_mut(&client) {
            mine.remove(&number);
            if mine.is_empty() {
                self.by_client.remove(&client);
            }
        }
    }
}
