//! Requests that a crash must not take: they are acknowledged once they are on disk, and come back from there.
//!
//! Only a request whose client asked to be told of its acceptance is kept: nobody else knows that it was accepted. Until it
//! is on disk it is held but in no queue. What the disk is, and when it has written, is the caller's business.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use super::{
    Broker,
    board::service_name,
    dedup::{check_sum, size_of_frames},
    limits::OVERHEAD,
    message::{Frames, Output, Refusal, RequestName, Retry, ToClient, What},
    request::{Held, Keeping, Place, RequestNumber},
    timers::Timer,
};

/// A request to be written down, or that was read back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeptRequest {
    /// Its number: greater than those of requests accepted before.
    pub number: u64,
    /// What it is known by.
    pub name: RequestName,
    /// The service asked for.
    pub service: Arc<str>,
    /// When nobody waits for the answer any more.
    pub deadline: Instant,
    /// Whether it may be run again.
    pub retry: Retry,
    /// The trace context.
    pub trace: Option<Arc<str>>,
    /// The body.
    pub body: Frames,
}

/// An answer to be written down, or that was read back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeptAnswer {
    /// What the request is known by.
    pub name: RequestName,
    /// The check sum of what was asked.
    pub check_sum: u32,
    /// The result, or the worker's refusal.
    pub result: Result<Frames, Refusal>,
    /// When it was given.
    pub at: Instant,
}

impl Broker {
    /// From now on there are [`Output::Keep`] and [`Output::Release`], which somebody has to carry out; each `Keep` has to be
    /// followed by an [`Input::Kept`](super::message::Input::Kept) or
    /// [`NotKept`](super::message::Input::NotKept).
    pub fn keeps_on_disk(&mut self) {
        self.has_disk = true;
    }

    /// Takes back what was on disk; once, before anything else. Requests wait for workers and for their clients to ask again
    /// by their ids. What may be run once only is not run: nobody knows whether it was.
    pub fn restore(
        &mut self,
        mut requests: Vec<KeptRequest>,
        answers: Vec<KeptAnswer>,
        now: Instant,
    ) -> Vec<Output> {
        for kept in answers {
            self.put_answer(&kept, now);
        }
        requests.sort_by_key(|kept| kept.number);
        for kept in requests {
            self.next_request = self.next_request.max(kept.number + 1);
            self.restore_one(kept, now);
        }
        std::mem::take(&mut self.out)
    }

    fn put_answer(&mut self, kept: &KeptAnswer, now: Instant) {
        let result = kept.result.as_ref();
        self.answers
            .put(&kept.name, result, kept.check_sum, kept.at);
        self.answers_due(now);
    }

    /// Has the kept answers looked at when the one kept now may be too old, unless that is due before.
    pub(super) fn answers_due(&mut self, now: Instant) {
        let due = now + self.limits.answer_age;
        self.timers.set_if_clear(Timer::Answers, due);
    }

    fn restore_one(&mut self, kept: KeptRequest, now: Instant) {
        let number = RequestNumber(kept.number);
        if kept.retry == Retry::Never {
            let refusal = Refusal {
                maybe_executed: true,
                ..Refusal::new(502, "the broker was lost, and nobody may try again")
            };
            let answer = KeptAnswer {
                check_sum: check_sum(kept.service.as_bytes(), &kept.body),
                name: kept.name,
                result: Err(refusal),
                at: now,
            };
            self.put_answer(&answer, now);
            return self.out.push(Output::Release(kept.number, Some(answer)));
        }
        let Some(name) = service_name(kept.service.as_bytes()) else {
            return;
        };
        let service = self.board.service(name);
        self.board.hold(service);
        let size = OVERHEAD + size_of_frames(&kept.body);
        self.bytes += size;
        let place = Place::Queued(self.board.enqueue(service, number, size, false));
        self.timers.set(Timer::Deadline(number), kept.deadline);
        self.by_name.insert(kept.name.clone(), number);
        let held = Held {
            keeping: Keeping::Done,
            trace: kept.trace,
            key: kept.name.key,
            ..Held::new(
                Some(kept.name.id),
                service,
                place,
                (now, kept.deadline),
                kept.body,
                size,
            )
        };
        self.counters.restored += 1;
        self.tell(What::Restored, Some(&held), None, 0);
        self.requests.insert(number, held);
    }

    /// Has a request written down.
    pub(super) fn keep_request(&mut self, number: RequestNumber) {
        let Some(held) = self.requests.get_mut(&number) else {
            return;
        };
        let Some(name) = held.name() else {
            return; // nobody could ask for it again
        };
        held.keeping = Keeping::Writing;
        let kept = KeptRequest {
            number: number.0,
            name,
            service: self.board.get(held.service).name.clone(),
            deadline: held.deadline,
            retry: held.retry,
            trace: held.trace.clone(),
            body: held.body.clone(),
        };
        self.out.push(Output::Keep(kept));
    }

    /// A request is on disk: its clients are told, and it may be served.
    pub(super) fn kept(&mut self, number: u64, now: Instant) {
        let number = RequestNumber(number);
        let Some(held) = self.requests.get_mut(&number) else {
            return; // it ended before
        };
        held.keeping = Keeping::Done;
        let id = held.id();
        let owed = std::mem::take(&mut held.owed);
        for address in held.from.iter().filter(|it| owed.contains(&it.peer)) {
            let accepted = ToClient::Accepted { id: id.clone() };
            self.out.push(Output::Client(address.clone(), accepted));
        }
        if held.place == Place::Writing {
            self.queue_up(number, now);
        }
    }

    /// The disk does not take it. What has begun otherwise goes on; what was to wait for the disk is refused.
    pub(super) fn not_kept(&mut self, number: u64, why: &Bytes) {
        let number = RequestNumber(number);
        let Some(held) = self.requests.get_mut(&number) else {
            return;
        };
        held.keeping = Keeping::No;
        held.owed.clear();
        if held.place == Place::Writing {
            self.counters.not_kept += 1;
            let refusal = Refusal {
                code: 507,
                text: why.clone(),
                retry_after: Some(self.limits.retry_after),
                maybe_executed: false,
            };
            self.fail(number, refusal);
        }
    }

    /// A request has ended: the disk need not remember it, only its answer.
    pub(super) fn release(
        &mut self,
        number: RequestNumber,
        held: &Held,
        answer: Option<KeptAnswer>,
    ) {
        if held.keeping != Keeping::No {
            self.out.push(Output::Release(number.0, answer));
        }
    }

    /// Puts a request that has just been accepted into its queue.
    pub(super) fn queue_up(&mut self, number: RequestNumber, now: Instant) {
        let Some(held) = self.requests.get_mut(&number) else {
            return;
        };
        let service = held.service;
        held.place = Place::Queued(self.board.enqueue(service, number, held.size, false));
        // What is kept may well wait for its first worker: it was promised.
        let impatient = !held.patient && held.keeping == Keeping::No;
        if impatient && self.board.get(service).lanes.is_empty() {
            let due = now + self.limits.grace;
            self.timers.set(Timer::Grace(number), due);
        }
    }
}
