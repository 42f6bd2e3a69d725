//! What the core decided, as messages: jobs to workers, answers to the broker.

use std::time::Instant;

use bytes::Bytes;

use super::{Act, BROKER, LOANS, State, Turn, name_of};
use crate::{
    core::message::{Delivery, Input, Output, Peer, ToClient, ToWorker},
    faas::message::{Answer, Job, Note},
};

impl State {
    /// Tells the core what happened, and does what it says.
    pub(super) fn feed(&mut self, input: Input, now: Instant) {
        self.untold = true;
        for output in self.core.on(input, now) {
            match output {
                Output::Worker(peer, ToWorker::Request { delivery, id, .. }) => {
                    self.given(peer, delivery, &id);
                }
                Output::Client(_, ToClient::Final { id, body, .. }) => {
                    let note = body.first().and_then(|body| Note::read(body));
                    if let Some(answer) = note.and_then(Note::into_answer)
                        && self.jobs.contains_key(text(&id))
                    {
                        self.answer(answer, now);
                    }
                }
                Output::Client(_, ToClient::Error { id, refusal, .. }) => {
                    let why = String::from_utf8_lossy(&refusal.text);
                    let answer = Answer::error(text(&id), refusal.code, &why);
                    if self.jobs.contains_key(&answer.id) {
                        self.answer(answer, now);
                    }
                }
                _ => {}
            }
        }
        self.end_loans(now);
    }

    /// The core gives a job to a worker, or to the other queue that a loan stands for.
    fn given(&mut self, peer: Peer, delivery: Delivery, id: &Bytes) {
        let Some(held) = self.jobs.get(text(id)) else {
            return;
        };
        let job = held.job.clone();
        if peer.0 >= LOANS {
            self.lent(peer, delivery, job);
        } else {
            self.assign(peer, delivery, job);
        }
    }

    pub(super) fn assign(&mut self, peer: Peer, delivery: Delivery, job: Job) {
        let Some(worker) = self.workers.get_mut(&peer) else {
            return;
        };
        match &mut worker.turn {
            Turn::Pinged(_, waiting) => *waiting = Some((delivery, job)),
            turn => {
                let note = job.note(Some("request_job"));
                let id = job.id;
                *turn = Turn::Working { delivery, id };
                self.acts.push(Act::Worker(peer, note));
            }
        }
    }

    /// An answer that counts.
    fn answer(&mut self, answer: Answer, now: Instant) {
        self.jobs.remove(&answer.id);
        let answer = Answer {
            queue: Some(self.name.clone()),
            ..answer
        };
        if self.recent.keep(&answer, now) {
            self.acts.push(Act::Broker(answer.note()));
        }
    }

    /// No broker took this answer: it is said again when one can be reached.
    pub(in crate::faas) fn unsent(&mut self, note: &Note) {
        if let Some(id) = note.id.as_ref().filter(|id| !self.unsent.contains(id)) {
            self.unsent.push(id.clone());
        }
    }

    /// The broker can be reached: it is told what it was not, as far as that is still kept.
    pub(in crate::faas) fn say_again(&mut self) {
        for id in std::mem::take(&mut self.unsent) {
            let answer = self.recent.get(&id);
            self.acts.extend(answer.map(|it| Act::Broker(it.note())));
        }
    }

    /// An answer of a worker that was taken for lost.
    pub(super) fn late(&mut self, answer: Answer, now: Instant) {
        let id = answer.id.clone();
        if answer.code.is_none() && self.jobs.contains_key(&id) {
            self.answer(answer, now);
            self.forget(&id, now);
        }
    }

    /// Somebody else has answered this job, or keeps it.
    pub(super) fn forget(&mut self, id: &str, now: Instant) {
        self.jobs.remove(id);
        let (client, name) = (BROKER, name_of(id));
        self.feed(Input::Cancel { client, name }, now);
    }
}

fn text(id: &[u8]) -> &str {
    std::str::from_utf8(id).unwrap_or_default()
}
