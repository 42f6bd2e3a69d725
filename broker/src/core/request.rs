//! A request as the broker holds it, from its acceptance to its answer.
//!
//! Plain state; what becomes of it is decided in `accept`, `dispatch`, `loss` and `answer`.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use super::{
    board::ServiceId,
    message::{ClientKey, Delivery, Frames, Peer, RequestName, Retry, ReturnAddress},
};

/// Numbers requests in the order in which they were accepted.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct RequestNumber(pub(super) u64);

/// Whether a request is on disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Keeping {
    No,
    Writing,
    Done,
}

/// Where a request is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// In its service's queue, at this place.
    Queued(i64),
    /// With a worker.
    Running(Delivery),
    /// On its way to the disk, before it may be served.
    Writing,
}

#[derive(Debug)]
pub(super) struct Held {
    /// Who wants the answer: several if the same request came by several connections, none if all have left.
    pub(super) from: Vec<ReturnAddress>,
    pub(super) id: Option<Bytes>,
    /// See [`NewRequest::key`](super::message::NewRequest::key).
    pub(super) key: Option<ClientKey>,
    pub(super) service: ServiceId,
    pub(super) keeping: Keeping,
    /// Clients to be told of its acceptance once it is on disk.
    pub(super) owed: Vec<Peer>,
    /// Whether it waits for the first worker of its service as long as its client does.
    pub(super) patient: bool,
    pub(super) place: Place,
    /// All attempts whose worker has not yet finished with them; those overtaken by a later one as well.
    pub(super) deliveries: Vec<Delivery>,
    pub(super) attempts: u8,
    pub(super) tried: Vec<Peer>,
    /// When it was accepted, or taken back from disk.
    pub(super) since: Instant,
    pub(super) deadline: Instant,
    pub(super) retry: Retry,
    pub(super) stream: bool,
    /// Parts of an answer, for a client that takes it whole only.
    pub(super) parts: Frames,
    /// Whether the client has seen part of an answer: a second run cannot be joined to it.
    pub(super) begun: bool,
    pub(super) trace: Option<Arc<str>>,
    /// See [`NewRequest::handed`](super::message::NewRequest::handed).
    pub(super) handed: Option<Bytes>,
    pub(super) body: Frames,
    /// What it is accounted for, in bytes.
    pub(super) size: usize,
}

impl Held {
    /// A request as it is when it begins, for nobody yet.
    pub(super) fn new(
        id: Option<Bytes>,
        service: ServiceId,
        place: Place,
        (since, deadline): (Instant, Instant),
        body: Frames,
        size: usize,
    ) -> Self {
        Self {
            from: Vec::new(),
            id,
            key: None,
            service,
            keeping: Keeping::No,
            owed: Vec::new(),
            patient: false,
            place,
            deliveries: Vec::new(),
            attempts: 0,
            tried: Vec::new(),
            since,
            deadline,
            retry: Retry::Safe,
            stream: false,
            parts: Vec::new(),
            begun: false,
            trace: None,
            handed: None,
            body,
            size,
        }
    }

    /// What it is known by, if it has an id.
    pub(super) fn name(&self) -> Option<RequestName> {
        let (key, id) = (self.key, self.id.clone()?);
        Some(RequestName { key, id })
    }

    /// The id for messages to the client: empty if it gave none.
    pub(super) fn id(&self) -> Bytes {
        self.id.clone().unwrap_or_default()
    }

    /// Whether anybody may still take the answer: a client that gave an id may come back for it.
    pub(super) fn is_wanted(&self) -> bool {
        !self.from.is_empty() || self.id.is_some()
    }
}
