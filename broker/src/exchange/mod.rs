//! The broker as its peers see it: frames of a connection in, frames to connections out.
//!
//! It joins the dialects with the core: remembers how each worker speaks, gives clients who cannot say them their time and
//! patience, and answers questions about the broker itself. Pure like both: no socket, no clock.

mod elsewhere;

use std::time::{Duration, Instant};

use bytes::Bytes;
use rustc_hash::FxHashMap;

use self::elsewhere::Elsewhere;
use crate::{
    core::{
        Broker, Census, Counters, Limits,
        keep::{KeptAnswer, KeptRequest},
        message::{
            Beats, ClientKey, Delivery, Event, Frames, Input, NewRequest, Output, Peer, Ready,
            Refusal, RequestName, Retry, ReturnAddress, ToClient, ToWorker,
        },
        report::{Latency, ServiceReport},
    },
    dialect::{
        self, AskHeaders, ClientDialect, ClientWish, Said, WorkerDialect, WorkerReport,
        zwp::WelcomeHeaders,
    },
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

/// How the broker treats its peers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Manner {
    /// The broker's name, as it tells workers.
    pub name: String,
    /// The service of clients and workers that name none.
    pub default_service: String,
    /// How long a client waits that does not say it.
    pub timeout: Duration,
    /// How long a client waits that cannot say it.
    pub foreign_timeout: Duration,
    /// How long a native worker may keep a request without a sign that it works on it.
    pub lease: Duration,
    /// How long other workers may, who cannot give one.
    pub foreign_lease: Duration,
    /// Silence after which a native worker is lost.
    pub silence: Duration,
    /// Silence after which an idle MDP worker is lost: three of its usual beats of 2.5 s, and a little.
    pub foreign_silence: Duration,
    /// Whether MDP clients get errors as a body; their protocol has none.
    pub mdp_errors: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            name: "mq".to_owned(),
            default_service: "default".to_owned(),
            timeout: Duration::from_secs(30),
            foreign_timeout: Duration::from_secs(300),
            lease: Duration::from_secs(30),
            foreign_lease: Duration::from_secs(300),
            silence: Duration::from_secs(3),
            foreign_silence: Duration::from_secs(8),
            mdp_errors: false,
        }
    }
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

    fn client(
        &mut self,
        dialect: ClientDialect,
        from: ReturnAddress,
        wish: ClientWish,
        now: Instant,
    ) -> Vec<Act> {
        match wish {
            ClientWish::Request { id, headers, .. }
                if headers.hop > 0 && !self.may_hand_over(from.peer) =>
            {
                let why = "this key may not hand requests over: it is not among --curve-brokers";
                self.turn_away(from, id.unwrap_or_default(), (403, why.into()))
            }
            ClientWish::Request {
                service,
                id,
                headers,
                body,
            } => {
                let request = self.request(dialect, from, (service, id, body), headers);
                self.feed(Input::Request(request), now)
            }
            ClientWish::Cancel(id) => {
                let (client, key) = (from.peer, self.key(from.peer));
                let name = RequestName { key, id };
                self.feed(Input::Cancel { client, name }, now)
            }
            ClientWish::Management { name, about } => {
                let code: &'static [u8] = match about {
                    Some(service) if self.core.is_served(&service) => b"200",
                    Some(_) => b"404",
                    None => b"501",
                };
                let answer = ToClient::Final {
                    id: Bytes::new(),
                    service: String::from_utf8_lossy(&name).into(),
                    body: vec![Bytes::from_static(code)],
                };
                self.to_client(from, answer).into_iter().collect()
            }
            ClientWish::Malformed(id, why) => self.turn_away(from, id, (400, why.to_string())),
        }
    }

    /// Refuses what the core does not get to see.
    fn turn_away(&self, from: ReturnAddress, id: Bytes, (code, why): (u16, String)) -> Vec<Act> {
        let error = ToClient::Error {
            id,
            service: "".into(),
            refusal: Refusal {
                code,
                text: Bytes::from(why),
                retry_after: None,
                maybe_executed: false,
            },
        };
        self.to_client(from, error).into_iter().collect()
    }

    fn request(
        &self,
        dialect: ClientDialect,
        from: ReturnAddress,
        (service, id, body): (Option<Bytes>, Option<Bytes>, Frames),
        headers: AskHeaders,
    ) -> NewRequest {
        let native = dialect == ClientDialect::Native;
        let usual = if native {
            self.manner.timeout
        } else {
            self.manner.foreign_timeout
        };
        let default_service = || Bytes::from(self.manner.default_service.clone());
        let over = headers.hop > 0;
        let (id, handed) = match over {
            true => (None, Some(id.unwrap_or_default())),
            false => (id, None),
        };
        NewRequest {
            key: self.key(from.peer),
            from,
            id,
            service: service.unwrap_or_else(default_service),
            timeout: headers.timeout_ms.map_or(usual, Duration::from_millis),
            retry: match headers.retry.as_deref() {
                Some("never") => Retry::Never,
                _ => Retry::Safe,
            },
            ack: headers.ack,
            stream: headers.stream || dialect.takes_parts(),
            // Who cannot read an error is better served by waiting.
            patient: !native,
            trace: headers.trace.map(Into::into),
            handed,
            body,
        }
    }

    fn worker(
        &mut self,
        worker: Peer,
        dialect: WorkerDialect,
        report: WorkerReport,
        now: Instant,
    ) -> Vec<Act> {
        let input = match report {
            WorkerReport::Ready { services, capacity } => {
                let ready = self.offer(&dialect, services, capacity);
                self.workers.insert(worker, dialect);
                Input::Ready { worker, ready }
            }
            other => {
                self.workers.entry(worker).or_insert(dialect);
                report_input(worker, other)
            }
        };
        self.feed(input, now)
    }

    fn offer(&self, dialect: &WorkerDialect, services: Vec<Bytes>, capacity: u8) -> Ready {
        let services = if services.is_empty() {
            vec![Bytes::from(self.manner.default_service.clone())]
        } else {
            services
        };
        let native = matches!(dialect, WorkerDialect::Native(_));
        let (beats, silence, lease) = match dialect {
            WorkerDialect::Native(_) => (Beats::Always, self.manner.silence, self.manner.lease),
            WorkerDialect::Mdp(..) => (
                Beats::WhenIdle,
                self.manner.foreign_silence,
                self.manner.foreign_lease,
            ),
            WorkerDialect::Req(_) => (Beats::Never, Duration::MAX, self.manner.foreign_lease),
        };
        Ready {
            services,
            capacity: if native { capacity.into() } else { 1 },
            beats,
            silence,
            lease,
        }
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

fn report_input(worker: Peer, report: WorkerReport) -> Input {
    match report {
        WorkerReport::Partial(delivery, body) => Input::Partial {
            worker,
            delivery,
            body,
        },
        WorkerReport::Final(delivery, body) => Input::Final {
            worker,
            delivery,
            body,
        },
        WorkerReport::Fail(delivery, code, retryable, text) => Input::Fail {
            worker,
            delivery,
            code,
            retryable,
            text,
        },
        WorkerReport::Heartbeat(running) => Input::Heartbeat { worker, running },
        WorkerReport::Extend(delivery, by) => Input::Extend {
            worker,
            delivery,
            by,
        },
        WorkerReport::Drain => Input::WorkerDrain(worker),
        WorkerReport::Bye | WorkerReport::Ready { .. } => Input::Bye(worker),
    }
}

#[cfg(test)]
mod tests;
