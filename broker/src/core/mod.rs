//! The broker's decisions, without socket or clock: what happened and the time go in, what is to be done comes out.
//!
//! After every event the workers with room are given what waits, so that none is idle while a request it could serve
//! stands in a queue; debug builds check that, and that nothing held is lost from sight. Every accepted request ends in one
//! answer to each client that asked for it, unless the client leaves first. It must not know frames, dialects or sockets.

mod accept;
mod answer;
mod board;
mod dedup;
mod dispatch;
pub mod elsewhere;
#[cfg(any(test, debug_assertions))]
mod invariant;
pub mod keep;
pub mod limits;
mod loss;
pub mod message;
mod name;
pub mod report;
mod request;
mod time;
mod timers;
mod worker;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use serde::Serialize;

pub use self::limits::Limits;
use self::{
    board::{Board, NumberMap},
    dedup::Answers,
    message::{Delivery, Event, Input, Output, Peer, RequestName, What},
    report::Latency,
    request::{Held, RequestNumber},
    timers::Timers,
    worker::Worker,
};

/// One request given to one worker.
#[derive(Debug)]
struct Attempt {
    worker: Peer,
    /// The request, as long as somebody waits for its answer.
    request: Option<RequestNumber>,
    /// Its lease ended: it no longer stands in the way of another attempt.
    overdue: bool,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Counters {
    /// Requests accepted.
    pub accepted: u64,
    /// Requests refused at once.
    pub refused: u64,
    /// Requests answered with a result.
    pub answered: u64,
    /// Requests answered with an error after they had been accepted.
    pub failed: u64,
    /// Requests whose client left.
    pub abandoned: u64,
    /// Times a request was given to a worker.
    pub dispatched: u64,
    /// Times a request came back from a worker without an answer.
    pub requeued: u64,
    /// Times a request was handed over to another broker.
    pub handed_over: u64,
    /// Requests taken over from other brokers.
    pub taken_over: u64,
    /// Requests of other brokers that went back to them: no worker was free, or the one that had it was lost.
    pub given_back: u64,
    /// Requests that used up their attempts.
    pub dead_letters: u64,
    /// Requests taken back from disk.
    pub restored: u64,
    /// Requests refused because the disk did not take them.
    pub not_kept: u64,
    /// Requests that came again while the first was held.
    pub duplicates: u64,
    /// Requests that came again and were answered from what was kept.
    pub replayed: u64,
    /// Answers of workers that nobody waits for any more.
    pub late: u64,
    /// Messages of workers that are not known, or about what they do not have.
    pub strays: u64,
    /// Offers of workers that were malformed, or too many.
    pub workers_refused: u64,
}

/// How much there is at this moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Census {
    /// Requests held.
    pub requests: usize,
    /// Bytes they are accounted for.
    pub bytes: usize,
    /// Workers.
    pub workers: usize,
    /// Services that somebody asks for or serves.
    pub services: usize,
    /// Answers kept.
    pub answers: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Serving,
    Draining,
    Drained,
}

/// The broker.
#[derive(Debug)]
pub struct Broker {
    limits: Limits,
    board: Board,
    requests: NumberMap<RequestNumber, Held>,
    /// Requests held, by the id their client gave.
    by_name: HashMap<RequestName, RequestNumber>,
    by_client: NumberMap<Peer, BTreeSet<RequestNumber>>,
    workers: NumberMap<Peer, Worker>,
    /// How many of them are other brokers.
    remotes: usize,
    attempts: NumberMap<Delivery, Attempt>,
    answers: Answers,
    timers: Timers,
    phase: Phase,
    bytes: usize,
    next_request: u64,
    next_delivery: u64,
    traces: bool,
    has_disk: bool,
    counters: Counters,
    latency: Latency,
    out: Vec<Output>,
    #[cfg(any(test, debug_assertions))]
    events: u64,
}

impl Broker {
    /// A broker that holds nothing. `seed` is where deliveries are counted from: a number that another run of the same
    /// broker did not use keeps late answers of its workers apart.
    pub fn new(limits: Limits, seed: u64) -> Self {
        let answers = Answers::new(limits.answers, limits.answer_bytes, limits.answer_age);
        Self {
            limits,
            board: Board::default(),
            requests: NumberMap::default(),
            by_name: HashMap::new(),
            by_client: NumberMap::default(),
            workers: NumberMap::default(),
            remotes: 0,
            attempts: NumberMap::default(),
            answers,
            timers: Timers::default(),
            phase: Phase::Serving,
            bytes: 0,
            next_request: 0,
            next_delivery: seed,
            traces: false,
            has_disk: false,
            counters: Counters::default(),
            latency: Latency::default(),
            out: Vec::new(),
            #[cfg(any(test, debug_assertions))]
            events: 0,
        }
    }

    /// The same with [`Output::Event`]s, which somebody has to read.
    #[must_use]
    pub fn with_events(mut self) -> Self {
        self.traces = true;
        self
    }

    /// Takes note of what happened, and returns what is to be done, in this order.
    pub fn on(&mut self, input: Input, now: Instant) -> Vec<Output> {
        self.elapse(now);
        match input {
            Input::Request(new) => self.request(new, now),
            Input::Cancel { client, name } => self.cancel(client, &name),
            Input::Ready { worker, ready } => self.ready(worker, &ready, now),
            Input::Partial {
                worker,
                delivery,
                body,
            } => self.partial(worker, delivery, &body, now),
            Input::Final {
                worker,
                delivery,
                body,
            } => self.finished(worker, delivery, body, now),
            Input::Fail {
                worker,
                delivery,
                code,
                retryable,
                text,
            } => self.failed(worker, delivery, (code, text), retryable, now),
            Input::Heartbeat { worker, running } => self.heartbeat(worker, &running, now),
            Input::Extend {
                worker,
                delivery,
                by,
            } => self.extend(worker, delivery, by, now),
            Input::WorkerDrain(worker) => self.drain_worker(worker, now),
            Input::Bye(worker) => self.lose_worker(worker),
            Input::Gone(peer) => {
                self.lose_client(peer, now);
                self.lose_worker(peer);
            }
            Input::Remote {
                worker,
                service,
                free,
            } => self.remote(worker, &service, free, now),
            Input::Refused { worker, delivery } => self.refused(worker, delivery, now),
            Input::Undelivered(delivery) => self.undelivered(delivery, now),
            Input::Kept(number) => self.kept(number, now),
            Input::NotKept(number, why) => self.not_kept(number, &why),
            Input::Tick => {}
            Input::Drain { until } => self.drain(until),
        }
        self.dispatch(now);
        self.finish_drain();
        #[cfg(any(test, debug_assertions))]
        self.check_now_and_then();
        std::mem::take(&mut self.out)
    }

    /// When [`Input::Tick`] is due at the latest.
    pub fn next_tick(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Whether some worker serves this service, free or not.
    pub fn is_served(&self, service: &[u8]) -> bool {
        board::service_name(service).is_some_and(|name| self.board.is_served(name))
    }

    /// Requests of this service that wait for a worker.
    pub fn queued(&self, service: &[u8]) -> usize {
        let found = board::service_name(service).and_then(|name| self.board.find(name));
        found.map_or(0, |service| service.queue.len())
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// How much there is now.
    pub fn census(&self) -> Census {
        Census {
            requests: self.requests.len(),
            bytes: self.bytes,
            workers: self.workers.len() - self.remotes,
            services: self.board.size().0,
            answers: self.answers.size().0,
        }
    }

    /// Writes a line of the trace about a request, a worker or both.
    fn tell(&mut self, what: What, request: Option<&Held>, worker: Option<Peer>, code: u16) {
        if self.traces {
            let service = request.map(|held| self.board.get(held.service).name.clone());
            let event = Event {
                what,
                service,
                id: request.map(Held::id).unwrap_or_default(),
                worker,
                attempt: request.map_or(0, |held| held.attempts),
                code,
            };
            self.out.push(Output::Event(event));
        }
    }

    /// The same about a request that is held.
    fn tell_of(&mut self, what: What, number: RequestNumber, worker: Option<Peer>, code: u16) {
        if self.traces
            && let Some(held) = self.requests.remove(&number)
        {
            self.tell(what, Some(&held), worker, code);
            self.requests.insert(number, held);
        }
    }

    fn service_of(&self, held: &Held) -> Arc<str> {
        self.board.get(held.service).name.clone()
    }
}
