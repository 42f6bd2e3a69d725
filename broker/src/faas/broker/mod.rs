//! The broker of the FaaS on its sockets: requests from front ends in, jobs to queues out, answers the way back; and
//! workers are told which queue to join.
//!
//! Nothing is decided here. It must not know where front ends are found: it is told, and follows what it is told.

pub(super) mod state;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{sync::watch, time::interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use self::state::Limits;
use self::state::{Act, State};
use super::{Error, TICK, message::Note, moved};
use crate::zsock::{Link, Pipe, PipeEvent, Publisher, PublisherEvent, Push, Router, RouterEvent};

/// What a broker is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where front ends send requests: PULL.
    pub requests: String,
    /// Where queues send answers: PULL.
    pub answers: String,
    /// Where queues get jobs: PUB.
    pub jobs: String,
    /// Where workers ask for a queue: ROUTER.
    pub workers: String,
    /// Where front ends wait for answers, as they come and go.
    pub fronts: watch::Receiver<BTreeSet<String>>,
    /// What it holds.
    pub limits: Limits,
    /// Largest body, in bytes.
    pub max_body: usize,
}

/// A broker that listens.
#[derive(Debug)]
pub struct Broker {
    requests: Pipe,
    answers: Pipe,
    jobs: Publisher,
    workers: Router,
    /// Envelopes of the workers that have asked, by their connection.
    envelopes: BTreeMap<Link, Vec<Bytes>>,
    fronts: watch::Receiver<BTreeSet<String>>,
    to_fronts: BTreeMap<String, Push>,
    max_body: usize,
    state: State,
}

enum Woken {
    Request(PipeEvent),
    Answer(PipeEvent),
    Job(PublisherEvent),
    Worker(RouterEvent),
    Fronts,
    Time,
}

impl Broker {
    /// Listens. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If an address cannot be understood or listened on.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        Ok(Self {
            requests: Pipe::pull(&config.requests, config.max_body).await?,
            answers: Pipe::pull(&config.answers, config.max_body).await?,
            jobs: Publisher::bind(&config.jobs).await?,
            workers: Router::bind(&[config.workers], config.max_body).await?,
            envelopes: BTreeMap::new(),
            fronts: config.fronts,
            to_fronts: BTreeMap::new(),
            max_body: config.max_body,
            state: State::new(config.limits),
        })
    }

    /// Where front ends send requests.
    pub fn requests(&self) -> &str {
        self.requests.bound()
    }

    /// Where queues send answers.
    pub fn answers(&self) -> &str {
        self.answers.bound()
    }

    /// Where queues get jobs.
    pub fn jobs(&self) -> &str {
        self.jobs.bound()
    }

    /// Where workers ask for a queue.
    pub fn workers(&self) -> &str {
        self.workers.bound().first().map_or("", String::as_str)
    }

    /// Serves until `stop`. What is held then is lost to this broker, not to its front ends, who ask the next one.
    ///
    /// # Errors
    /// If a socket fails.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        self.follow_fronts().await;
        let mut ticks = interval(TICK);
        loop {
            let woken = tokio::select! {
                () = stop.cancelled() => break,
                event = self.requests.event() => Woken::Request(event?),
                event = self.answers.event() => Woken::Answer(event?),
                event = self.jobs.event() => Woken::Job(event?),
                event = self.workers.event() => Woken::Worker(event?),
                () = moved(&mut self.fronts) => Woken::Fronts,
                _ = ticks.tick() => Woken::Time,
            };
            let now = Instant::now();
            match woken {
                Woken::Request(PipeEvent::Message(frames)) => {
                    if let Some(note) = last_note(&frames) {
                        self.state.request(note, now);
                    }
                }
                Woken::Answer(PipeEvent::Message(frames)) => {
                    if let Some(note) = last_note(&frames) {
                        self.state.queue_said(note, now);
                    }
                }
                Woken::Request(_) | Woken::Answer(_) => {}
                Woken::Job(event) => self.on_queue(event, now),
                Woken::Worker(event) => self.on_worker(event),
                Woken::Fronts => self.follow_fronts().await,
                Woken::Time => {
                    self.state.tick(now);
                    self.answer_again();
                }
            }
            self.carry_out();
        }
        self.close().await;
        Ok(())
    }

    fn on_queue(&mut self, event: PublisherEvent, now: Instant) {
        match event {
            PublisherEvent::Subscribed(link, topic) => {
                info!(queue = %String::from_utf8_lossy(&topic), "a queue has come");
                self.state.subscribed(link, &topic, now);
            }
            PublisherEvent::Unsubscribed(link, topic) => self.state.unsubscribed(link, &topic, now),
            PublisherEvent::Down(link) => {
                for queue in self.state.gone(link, now) {
                    let (held, _) = self.state.size();
                    warn!(%queue, held, "a queue is gone: others get what it had");
                }
            }
        }
    }

    fn on_worker(&mut self, event: RouterEvent) {
        match event {
            RouterEvent::Message(link, mut frames) => {
                let body = frames.pop().unwrap_or_default();
                if Note::read(&body).is_some_and(|note| note.kind() == "request_queue_ip") {
                    self.envelopes.insert(link, frames);
                    self.state.asked(link);
                }
            }
            RouterEvent::Authenticated(..) => {}
            RouterEvent::Down(link) => {
                self.envelopes.remove(&link);
                self.state.worker_gone(link);
            }
        }
    }

    fn carry_out(&mut self) {
        for act in self.state.take() {
            match act {
                Act::Queue { topic, note } => {
                    let frames = vec![Bytes::from(topic.clone()), note.write()];
                    let full = self.jobs.send(&frames);
                    // A job waits if there is no room; that one was answered need not be said twice.
                    if note.message.is_some()
                        && self.state.misses(&topic, &full)
                        && let Some(id) = &note.id
                    {
                        self.state.unpublished(id);
                    }
                }
                Act::Front { front, note } => {
                    self.answer(front, &note);
                }
                Act::Worker { worker, note } => {
                    let mut frames = self.envelopes.remove(&worker).unwrap_or_default();
                    frames.push(note.write());
                    if let Err(error) = self.workers.try_send(worker, frames) {
                        debug!(%error, "a worker does not learn of a queue");
                    }
                }
            }
        }
    }

    /// Tries what front ends did not take. One that takes nothing now is not asked to take more: others wait for us meanwhile.
    fn answer_again(&mut self) {
        for front in self.state.behind() {
            while let Some(note) = self.state.again(&front)
                && self.answer(Some(front.clone()), &note)
            {}
        }
    }

    /// `false` if its front end does not take it now. One that is not known yet asks again when it is connected.
    fn answer(&mut self, front: Option<String>, note: &Note) -> bool {
        let frame = vec![note.write()];
        if let Some(front) = front
            && let Some(push) = self.to_fronts.get_mut(&front)
        {
            let sent = push.try_send(frame).is_ok();
            if !sent {
                debug!(%front, "a front end takes no answers now");
                self.state.unsent(front, note);
            }
            return sent;
        }
        // Whose it is nobody knows: it is for that one to ask again.
        for (front, push) in &mut self.to_fronts {
            if push.try_send(frame.clone()).is_err() {
                debug!(%front, "a front end takes no answers now");
            }
        }
        true
    }

    async fn follow_fronts(&mut self) {
        let known = self.fronts.borrow_and_update().clone();
        let gone = self.to_fronts.keys().filter(|it| !known.contains(*it));
        let gone: Vec<String> = gone.cloned().collect();
        for address in gone {
            if let Some(push) = self.to_fronts.remove(&address) {
                tokio::spawn(push.close());
            }
        }
        for address in known {
            if self.to_fronts.contains_key(&address) {
                continue;
            }
            match Push::connect(&address, self.max_body).await {
                Ok(push) => {
                    self.to_fronts.insert(address, push);
                }
                Err(error) => warn!(%address, %error, "no answers for this front end"),
            }
        }
    }

    async fn close(self) {
        let (held, _) = self.state.size();
        info!(held, "the broker has ended");
        self.jobs.close().await;
        self.workers.close().await;
        for push in self.to_fronts.into_values() {
            // One that is gone is not waited for at length.
            let _ = tokio::time::timeout(Duration::from_millis(500), push.close()).await;
        }
    }
}

/// The message in the last frame: what stands before it is a topic, or nothing.
fn last_note(frames: &[Bytes]) -> Option<Note> {
    let note = Note::read(frames.last()?);
    if note.is_none() {
        debug!("a message makes no sense");
    }
    note
}
