//! The loop: what happens at the sockets goes to the exchange, what it says goes out.
//!
//! Everything here is non-blocking but the one wait for something to happen.

use std::{
    collections::VecDeque,
    pin::Pin,
    time::{Duration, Instant},
};

use tokio::{
    signal::unix::SignalKind,
    sync::{mpsc, oneshot, watch},
    time::{Sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::{Config, Error, Status, neighbours, report::Report, trace::Tracer};
use crate::{
    core::message::Peer,
    disk::{Disk, Found, Outcome},
    exchange::{Act, Exchange, Port},
    federation::{Federation, Happened},
    zsock::{Link, Router, RouterEvent, SendError},
};

/// Events handled before whatever else lives in this thread has a turn: the sockets for trace lines and between brokers.
const BURST: usize = 128;
/// How often the numbers are published while something happens.
const STATUS: Duration = Duration::from_millis(250);
/// When nothing is due, the loop looks after itself this often.
const IDLE: Duration = Duration::from_secs(60);

/// Where a broker listens, with the ports chosen.
pub(super) struct Addresses {
    pub(super) front: Vec<String>,
    pub(super) back: Vec<String>,
    pub(super) news: Option<String>,
}

/// Runs a broker until it is told to stop and has finished.
pub(super) async fn run(
    config: Config,
    stop: CancellationToken,
    listening: oneshot::Sender<Addresses>,
    (status, questions): (
        watch::Sender<Status>,
        mpsc::Receiver<oneshot::Sender<Report>>,
    ),
) -> Result<(), Error> {
    let max_body = config.limits.max_body;
    let guard = config.guard.as_ref();
    let front = Router::bind_with(&config.front, max_body, guard).await?;
    let back = match config.back.is_empty() {
        true => None,
        false => Some(Router::bind_with(&config.back, max_body, guard).await?),
    };
    let back_bound = back.as_ref().map(|it| it.bound().to_vec());
    let name = config.manner.name.clone();
    let (federation, news) = neighbours::join(config.federation, name, max_body).await?;
    let bound = Addresses {
        front: front.bound().to_vec(),
        back: back_bound.unwrap_or_default(),
        news,
    };
    let disk = match &config.data_dir {
        Some(path) => {
            // Without a handler a limit on the size of files ends the process; with one, writing returns an error.
            let signal = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
            drop(tokio::signal::unix::signal(signal)?);
            Some(Disk::open(path, &config.limits)?)
        }
        None => None,
    };
    let exchange = Exchange::new(config.limits, config.manner.clone(), fastrand::u64(..));
    let (exchange, tracer) = match config.logger {
        Some(logger) => {
            let tracer = Tracer::new(config.manner.name.clone(), logger, config.logger_pass).await;
            (exchange.with_events(), Some(tracer))
        }
        None => (exchange, None),
    };
    let mut broker = Loop {
        exchange,
        front,
        back,
        tracer,
        disk: None,
        federation,
        changed: false,
        drain: config.drain,
        name: config.manner.name,
        questions,
        status,
        published: Instant::now(),
        answers_lost: 0,
        drained: false,
        handled: 0,
        timer: Box::pin(sleep_until((Instant::now() + IDLE).into())),
    };
    if let Some((disk, found)) = disk {
        broker.restore(disk, found);
    }
    if listening.send(bound).is_err() {
        return Ok(()); // nobody waits for it any more
    }
    broker.serve(stop).await?;
    broker.close().await;
    Ok(())
}

/// What woke the loop.
enum Woken {
    Stop,
    Event(Port, RouterEvent),
    Time,
    Logger,
    Asked(oneshot::Sender<Report>),
    Disk(Outcome),
    Between(Happened),
}

pub(super) struct Loop {
    pub(super) exchange: Exchange,
    front: Router,
    back: Option<Router>,
    tracer: Option<Tracer>,
    disk: Option<Disk>,
    pub(super) federation: Option<Federation>,
    /// Whether something happened since other brokers were last told.
    pub(super) changed: bool,
    drain: Duration,
    name: String,
    questions: mpsc::Receiver<oneshot::Sender<Report>>,
    status: watch::Sender<Status>,
    published: Instant,
    answers_lost: u64,
    drained: bool,
    /// Events since others last had a turn.
    handled: usize,
    /// Wakes the loop when something is due, or a little before.
    timer: Pin<Box<Sleep>>,
}

impl Loop {
    /// Goes on with what a former run of this broker had promised.
    fn restore(&mut self, disk: Disk, found: Found) {
        let (requests, answers) = (found.requests.len(), found.answers.len());
        if requests + answers > 0 {
            info!(requests, answers, "goes on with what was kept");
        }
        self.disk = Some(disk);
        self.exchange.keeps_on_disk();
        let now = Instant::now();
        let acts = self.exchange.restore(found.requests, found.answers, now);
        self.carry_out(acts, now);
    }

    async fn serve(&mut self, stop: CancellationToken) -> Result<(), Error> {
        let mut draining = false;
        while !self.drained {
            let woken = self.wait(&stop, draining).await?;
            let now = Instant::now();
            match woken {
                Woken::Stop => {
                    draining = true;
                    let held = self.exchange.census().requests;
                    info!(held, limit = ?self.drain, "the broker finishes what it holds");
                    let acts = self.exchange.drain(now + self.drain, now);
                    self.carry_out(acts, now);
                }
                Woken::Event(port, event) => {
                    self.handle(port, event, now);
                    self.burst(now);
                    self.send_waiting();
                    if self.handled >= BURST {
                        self.handled = 0;
                        tokio::task::yield_now().await;
                    }
                }
                Woken::Time => {
                    let acts = self.exchange.tick(now);
                    self.carry_out(acts, now);
                }
                Woken::Asked(answer) => {
                    // Whoever asked may have lost interest.
                    let _ = answer.send(self.report(now));
                }
                Woken::Between(happened) => self.between(happened, now),
                Woken::Disk(outcome) => {
                    for number in outcome.numbers {
                        let acts = self.exchange.kept(number, outcome.error.clone(), now);
                        self.carry_out(acts, now);
                    }
                }
                Woken::Logger => {
                    if let Some(tracer) = &mut self.tracer {
                        tracer.follow().await;
                    }
                }
            }
            self.tell_neighbours(now);
            self.publish(now);
        }
        Ok(())
    }

    async fn wait(&mut self, stop: &CancellationToken, draining: bool) -> Result<Woken, Error> {
        let now = Instant::now();
        let unpublished = self.published + STATUS;
        let mut due = self
            .exchange
            .next_tick()
            .unwrap_or(now + IDLE)
            .min(now + IDLE);
        if let Some(federation) = &self.federation {
            due = due.min(federation.due(self.changed));
        }
        if unpublished > now {
            due = due.min(unpublished);
        }
        // What is due later than it was is left to the next time: setting a timer for each message costs more than a wake-up.
        if self.timer.is_elapsed() || due < self.timer.deadline().into_std() {
            self.timer.as_mut().reset(due.into());
        }
        let back = async {
            match &mut self.back {
                Some(back) => back.event().await,
                None => std::future::pending().await,
            }
        };
        let written = async {
            match &mut self.disk {
                Some(disk) => disk.outcome().await,
                None => std::future::pending().await,
            }
        };
        let between = async {
            match &mut self.federation {
                Some(federation) => federation.event().await,
                None => std::future::pending().await,
            }
        };
        let moved = async {
            match &mut self.tracer {
                Some(tracer) => tracer.moved().await,
                None => std::future::pending().await,
            }
        };
        Ok(tokio::select! {
            () = stop.cancelled(), if !draining => Woken::Stop,
            event = self.front.event() => Woken::Event(Port::Front, event?),
            event = back => Woken::Event(Port::Back, event?),
            () = &mut self.timer => Woken::Time,
            () = moved => Woken::Logger,
            Some(answer) = self.questions.recv() => Woken::Asked(answer),
            happened = between => Woken::Between(happened),
            outcome = written => Woken::Disk(outcome),
        })
    }

    /// Handles what else has happened already, from both ports in turns.
    fn burst(&mut self, now: Instant) {
        for _ in 0..BURST {
            let front = self.front.try_event();
            let back = self.back.as_mut().and_then(Router::try_event);
            if front.is_none() && back.is_none() {
                return;
            }
            if let Some(event) = front {
                self.handle(Port::Front, event, now);
            }
            if let Some(event) = back {
                self.handle(Port::Back, event, now);
            }
        }
    }

    /// Sends before anything else is waited for: what came to one port mostly goes out at the other.
    fn send_waiting(&mut self) {
        self.front.send_waiting();
        if let Some(back) = &mut self.back {
            back.send_waiting();
        }
    }

    fn handle(&mut self, port: Port, event: RouterEvent, now: Instant) {
        self.changed = true;
        self.handled += 1;
        let acts = match event {
            RouterEvent::Message(link, frames) => {
                self.exchange.message(port, peer(port, link), frames, now)
            }
            RouterEvent::Authenticated(link, key) => {
                return self.authenticated(peer(port, link), key);
            }
            RouterEvent::Down(link) => self.exchange.gone(peer(port, link), now),
        };
        self.carry_out(acts, now);
    }

    pub(super) fn carry_out(&mut self, acts: Vec<Act>, now: Instant) {
        let mut acts = VecDeque::from(acts);
        while let Some(act) = acts.pop_front() {
            match act {
                Act::Send {
                    peer,
                    frames,
                    delivery,
                } => {
                    let Err(error) = self.send(peer, frames) else {
                        continue;
                    };
                    debug!(peer = peer.0, %error, "not sent");
                    match delivery {
                        Some(delivery) => acts.extend(self.exchange.undelivered(delivery, now)),
                        None => self.answers_lost += 1,
                    }
                }
                Act::HandOver {
                    to,
                    frames,
                    delivery,
                } => {
                    let federation = self.federation.as_ref();
                    if !federation.is_some_and(|it| it.try_send(to, frames, delivery)) {
                        acts.extend(self.exchange.undelivered(delivery, now));
                    }
                }
                Act::Event(event) => {
                    if let Some(tracer) = &mut self.tracer {
                        tracer.send(&event);
                    }
                }
                Act::Keep(request) => {
                    if let Some(disk) = &self.disk {
                        disk.keep(request);
                    }
                }
                Act::Release(number, answer) => {
                    if let Some(disk) = &self.disk {
                        disk.release(number, answer);
                    }
                }
                Act::Drained => self.drained = true,
            }
        }
    }

    fn send(&mut self, peer: Peer, frames: Vec<bytes::Bytes>) -> Result<(), SendError> {
        let link = Link(peer.0 >> 1);
        match (&mut self.back, peer.0 & 1) {
            (_, 0) => self.front.try_send(link, frames),
            (Some(back), _) => back.try_send(link, frames),
            (None, _) => Err(SendError::Gone),
        }
    }

    fn publish(&mut self, now: Instant) {
        if now.saturating_duration_since(self.published) < STATUS {
            return;
        }
        self.published = now;
        self.publish_now();
    }

    fn status(&self) -> Status {
        Status {
            counters: self.exchange.counters(),
            census: self.exchange.census(),
            connections: self.front.links() + self.back.as_ref().map_or(0, Router::links),
            garbage: self.exchange.garbage(),
            answers_lost: self.answers_lost,
            lines_lost: self.tracer.as_ref().map_or(0, |it| it.lost),
        }
    }

    fn report(&self, now: Instant) -> Report {
        let (services, services_left_out) = self.exchange.services(now);
        Report {
            broker: self.name.clone(),
            status: self.status(),
            latency: self.exchange.latency().clone(),
            services,
            services_left_out,
            neighbours: self
                .federation
                .as_ref()
                .map_or_else(Vec::new, Federation::report),
        }
    }

    fn publish_now(&self) {
        let next = self.status();
        self.status.send_if_modified(|current| {
            let changed = *current != next;
            *current = next;
            changed
        });
    }

    async fn close(self) {
        self.publish_now();
        self.front.close().await;
        if let Some(back) = self.back {
            back.close().await;
        }
        if let Some(tracer) = self.tracer {
            tracer.close().await;
        }
        if let Some(disk) = self.disk {
            disk.close();
        }
    }
}

/// The number of a connection for the exchange: unique over both ports.
fn peer(port: Port, link: Link) -> Peer {
    Peer(link.0 << 1 | u64::from(port == Port::Back))
}
