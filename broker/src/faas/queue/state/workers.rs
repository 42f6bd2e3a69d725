//! A queue's own workers: they join, answer, are pinged, and are lost.
//!
//! A worker is a REQ socket: whoever has spoken waits for the other side. So it can be given something only when it is our
//! turn.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{MAX_FUNCTIONS, OPEN, OURS, State, Turn, Worker};
use crate::{
    core::message::{Beats, Input, Peer, Ready},
    faas::{
        DEFAULT_FUNCTION, is_name,
        message::{Answer, Note},
    },
};

impl State {
    /// A worker hangs: others get what it was to have.
    pub(super) fn silence(&mut self, peer: Peer, now: Instant) {
        let Some(worker) = self.workers.get_mut(&peer) else {
            return;
        };
        worker.turn = Turn::Lost;
        let functions = worker.functions.clone();
        self.feed(Input::Gone(peer), now);
        self.open_up(&functions, now);
    }

    /// A worker offers itself; what it had, if it was known, goes to others.
    pub(super) fn join(&mut self, worker: Peer, note: Note, now: Instant) {
        let mut functions = note.functions.unwrap_or_default();
        functions.retain(|name| is_name(name));
        functions.truncate(MAX_FUNCTIONS);
        if functions.is_empty() {
            functions.push(DEFAULT_FUNCTION.to_owned());
        }
        self.admit(worker, functions, now);
    }

    fn admit(&mut self, worker: Peer, functions: Vec<String>, now: Instant) {
        let kinds = functions.iter();
        let kinds = kinds.flat_map(|name| [OPEN, OURS].map(|kind| format!("{kind}{name}")));
        let ready = Ready {
            services: kinds.map(Bytes::from).collect(),
            capacity: 1,
            beats: Beats::Never,
            silence: Duration::MAX,
            lease: self.limits.lease,
        };
        let turn = Turn::Ours(now);
        self.workers.insert(worker, Worker { functions, turn });
        self.feed(Input::Ready { worker, ready }, now);
    }

    /// A worker answered a ping.
    pub(super) fn alive(&mut self, peer: Peer, now: Instant) {
        let Some(worker) = self.workers.get_mut(&peer) else {
            return self.join(peer, Note::default(), now);
        };
        match &mut worker.turn {
            Turn::Pinged(_, waiting) => {
                let waiting = waiting.take();
                worker.turn = Turn::Ours(now);
                if let Some((delivery, job)) = waiting {
                    self.assign(peer, delivery, job);
                }
            }
            Turn::Lost => {
                let functions = worker.functions.clone();
                self.admit(peer, functions, now);
            }
            Turn::Ours(_) | Turn::Working { .. } => {}
        }
    }

    /// A worker answered a job.
    pub(super) fn done(&mut self, worker: Peer, answer: Answer, retry: bool, now: Instant) {
        let known = self.workers.get_mut(&worker);
        let turn = known.map(|it| std::mem::replace(&mut it.turn, Turn::Ours(now)));
        let Some(Turn::Working { delivery, id }) = turn else {
            // What it had went to another. Whichever answer comes first counts, and the worker is there again.
            self.late(answer, now);
            return match self.workers.get(&worker) {
                Some(known) => self.admit(worker, known.functions.clone(), now),
                None => self.join(worker, Note::default(), now),
            };
        };
        let fail = |code, text: &'static str| Input::Fail {
            worker,
            delivery,
            code,
            retryable: true,
            text: Bytes::from_static(text.as_bytes()),
        };
        let input = if id != answer.id {
            fail(502, "the worker answered another request")
        } else if retry {
            fail(answer.code.unwrap_or(503), "the worker could not do it now")
        } else {
            let body = vec![answer.note().write()];
            Input::Final {
                worker,
                delivery,
                body,
            }
        };
        self.feed(input, now);
    }
}

impl Worker {
    pub(super) fn is_free(&self) -> bool {
        matches!(self.turn, Turn::Ours(_) | Turn::Pinged(_, None))
    }
}
