//! Other brokers as the core sees them: a worker for each name that one has something to spare under.
//!
//! A request goes over as any client's would, marked as handed over. What it is here stands in its envelope, which comes back
//! with the answer: the other broker need not know what it means, and whatever it says counts for its own requests only.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::{Act, Exchange};
use crate::{
    core::{
        elsewhere::Spare,
        message::{Delivery, Frames, Input, Peer, ToWorker},
    },
    dialect::{
        AskHeaders,
        zwp::{Answer, Ask},
    },
    federation::Neighbour,
};

/// Numbers from here on are brokers' under a name; those below are connections'.
const FIRST: u64 = 1 << 63;
/// The other broker waits so much longer than we do: the end of the client's time is ours to say.
const SLACK: Duration = Duration::from_secs(1);

/// Who is who among other brokers.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    brokers: FxHashMap<Neighbour, BTreeMap<String, Peer>>,
    peers: FxHashMap<Peer, Neighbour>,
    next: u64,
}

impl Elsewhere {
    /// The broker that stands behind a worker, if one does.
    pub(super) fn neighbour(&self, peer: Peer) -> Option<Neighbour> {
        (peer.0 >= FIRST).then(|| self.peers.get(&peer).copied())?
    }

    fn forget(&mut self, neighbour: Neighbour, name: &str) {
        let names = self.brokers.get_mut(&neighbour);
        if let Some(peer) = names.and_then(|names| names.remove(name)) {
            self.peers.remove(&peer);
        }
    }

    fn peer(&mut self, neighbour: Neighbour, name: &str) -> Peer {
        let names = self.brokers.entry(neighbour).or_default();
        if let Some(&peer) = names.get(name) {
            return peer;
        }
        let peer = Peer(FIRST + self.next);
        self.next += 1;
        names.insert(name.to_owned(), peer);
        self.peers.insert(peer, neighbour);
        peer
    }
}

/// A request for another broker.
pub(super) fn hand_over(to: Neighbour, peer: Peer, message: ToWorker) -> Option<Act> {
    let ToWorker::Request {
        delivery,
        service,
        id,
        time_left,
        trace,
        body,
        ..
    } = message
    else {
        return None;
    };
    let timeout = time_left.saturating_add(SLACK).as_millis();
    let ask = Ask::Request {
        service: Bytes::copy_from_slice(service.as_bytes()),
        id,
        headers: AskHeaders {
            timeout_ms: Some(u64::try_from(timeout).unwrap_or(u64::MAX)),
            stream: true,
            hop: 1,
            trace: trace.map(|it| (*it).to_owned()),
            ..AskHeaders::default()
        },
        body,
    };
    let mut label = peer.0.to_be_bytes().to_vec();
    label.extend(delivery.0.to_be_bytes());
    let mut frames = vec![Bytes::from(label), Bytes::new()];
    frames.extend(ask.write());
    Some(Act::HandOver {
        to,
        frames,
        delivery,
    })
}

/// What another broker says, and about which of our requests.
fn read(frames: Frames) -> Option<(Peer, Delivery, Answer)> {
    let mut frames = frames.into_iter();
    let label: [u8; 16] = frames.next()?.as_ref().try_into().ok()?;
    if !frames.next()?.is_empty() {
        return None;
    }
    let (peer, delivery) = label.split_at(8);
    let number = |bytes: &[u8]| Some(u64::from_be_bytes(bytes.try_into().ok()?));
    let answer = Answer::read(frames.collect()).ok()?;
    Some((Peer(number(peer)?), Delivery(number(delivery)?), answer))
}

/// What that means.
fn input(worker: Peer, delivery: Delivery, answer: Answer) -> Option<Input> {
    Some(match answer {
        Answer::Accepted { .. } => return None,
        Answer::Partial { body, .. } => Input::Partial {
            worker,
            delivery,
            body,
        },
        Answer::Final { body, .. } => Input::Final {
            worker,
            delivery,
            body,
        },
        // Not run, for whatever reason: it may be another's to run.
        Answer::Error { headers, .. } if !headers.maybe_executed => {
            Input::Refused { worker, delivery }
        }
        Answer::Error {
            code,
            headers,
            text,
            ..
        } => Input::Fail {
            worker,
            delivery,
            code,
            // Only a broker says when to try again; a worker's own error is the answer.
            retryable: headers.retry_after_ms.is_some(),
            text,
        },
    })
}

impl Exchange {
    /// What this broker has to spare for others.
    pub fn spare(&self) -> BTreeMap<String, Spare> {
        self.core.spare()
    }

    /// Another broker says what it has to spare.
    pub fn neighbour(
        &mut self,
        neighbour: Neighbour,
        spare: &BTreeMap<String, Spare>,
        now: Instant,
    ) -> Vec<Act> {
        let mut inputs = Vec::with_capacity(spare.len());
        let known = self.elsewhere.brokers.get(&neighbour);
        for (name, &peer) in known.into_iter().flatten() {
            if !spare.contains_key(name) {
                inputs.push((peer, name.clone(), None));
            }
        }
        for (name, it) in spare {
            let peer = self.elsewhere.peer(neighbour, name);
            inputs.push((peer, name.clone(), Some(it.free)));
        }
        let mut acts = Vec::new();
        for (worker, name, free) in inputs {
            let service = Bytes::from(name.clone());
            let input = Input::Remote {
                worker,
                service,
                free,
            };
            acts.extend(self.feed(input, now));
            if !self.core.knows_remote(worker) {
                self.elsewhere.forget(neighbour, &name);
            }
        }
        acts
    }

    /// Another broker answers, or gives something back.
    pub fn neighbour_said(
        &mut self,
        neighbour: Neighbour,
        frames: Frames,
        now: Instant,
    ) -> Vec<Act> {
        let Some((worker, delivery, answer)) = read(frames) else {
            self.garbage += 1;
            return Vec::new();
        };
        if self.elsewhere.neighbour(worker) != Some(neighbour) {
            self.garbage += 1;
            return Vec::new();
        }
        match input(worker, delivery, answer) {
            Some(input) => self.feed(input, now),
            None => Vec::new(),
        }
    }

    /// Another broker is gone: what it had comes back.
    pub fn neighbour_gone(&mut self, neighbour: Neighbour, now: Instant) -> Vec<Act> {
        // Nothing goes from one of its names to another.
        let names = self.elsewhere.brokers.get(&neighbour);
        let names = names.into_iter().flatten();
        let none = names.map(|(name, _)| (name.clone(), Spare::default()));
        let mut acts = self.neighbour(neighbour, &none.collect(), now);
        for peer in self
            .elsewhere
            .brokers
            .remove(&neighbour)
            .unwrap_or_default()
            .into_values()
        {
            acts.extend(self.feed(Input::Gone(peer), now));
            self.elsewhere.peers.remove(&peer);
        }
        acts
    }
}
