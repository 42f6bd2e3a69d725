//! A queue of the FaaS on its sockets: jobs from the broker to workers, answers back, and what it cannot do itself to other
//! queues by way of the coordinator.
//!
//! Nothing is decided here but when a link is made anew. It must not know where broker and coordinator are found.

mod link;
pub(super) mod state;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use self::state::Limits;
use self::{
    link::{Event, Link, To},
    state::{Act, State},
};
use super::{
    Addresses, Error, check_name,
    message::{DATA, Note},
};
use crate::{
    core::message::Peer,
    zsock::{Link as Connection, Router, RouterEvent},
};

/// How often the clock is looked at; and the longest that news for the coordinator waits.
const TICK: Duration = Duration::from_millis(20);
/// How often the coordinator is told our numbers although they are the same: a queue that says nothing is gone.
const STATUS: Duration = Duration::from_millis(500);
/// A queue without workers whose coordinator is away for so long takes no jobs: others do.
const ALONE: Duration = Duration::from_secs(1);

/// What a queue is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name, which is the topic of its jobs. No two queues of a system may have the same.
    pub name: String,
    /// Where workers connect to: ROUTER.
    pub bind: String,
    /// The broker: its PUB of jobs, and its PULL of answers.
    pub broker: Addresses,
    /// The coordinator: its XPUB and its XSUB. There need not be one.
    pub coordinator: Addresses,
    /// What it holds.
    pub limits: Limits,
}

/// A queue that listens.
#[derive(Debug)]
pub struct Queue {
    name: String,
    workers: Router,
    /// What workers are told to connect to.
    advertised: String,
    envelopes: BTreeMap<Peer, Vec<Bytes>>,
    broker: Link,
    coordinator: Link,
    /// Whether the coordinator has said something since the link was made.
    heard: bool,
    state: State,
    alone: Instant,
    told: Instant,
}

impl Queue {
    /// Listens. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If the name cannot be one, or the address not be understood or listened on.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        check_name(&config.name)?;
        let max_body = config.limits.max_body;
        let workers = Router::bind(&[config.bind], max_body).await?;
        let now = Instant::now();
        let name = config.name;
        Ok(Self {
            advertised: workers.bound().first().cloned().unwrap_or_default(),
            workers,
            envelopes: BTreeMap::new(),
            broker: Link::new(To::Broker, &name, max_body, config.broker),
            coordinator: Link::new(To::Coordinator, &name, max_body, config.coordinator),
            heard: false,
            state: State::new(name.clone(), config.limits, fastrand::u64(..1 << 53)),
            alone: now,
            told: now,
            name,
        })
    }

    /// Where workers connect to.
    pub fn workers(&self) -> &str {
        self.workers.bound().first().map_or("", String::as_str)
    }

    /// What workers are told to connect to, if that is not where it listens.
    pub fn advertise(&mut self, address: String) {
        self.advertised = address;
    }

    /// Serves until `stop`. What it has then is given to other queues by the broker.
    ///
    /// # Errors
    /// If a socket fails.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        self.broker.connect().await?;
        self.coordinator.connect().await?;
        let mut ticks = interval(TICK);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                event = self.workers.event() => self.on_worker(event?),
                event = self.broker.event() => self.on_broker(event?).await?,
                event = self.coordinator.event() => self.on_coordinator(event?).await?,
                _ = ticks.tick() => self.tick().await?,
            }
            self.carry_out();
        }
        let (jobs, workers) = self.state.size();
        info!(queue = %self.name, jobs, workers, "the queue has ended");
        self.broker.close().await;
        self.coordinator.close().await;
        self.workers.close().await;
        Ok(())
    }

    fn on_worker(&mut self, event: RouterEvent) {
        let now = Instant::now();
        match event {
            RouterEvent::Message(Connection(link), mut frames) => {
                let peer = Peer(link);
                let body = frames.pop().unwrap_or_default();
                match Note::read(&body) {
                    Some(note) => {
                        self.envelopes.insert(peer, frames);
                        self.state.worker_said(peer, note, now);
                    }
                    None => debug!("a worker's message makes no sense"),
                }
            }
            RouterEvent::Authenticated(..) => {}
            RouterEvent::Down(Connection(link)) => {
                self.envelopes.remove(&Peer(link));
                self.state.worker_gone(Peer(link), now);
            }
        }
    }

    async fn on_broker(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Up => {
                let init = self.state.init(&self.advertised).write();
                if !self.broker.try_send(vec![init]) {
                    warn!(queue = %self.name, "the broker does not take that there is a queue");
                }
                self.state.say_again();
            }
            Event::Message(frames) => {
                // Whoever subscribes gets what begins with its name: of another queue as well.
                let ours = frames.first().is_some_and(|topic| *topic == *self.name);
                let note = frames.last().filter(|_| ours && frames.len() > 1);
                if let Some(note) = note.and_then(|frame| Note::read(frame)) {
                    self.state.broker_said(note, Instant::now());
                }
            }
            Event::Down => {
                self.state.broker_gone(Instant::now());
                self.broker.connect().await?;
            }
        }
        Ok(())
    }

    async fn on_coordinator(&mut self, event: Event) -> Result<(), Error> {
        let now = Instant::now();
        match event {
            Event::Up => self.tell(now),
            Event::Message(frames) => {
                if !self.heard {
                    self.heard = true;
                    self.state.coordinator_heard();
                }
                let note = frames.last().and_then(|frame| Note::read(frame));
                // Before it hears us, nothing could be handed to the others.
                if let Some(note) = note.filter(|_| self.coordinator.is_up()) {
                    self.state.coordinator_said(note, now);
                }
            }
            Event::Down => {
                self.heard = false;
                self.state.coordinator_gone(now);
                self.coordinator.connect().await?;
            }
        }
        Ok(())
    }

    async fn tick(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        self.state.tick(now);
        if self.broker.is_up() {
            self.state.say_again();
        }
        let due = now.saturating_duration_since(self.told) >= STATUS;
        if self.coordinator.is_up() && (self.state.news() || due) {
            self.tell(now);
        }
        let (_, workers) = self.state.size();
        if workers > 0 || self.coordinator.is_up() {
            self.alone = now;
        }
        let alone = now.saturating_duration_since(self.alone) >= ALONE;
        if alone {
            self.state.give_up(now);
        }
        Ok(self.broker.want(!alone).await?)
    }

    fn tell(&mut self, now: Instant) {
        self.told = now;
        let status = self.state.status().write();
        let _ = self
            .coordinator
            .try_send(vec![Bytes::from_static(DATA.as_bytes()), status]);
    }

    fn carry_out(&mut self) {
        let mut unlent = Vec::new();
        let mut acts = self.state.take();
        while !acts.is_empty() {
            for act in acts {
                match act {
                    Act::Worker(peer, note) => self.tell_worker(peer, &note),
                    Act::Broker(note) => {
                        // If it is lost on its way, the broker gives the job again when it has found that out.
                        if !self.broker.try_send(vec![note.write()]) {
                            debug!("the broker does not take an answer now");
                            self.state.unsent(&note);
                        }
                    }
                    Act::Coordinator(note) => {
                        let topic = Bytes::from_static(DATA.as_bytes());
                        if !self.coordinator.try_send(vec![topic, note.write()]) {
                            debug!("the coordinator does not take a job now");
                            unlent.push(note);
                        }
                    }
                }
            }
            acts = self.state.take();
        }
        // What becomes of them is for the next time: it may be the same.
        let now = Instant::now();
        for note in unlent {
            self.state.unlent(note, now);
        }
    }

    fn tell_worker(&mut self, peer: Peer, note: &Note) {
        let mut frames = self.envelopes.get(&peer).cloned().unwrap_or_default();
        frames.push(note.write());
        if let Err(error) = self.workers.try_send(Connection(peer.0), frames) {
            debug!(%error, "a worker cannot be reached");
            self.state.worker_gone(peer, Instant::now());
        }
    }
}
