//! A queue's decisions: which worker gets a job, which job goes to another queue, and what is done when one of them goes.
//!
//! The jobs and the queue's own workers are a [`Broker`]'s business, which gives back what a lost worker had. A job handed to
//! another queue is, for it, with a worker of its own kind, seen here as a [`Loan`]. No socket and no clock.

mod lending;
mod outcome;
mod workers;

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    core::{
        Broker, Limits as CoreLimits,
        message::{Delivery, Input, NewRequest, Peer, RequestName, Retry, ReturnAddress},
    },
    faas::{
        DEFAULT_FUNCTION,
        message::{Job, Note, Offer, QueueStatus},
        recent::Recent,
    },
};

/// The broker, as the client of all jobs.
const BROKER: Peer = Peer(u64::MAX);
/// Peers below are connections of workers, those from here on are loans.
const LOANS: u64 = 1 << 62;
/// Jobs of this kind may go to other queues …
const OPEN: &str = "open/";
/// … and those that came from one may not, as long as there is a worker for them here.
const OURS: &str = "ours/";
/// How often a worker with nothing to do is pinged.
const PING: Duration = Duration::from_secs(4);
/// A worker that does not answer a ping for so long is lost.
const PING_LOST: Duration = Duration::from_secs(10);
/// Functions of one worker; more are not looked at.
const MAX_FUNCTIONS: usize = 30;

/// What a queue holds at most, and how long it waits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Jobs waiting for one function; the next gets 429.
    pub jobs: usize,
    /// Largest body, in bytes.
    pub max_body: usize,
    /// Times a job is given to a worker or another queue before it is answered with 502.
    pub attempts: u8,
    /// How long a worker may keep a job.
    pub lease: Duration,
    /// How long a job is left with another queue that does not answer.
    pub loan: Duration,
    /// How long a job is held that does not say how long somebody waits for its answer; then it gets 504.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            jobs: 10_000,
            max_body: 16 * 1024 * 1024,
            attempts: 10,
            lease: Duration::from_secs(300),
            loan: Duration::from_secs(30),
            timeout: Duration::from_secs(300),
        }
    }
}

/// Something to be sent.
#[derive(Clone, Debug)]
pub(in crate::faas) enum Act {
    /// To one of our workers; if it cannot be sent, its connection is of no use any more.
    Worker(Peer, Note),
    /// An answer. If it cannot be sent, say so with [`State::unsent`].
    Broker(Note),
    /// A job, to another queue by way of the coordinator. If it cannot be sent, say so with [`State::unlent`].
    Coordinator(Note),
}

/// Who may speak next on a worker's REQ socket.
#[derive(Clone, Debug)]
enum Turn {
    /// We, since then.
    Ours(Instant),
    /// The worker: it has a job …
    Working { delivery: Delivery, id: String },
    /// … or has to answer a ping, of then; this job waits for that.
    Pinged(Instant, Option<(Delivery, Job)>),
    /// The worker, but it did not in time: it is lost, unless it speaks again.
    Lost,
}

#[derive(Debug)]
struct Worker {
    functions: Vec<String>,
    turn: Turn,
}

/// A job that is held.
#[derive(Debug)]
struct Held {
    job: Job,
    /// [`OPEN`] or [`OURS`].
    kind: &'static str,
    /// Whether we answer for it: the broker gave it to us. Otherwise another queue lent it, which keeps it.
    keeper: bool,
    /// That queue.
    from: Option<String>,
}

/// A job that another queue has.
#[derive(Debug)]
struct Loan {
    queue: String,
    /// The job; empty until the core has named one.
    id: String,
    delivery: Option<Delivery>,
}

/// Another queue, as the coordinator tells of it.
#[derive(Debug)]
struct Other {
    status: QueueStatus,
    /// Lent to it since it last told other numbers, and not answered.
    given: usize,
    /// Handed to it for good since it last told its numbers …
    fresh: usize,
    /// … and before that: they may not have been with it yet.
    stale: usize,
}

#[derive(Debug)]
pub(in crate::faas) struct State {
    name: String,
    run: u64,
    limits: Limits,
    core: Broker,
    jobs: HashMap<String, Held>,
    recent: Recent,
    /// Answers among these that no broker took.
    unsent: Vec<String>,
    workers: BTreeMap<Peer, Worker>,
    others: BTreeMap<String, Other>,
    loans: BTreeMap<Peer, Loan>,
    next_loan: u64,
    /// Whether the coordinator does not know our numbers.
    untold: bool,
    acts: Vec<Act>,
}

/// What the core knows a job by.
fn name_of(id: &str) -> RequestName {
    let id = Bytes::copy_from_slice(id.as_bytes());
    RequestName { key: None, id }
}

impl State {
    pub(in crate::faas) fn new(name: String, limits: Limits, seed: u64) -> Self {
        let core = CoreLimits {
            max_body: limits.max_body,
            queue_length: limits.jobs,
            requests_per_client: 2 * limits.jobs,
            attempts: limits.attempts,
            answers: 0, // they are kept here, as messages
            ..CoreLimits::default()
        };
        Self {
            name,
            run: seed,
            limits,
            core: Broker::new(core, seed),
            jobs: HashMap::new(),
            recent: Recent::default(),
            unsent: Vec::new(),
            workers: BTreeMap::new(),
            others: BTreeMap::new(),
            loans: BTreeMap::new(),
            next_loan: LOANS,
            untold: true,
            acts: Vec::new(),
        }
    }

    /// What is to be sent since last asked.
    pub(in crate::faas) fn take(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }

    /// Jobs and workers.
    pub(in crate::faas) fn size(&self) -> (usize, usize) {
        (self.jobs.len(), self.workers.len())
    }

    /// The first word to a broker.
    pub(in crate::faas) fn init(&self, address: &str) -> Note {
        Note {
            ip_worker_to_queue: Some(address.to_owned()),
            queue_name: Some(self.name.clone()),
            ..Note::of("init_queue")
        }
    }

    /// Whether there is something that the coordinator was not told.
    pub(in crate::faas) fn news(&mut self) -> bool {
        std::mem::take(&mut self.untold)
    }

    /// What the coordinator is told.
    pub(in crate::faas) fn status(&self) -> Note {
        let mut offers: BTreeMap<String, Offer> = BTreeMap::new();
        let known = self.workers.values();
        for worker in known.filter(|it| !matches!(it.turn, Turn::Lost)) {
            for function in &worker.functions {
                let offer = offers.entry(function.clone()).or_default();
                offer.workers += 1;
                offer.free += usize::from(worker.is_free());
            }
        }
        Note {
            queue_name: Some(self.name.clone()),
            num_workers: Some(offers.get(DEFAULT_FUNCTION).map_or(0, |it| it.workers)),
            run: Some(self.run),
            offers: Some(offers),
            ..Note::of("queue_status")
        }
    }

    /// The broker sent something with our topic.
    pub(in crate::faas) fn broker_said(&mut self, note: Note, now: Instant) {
        if note.kind() == "answered" {
            if let Some(id) = &note.id {
                self.forget(id, now);
                self.lend(now);
            }
        } else if let Some(job) = note.into_job() {
            self.take_job(job, OPEN, None, now);
        }
    }

    /// The coordinator sent something.
    pub(in crate::faas) fn coordinator_said(&mut self, note: Note, now: Instant) {
        match note.kind() {
            "queue_status" => {
                let queues = note.queues.unwrap_or_default();
                self.others_are(queues, now);
            }
            "job" if note.queue_to.as_ref() == Some(&self.name) => {
                let from = note.queue_from.clone().unwrap_or_default();
                let back = note.back.unwrap_or(false);
                if let Some(job) = note.into_job() {
                    self.lent_to_us(job, &from, back, now);
                }
            }
            _ => {}
        }
    }

    /// Nothing is known of the other queues any more.
    pub(in crate::faas) fn coordinator_gone(&mut self, now: Instant) {
        self.begin_anew();
        self.others_are(Vec::new(), now);
    }

    /// From now on the coordinator is heard. It may have heard of us before, and others lent to us what did not arrive.
    pub(in crate::faas) fn coordinator_heard(&mut self) {
        self.begin_anew();
    }

    /// What others have lent to us may be lost, or its answer: they learn of it by this, and give it again.
    fn begin_anew(&mut self) {
        self.run = self.run.wrapping_add(1);
        self.untold = true;
    }

    /// There is nobody to do anything: the jobs are left to the broker, who has them still.
    pub(in crate::faas) fn give_up(&mut self, now: Instant) {
        let ids: Vec<String> = self.jobs.keys().cloned().collect();
        for id in ids {
            self.forget(&id, now);
        }
    }

    /// The broker is gone, or sees us gone: it, or the next one, gives what it keeps again, to whomever. So nothing is kept for
    /// it but what our own workers are at; nobody would tell us of the answer to what we have lent.
    pub(in crate::faas) fn broker_gone(&mut self, now: Instant) {
        // What others lent to us is theirs to give again: its answer may have gone the way of the broker.
        self.begin_anew();
        let with_worker = |id: &str| {
            self.workers.values().any(|worker| match &worker.turn {
                Turn::Working { id: theirs, .. } => theirs == id,
                Turn::Pinged(_, Some((_, job))) => job.id == id,
                _ => false,
            })
        };
        let left = self.jobs.iter();
        let left = left.filter(|(id, held)| held.job.kept && !with_worker(id));
        let left: Vec<String> = left.map(|(id, _)| id.clone()).collect();
        for id in left {
            self.forget(&id, now);
        }
    }

    /// A worker sent something.
    pub(in crate::faas) fn worker_said(&mut self, worker: Peer, note: Note, now: Instant) {
        match note.kind() {
            "new" => self.join(worker, note, now),
            "heartbeat" => self.alive(worker, now),
            "response" => {
                let retry = note.retry.unwrap_or(false);
                if let Some(answer) = note.into_answer() {
                    self.done(worker, answer, retry, now);
                }
            }
            _ => {}
        }
    }

    /// A worker's connection ended, or takes nothing any more.
    pub(in crate::faas) fn worker_gone(&mut self, worker: Peer, now: Instant) {
        if let Some(lost) = self.workers.remove(&worker) {
            self.feed(Input::Gone(worker), now);
            self.open_up(&lost.functions, now);
            self.lend(now);
        }
    }

    /// Time passed.
    pub(in crate::faas) fn tick(&mut self, now: Instant) {
        self.feed(Input::Tick, now);
        let silent = |(peer, worker): (&Peer, &Worker)| match worker.turn {
            Turn::Pinged(since, _) if now.saturating_duration_since(since) > PING_LOST => {
                Some(*peer)
            }
            _ => None,
        };
        let silent: Vec<Peer> = self.workers.iter().filter_map(silent).collect();
        for peer in silent {
            self.silence(peer, now);
        }
        for (&peer, worker) in &mut self.workers {
            if matches!(worker.turn, Turn::Ours(since) if now.saturating_duration_since(since) >= PING)
            {
                worker.turn = Turn::Pinged(now, None);
                self.acts.push(Act::Worker(peer, Note::of("heartbeat")));
            }
        }
        self.recent.forget(now);
        self.lend(now);
    }

    /// Takes a job that is not held yet, from the broker or from the queue named.
    fn take_job(&mut self, job: Job, kind: &'static str, from: Option<String>, now: Instant) {
        let keeper = from.is_none();
        if let Some(answer) = self.recent.get(&job.id) {
            return self.acts.push(Act::Broker(answer.note()));
        }
        if let Some(held) = self.jobs.get_mut(&job.id) {
            held.keeper |= keeper;
            held.job.kept |= job.kept;
            return;
        }
        let timeout = job.timeout_ms.map(Duration::from_millis);
        let request = NewRequest {
            from: ReturnAddress {
                peer: BROKER,
                tag: 0,
                envelope: Vec::new(),
            },
            id: Some(Bytes::from(job.id.clone())),
            key: None,
            service: Bytes::from(format!("{kind}{}", job.function)),
            timeout: timeout.unwrap_or(self.limits.timeout),
            retry: Retry::Safe,
            ack: false,
            stream: false,
            patient: true,
            trace: None,
            handed: None,
            body: vec![Bytes::copy_from_slice(job.message.get().as_bytes())],
        };
        let held = Held {
            job,
            kind,
            keeper,
            from,
        };
        self.jobs.insert(held.job.id.clone(), held);
        self.feed(Input::Request(request), now);
        self.lend(now);
    }
}
