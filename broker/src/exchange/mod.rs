//! The broker as its peers see it: frames of a connection in, frames to connections out.
//!
//! It joins the dialects with the core, and remembers how each worker speaks and who has shown which key. Pure like both: no
//! socket, no clock.

mod clients;
mod elsewhere;
mod manner;
mod workers;

use std::time::Instant;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use self::elsewhere::Elsewhere;
pub use self::manner::Manner;
use crate::{
    core::{
        Broker, Census, Counters, Limits,
        keep::{KeptAnswer, KeptRequest},
        message::{
            ClientKey, Delivery, Event, Frames, Input, Output, Peer, ReturnAddress, ToClient,
            ToWorker,
        },
        report::{Latency, ServiceReport},
    },
    dialect::{self, ClientDialect, Said, WorkerDialect, zwp::WelcomeHeaders},
    federation::Neighbour,
};

/// Which port a message came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Port {
    /// The one for clients, and for workers that say what they are.
    Front,
    /// The workers' own.
    Back,
}

/// Something for the owner of the sockets to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Act {
    /// Send this. If it is a delivery and cannot be sent, say so with [`Exchange::undelivered`].
    Send {
        /// To whom.
        peer: Peer,
        /// What, with its envelope.
        frames: Frames,
        /// The delivery it carries.
        delivery: Option<Delivery>,
    },
    /// Send this to another broker; if it cannot be sent, say so with [`Exchange::undelivered`].
    HandOver {
        /// To whom.
        to: Neighbour,
        /// What.
        frames: Frames,
        /// The delivery it carries.
        delivery: Delivery,
    },
    /// Write this request down, and say what became of it with [`Exchange::kept`].
    Keep(KeptRequest),
    /// The request of this number has ended, perhaps with an answer worth keeping.
    Release(u64, Option<KeptAnswer>),
    /// Write this to the trace.
    Event(Event),
    /// Nothing is held any more: the broker may end.
    Drained,
}

/// The broker behind its dialects.
#[derive(Debug)]
pub struct Exchange {
    core: Broker,
    manner: Manner,
    about_us: WelcomeHeaders,
    /// How each connection speaks that has ever spoken as a worker.
    workers: FxHashMap<Peer, WorkerDialect>,
    /// The keys of those who had to show them, and whether they are other brokers'.
    keys: FxHashMap<Peer, (ClientKey, bool)>,
    elsewhere: Elsewhere,
    garbage: u64,
}

impl Exchange {
    /// An exchange around a broker that holds nothing; `seed` as in [`Broker::new`].
    pub fn new(limits: Limits, manner: Manner, seed: u64) -> Self {
        let about_us = WelcomeHeaders {
            hb_ms: u64::try_from(limits.heartbeat.as_millis()).unwrap_or(u64::MAX),
            lease_ms: 0,
            max_body: limits.max_body as u64,
            broker: manner.name.clone(),
        };
        Self {
            core: Broker::new(limits, seed),
            manner,
            about_us,
            workers: FxHashMap::default(),
            keys: FxHashMap::default(),
            elsewhere: Elsewhere::default(),
            garbage: 0,
        }
    }

    /// The same with [`Act::Event`]s, which somebody has to read.
    #[must_use]
    pub fn with_events(self) -> Self {
        Self {
            core: self.core.with_events(),
            ..self
        }
    }

    /// From now on there are [`Act::Keep`] and [`Act::Release`], which somebody has to carry out.
    pub fn keeps_on_disk(&mut self) {
        self.core.keeps_on_disk();
    }

    /// Takes back what was on disk; once, before anything else.
    pub fn restore(
        &mut self,
        requests: Vec<KeptRequest>,
        answers: Vec<KeptAnswer>,
        now: Instant,
    ) -> Vec<Act> {
        let outputs = self.core.restore(requests, answers, now);
        outputs.into_iter().filter_map(|it| self.act(it)).collect()
    }

    /// A request is on disk, or the disk does not take it.
    pub fn kept(&mut self, number: u64, error: Option<Bytes>, now: Instant) -> Vec<Act> {
        let input = match error {
            None => Input::Kept(number),
            Some(why) => Input::NotKept(number, why),
        };
        self.feed(input, now)
    }

    /// A connection has shown this key, before its first message; `broker` says whether it is another broker's.
    pub fn authenticated(&mut self, peer: Peer, key: ClientKey, broker: bool) {
        self.keys.insert(peer, (key, broker));
    }

    fn key(&self, peer: Peer) -> Option<ClientKey> {
        self.keys.get(&peer).map(|&(key, _)| key)
    }

    /// Whether a connection may hand requests over: where keys are shown, those of other brokers.
    fn may_hand_over(&self, peer: Peer) -> bool {
        self.keys.get(&peer).is_none_or(|&(_, broker)| broker)
    }

    /// A message came.
    pub fn message(&mut self, port: Port, peer: Peer, frames: Frames, now: Instant) -> Vec<Act> {
        let known = self.workers.get(&peer);
        let said = match port {
            Port::Front => dialect::read_front(frames, known),
            Port::Back => dialect::read_back(frames, known),
        };
        match said {
            Some(Said::Client {
                dialect,
                envelope,
                wish,
            }) => {
                let from = ReturnAddress {
                    peer,
                    tag: dialect.tag(),
                    envelope,
                };
                self.client(dialect, from, wish, now)
            }
            Some(Said::Worker(dialect, report)) => self.worker(peer, dialect, report, now),
            None => {
                self.garbage += 1;
                Vec::new()
            }
        }
    }

    /// A connection ended. All its messages must have been given to [`message`](Self::message) before.
    pub fn gone(&mut self, peer: Peer, now: Instant) -> Vec<Act> {
        let acts = self.feed(Input::Gone(peer), now);
        self.workers.remove(&peer);
        self.keys.remove(&peer);
        acts
    }

    /// A delivery could not be sent.
    pub fn undelivered(&mut self, delivery: Delivery, now: Instant) -> Vec<Act> {
        self.feed(Input::Undelivered(delivery), now)
    }

    /// Time passed.
    pub fn tick(&mut self, now: Instant) -> Vec<Act> {
        self.feed(Input::Tick, now)
    }

    /// The broker is to leave, at the latest at `until`.
    pub fn drain(&mut self, until: Instant, now: Instant) -> Vec<Act> {
        self.feed(Input::Drain { until }, now)
    }

    /// When [`tick`](Self::tick) is due at the latest.
    pub fn next_tick(&self) -> Option<Instant> {
        self.core.next_tick()
    }

    /// What has happened so far.
    pub fn counters(&self) -> Counters {
        self.core.counters()
    }

    /// How much there is now.
    pub fn census(&self) -> Census {
        self.core.census()
    }

    /// The services, as in [`Broker::services`].
    pub fn services(&self, now: Instant) -> (Vec<ServiceReport>, usize) {
        self.core.services(now)
    }

    /// How long requests took.
    pub fn latency(&self) -> &Latency {
        self.core.latency()
    }

    /// Messages that were none.
    pub fn garbage(&self) -> u64 {
        self.garbage
    }

    fn feed(&mut self, input: Input, now: Instant) -> Vec<Act> {
        let outputs = self.core.on(input, now);
        let acts = outputs.into_iter().filter_map(|output| self.act(output));
        acts.collect()
    }

    fn act(&self, output: Output) -> Option<Act> {
        match output {
            Output::Worker(peer, message) => {
                let delivery = match &message {
                    ToWorker::Request { delivery, .. } => Some(*delivery),
                    _ => None,
                };
                if let Some(to) = self.elsewhere.neighbour(peer) {
                    return elsewhere::hand_over(to, peer, message);
                }
                let dialect = self.workers.get(&peer)?;
                let frames = dialect::write_to_worker(dialect, message, &self.about_us)?;
                Some(Act::Send {
                    peer,
                    frames,
                    delivery,
                })
            }
            Output::Client(to, message) => self.to_client(to, message),
            Output::Keep(request) => Some(Act::Keep(request)),
            Output::Release(number, answer) => Some(Act::Release(number, answer)),
            Output::Event(event) => Some(Act::Event(event)),
            Output::Drained => Some(Act::Drained),
        }
    }

    fn to_client(&self, to: ReturnAddress, message: ToClient) -> Option<Act> {
        let dialect = ClientDialect::of_tag(to.tag)?;
        let errors = self.manner.mdp_errors;
        let frames = dialect::write_to_client(dialect, to.envelope, message, errors)?;
        Some(Act::Send {
            peer: to.peer,
            frames,
            delivery: None,
        })
    }
}

#[cfg(test)]
mod tests;
