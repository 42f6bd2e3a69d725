//! What the core is told and what it says: plain values, whatever the frames looked like on the wire.
//!
//! Peers are numbers that the caller gives to connections; a return address is carried through unread. Nothing here knows
//! a protocol.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::keep::{KeptAnswer, KeptRequest};
pub use super::name::{ClientKey, RequestName};

/// One connection of one peer, numbered by the caller. A number is never used again, so an answer cannot reach a stranger
/// who came later.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Peer(pub u64);

/// One attempt to have a request served: new for each attempt, so that a late answer is told from a present one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Delivery(pub u64);

/// The frames of a body.
pub type Frames = Vec<Bytes>;

/// Where the answer to a request goes. The core reads `peer` only.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReturnAddress {
    /// The client's connection.
    pub peer: Peer,
    /// How the caller speaks with this client: its own business.
    pub tag: u16,
    /// Frames to be repeated before the answer: the caller's business as well.
    pub envelope: Frames,
}

/// What may be done when a worker is lost with a request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Retry {
    /// Another worker gets it: at least once.
    #[default]
    Safe,
    /// The client gets an error instead of a second run: at most once.
    Never,
}

/// A client's request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewRequest {
    /// Where the answer goes.
    pub from: ReturnAddress,
    /// The id the client gave it, 1 to 64 bytes; without one, a request sent twice is run twice.
    pub id: Option<Bytes>,
    /// The key of its client: nobody with another one gets its answer, or joins it.
    pub key: Option<ClientKey>,
    /// The service asked for.
    pub service: Bytes,
    /// How long the client waits; limited by [`Limits::max_timeout`](super::Limits::max_timeout).
    pub timeout: Duration,
    /// Whether it may be run again.
    pub retry: Retry,
    /// Whether the client wants to know that it was accepted.
    pub ack: bool,
    /// Whether the client takes an answer in parts.
    pub stream: bool,
    /// Whether it waits for the first worker of an unknown service until its time is over, instead of being told 404.
    pub patient: bool,
    /// A trace context (W3C `traceparent`), passed on to the worker.
    pub trace: Option<Arc<str>>,
    /// Handed over by another broker, which keeps it: its client's id there, perhaps empty, for the worker to see. Such a request
    /// has no `id` here, is served at once or given back, and is never handed on.
    pub handed: Option<Bytes>,
    /// The body.
    pub body: Frames,
}

impl NewRequest {
    /// What it is known by, if it has an id.
    pub fn name(&self) -> Option<RequestName> {
        let (key, id) = (self.key, self.id.clone()?);
        Some(RequestName { key, id })
    }
}

/// When silence of a worker means that it is lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Beats {
    /// It beats at all times.
    Always,
    /// It beats only while it has nothing to do (MDP's single-threaded workers).
    WhenIdle,
    /// It never beats: only its connection tells.
    Never,
}

/// A worker's first word.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ready {
    /// The services it serves; a name that ends in `*` stands for all that begin so.
    pub services: Vec<Bytes>,
    /// How many requests it takes at once.
    pub capacity: u16,
    /// When its silence counts …
    pub beats: Beats,
    /// … and how much of it means that it is lost.
    pub silence: Duration,
    /// How long it may keep a request without a sign that it still works on it.
    pub lease: Duration,
}

/// Something that happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input {
    /// A client asks.
    Request(NewRequest),
    /// A client no longer wants the answer to the request with this id.
    Cancel {
        /// The client.
        client: Peer,
        /// What it is known by.
        name: RequestName,
    },
    /// A worker offers itself; said again, it starts anew and what it had is lost.
    Ready {
        /// The worker.
        worker: Peer,
        /// What it offers.
        ready: Ready,
    },
    /// A worker answers in parts.
    Partial {
        /// The worker.
        worker: Peer,
        /// Which attempt.
        delivery: Delivery,
        /// This part.
        body: Frames,
    },
    /// A worker answers.
    Final {
        /// The worker.
        worker: Peer,
        /// Which attempt.
        delivery: Delivery,
        /// The answer.
        body: Frames,
    },
    /// A worker could not do it.
    Fail {
        /// The worker.
        worker: Peer,
        /// Which attempt.
        delivery: Delivery,
        /// The worker's own code, 400 to 599.
        code: u16,
        /// Whether another attempt may succeed.
        retryable: bool,
        /// The reason, for a person.
        text: Bytes,
    },
    /// A worker lives, and still works on these.
    Heartbeat {
        /// The worker.
        worker: Peer,
        /// What it works on.
        running: Vec<Delivery>,
    },
    /// A worker needs longer for one request.
    Extend {
        /// The worker.
        worker: Peer,
        /// Which attempt.
        delivery: Delivery,
        /// From now.
        by: Duration,
    },
    /// A worker wants no more requests, and finishes those it has.
    WorkerDrain(Peer),
    /// A worker's last word.
    Bye(Peer),
    /// A connection ended: whatever the peer was.
    Gone(Peer),
    /// Another broker, which counts as a worker for each name or prefix that it serves.
    Remote {
        /// The number of this broker and name.
        worker: Peer,
        /// The name, or a prefix followed by `*`.
        service: Bytes,
        /// How many requests it has room for besides those it has from here; `None`: it no longer serves this.
        free: Option<u16>,
    },
    /// Another broker had no room for this after all, and nobody has run it.
    Refused {
        /// The broker.
        worker: Peer,
        /// Which attempt.
        delivery: Delivery,
    },
    /// This attempt could not be handed to the worker's connection: it reads too slowly, or has gone.
    Undelivered(Delivery),
    /// The request of this number is on disk.
    Kept(u64),
    /// The disk does not take the request of this number, and why.
    NotKept(u64, Bytes),
    /// Time passed.
    Tick,
    /// The broker is to leave: no new requests, finish what is there, at most until then.
    Drain {
        /// When to give up.
        until: Instant,
    },
}

/// Something to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// To a worker.
    Worker(Peer, ToWorker),
    /// To a client.
    Client(ReturnAddress, ToClient),
    /// Write this request down, and say when that is done.
    Keep(KeptRequest),
    /// The request of this number has ended, perhaps with an answer worth keeping.
    Release(u64, Option<KeptAnswer>),
    /// Something worth a line in the trace.
    Event(Event),
    /// The drain has ended: nothing is held any more.
    Drained,
}

/// What a worker is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ToWorker {
    /// Its offer was taken.
    Welcome {
        /// Its lease.
        lease: Duration,
    },
    /// A request for it.
    Request {
        /// This attempt's number, to be repeated in the answer.
        delivery: Delivery,
        /// The service.
        service: Arc<str>,
        /// The client's id of the request; empty if it gave none.
        id: Bytes,
        /// 1 for the first attempt.
        attempt: u8,
        /// How long the client still waits.
        time_left: Duration,
        /// The trace context.
        trace: Option<Arc<str>>,
        /// The body.
        body: Frames,
    },
    /// The broker lives.
    Heartbeat,
    /// Please finish and leave.
    Drain,
    /// You are not, or no longer, known here.
    Bye,
}

/// What a client is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ToClient {
    /// The request was taken.
    Accepted {
        /// The client's id of the request.
        id: Bytes,
    },
    /// A part of the answer.
    Partial {
        /// The client's id of the request; empty if it gave none.
        id: Bytes,
        /// The service that answers.
        service: Arc<str>,
        /// The part.
        body: Frames,
    },
    /// The answer.
    Final {
        /// The client's id of the request; empty if it gave none.
        id: Bytes,
        /// The service that answered.
        service: Arc<str>,
        /// The answer.
        body: Frames,
    },
    /// There will be no answer.
    Error {
        /// The client's id of the request; empty if it gave none.
        id: Bytes,
        /// The service asked for.
        service: Arc<str>,
        /// Why.
        refusal: Refusal,
    },
}

/// Why a request is not answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// As in HTTP: 400, 404, 409, 413, 429, 502, 503, 504, or a worker's own.
    pub code: u16,
    /// The reason, for a person.
    pub text: Bytes,
    /// When it is worth trying again.
    pub retry_after: Option<Duration>,
    /// Whether a worker may have carried it out nevertheless.
    pub maybe_executed: bool,
}

impl Refusal {
    /// A refusal of something that no worker has seen.
    pub(crate) fn new(code: u16, text: &'static str) -> Self {
        Self {
            code,
            text: Bytes::from_static(text.as_bytes()),
            retry_after: None,
            maybe_executed: false,
        }
    }
}

/// What happened, for a trace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// What.
    pub what: What,
    /// The service, if it is about one.
    pub service: Option<Arc<str>>,
    /// The client's id of the request; empty if it gave none.
    pub id: Bytes,
    /// The worker, if it is about one.
    pub worker: Option<Peer>,
    /// Which attempt; 0 before the first.
    pub attempt: u8,
    /// The code of an error, or 200.
    pub code: u16,
}

/// The kinds of [`Event`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum What {
    /// A request was accepted.
    Accepted,
    /// A request was taken back from disk.
    Restored,
    /// A request was not accepted.
    Refused,
    /// A worker was given a request.
    Dispatched,
    /// Another broker was given a request.
    HandedOver,
    /// A request of another broker goes back to it.
    GivenBack,
    /// A request was answered, with a result or an error.
    Answered,
    /// A request goes back to the front of its queue.
    Requeued,
    /// A request used up its attempts.
    DeadLetter,
    /// A request's client has left, and nobody will ask for the answer.
    Abandoned,
    /// A worker offers itself.
    WorkerReady,
    /// A worker is gone.
    WorkerLost,
}

impl What {
    /// The word for it in traces.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Restored => "restored",
            Self::Refused => "refused",
            Self::Dispatched => "dispatched",
            Self::HandedOver => "handed-over",
            Self::GivenBack => "given-back",
            Self::Answered => "answered",
            Self::Requeued => "requeued",
            Self::DeadLetter => "dead-letter",
            Self::Abandoned => "abandoned",
            Self::WorkerReady => "worker-ready",
            Self::WorkerLost => "worker-lost",
        }
    }
}
