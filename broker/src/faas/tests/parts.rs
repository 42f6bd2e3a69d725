//! The parts' decisions joined with simulated sockets, as `mod.rs` of each part joins them with real ones.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::net::{Event, Life, Net, Socket, Wire};
use crate::{
    core::message::Peer,
    faas::{
        broker::state as broker,
        coordinator::state as coordinator,
        front::waiting::Waiting,
        message::{Answer, DATA, Note},
        queue::state as queue,
    },
    zsock::Link,
};

/// As in `queue`.
const ALONE: Duration = Duration::from_secs(1);
const STATUS: Duration = Duration::from_millis(500);

/// The front end.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) life: Life,
    pub(super) waiting: Waiting,
    broker: Option<Wire>,
    up: bool,
}

impl Front {
    pub(super) fn new(life: Life) -> Self {
        Self {
            life,
            waiting: Waiting::default(),
            broker: None,
            up: false,
        }
    }

    pub(super) fn join(&mut self, broker: Option<Life>, net: &mut Net) {
        if let Some(wire) = self.broker.take() {
            net.close(wire);
        }
        self.up = false;
        self.waiting.doubt();
        self.broker = broker.map(|it| net.connect(Socket::Requests, self.life, it));
    }

    pub(super) fn tick(&mut self, broker: Option<Life>, net: &mut Net) {
        if self.broker.is_none() {
            self.join(broker, net);
        }
    }

    pub(super) fn on(&mut self, wire: Wire, event: Event) {
        match event {
            Event::Message(note) => {
                let answer = (*note).into_answer().expect("an answer");
                self.waiting.answered(answer);
            }
            Event::Up if self.broker == Some(wire) => self.up = true,
            Event::Down if self.broker == Some(wire) => {
                (self.up, self.broker) = (false, None);
                self.waiting.doubt();
            }
            Event::Up | Event::Down => self.waiting.doubt(),
            Event::Subscribed(_) => unreachable!("nobody subscribes to a front end"),
        }
    }

    pub(super) fn carry_out(&mut self, net: &mut Net) {
        if let Some(wire) = self.broker.filter(|_| self.up) {
            let mut jobs = Vec::new();
            let jobs_of = std::cell::RefCell::new(&mut jobs);
            self.waiting.send(|job| {
                jobs_of.borrow_mut().push(job.note(None));
                true
            });
            for note in jobs {
                net.send(wire, Event::said(note));
            }
        }
    }
}

/// The broker.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) life: Life,
    pub(super) state: broker::State,
    subscribers: Vec<(Wire, String)>,
    asking: BTreeMap<u64, Wire>,
    front: Option<Wire>,
    /// Where it is.
    met: Option<Life>,
}

impl Broker {
    pub(super) fn new(life: Life) -> Self {
        Self {
            life,
            state: broker::State::new(broker::Limits::default()),
            subscribers: Vec::new(),
            asking: BTreeMap::new(),
            front: None,
            met: None,
        }
    }

    /// It learns of the front end.
    pub(super) fn meet(&mut self, front: Life, net: &mut Net) {
        self.met = Some(front);
        self.front = Some(net.connect(Socket::Answers, self.life, front));
    }

    pub(super) fn tick(&mut self, net: &mut Net, now: Instant) {
        if let (Some(front), None) = (self.met, self.front) {
            self.meet(front, net);
        }
        self.state.tick(now);
    }

    pub(super) fn on(&mut self, wire: Wire, socket: Socket, event: Event, now: Instant) {
        let link = Link(wire.number);
        match (socket, event) {
            (Socket::Requests, Event::Message(note)) => self.state.request(*note, now),
            (Socket::Told, Event::Message(note)) => self.state.queue_said(*note, now),
            (Socket::Jobs, Event::Subscribed(topic)) => {
                self.state.subscribed(link, topic.as_bytes(), now);
                self.subscribers.push((wire, topic));
            }
            (Socket::Jobs, Event::Down) => {
                self.subscribers.retain(|(it, _)| *it != wire);
                self.state.gone(link, now);
            }
            (Socket::Asks, Event::Message(_)) => {
                self.asking.insert(wire.number, wire);
                self.state.asked(link);
            }
            (Socket::Asks, Event::Down) => self.state.worker_gone(link),
            (Socket::Answers, Event::Down) => self.front = None,
            _ => {}
        }
    }

    pub(super) fn carry_out(&mut self, net: &mut Net) {
        for act in self.state.take() {
            match act {
                broker::Act::Queue { topic, note } => {
                    let theirs = self.subscribers.iter().filter(|(_, it)| *it == topic);
                    for (wire, _) in theirs {
                        net.send(*wire, Event::said(note.clone()));
                    }
                }
                // To one that is not known it is lost.
                broker::Act::Front { note, .. } => {
                    if let Some(wire) = self.front {
                        net.send(wire, Event::said(note));
                    }
                }
                broker::Act::Worker { worker, note } => {
                    if let Some(wire) = self.asking.remove(&worker.0) {
                        net.send(wire, Event::said(note));
                    }
                }
            }
        }
    }
}

/// The coordinator.
#[derive(Debug)]
pub(super) struct Coordinator {
    state: coordinator::State,
    listeners: Vec<Wire>,
    /// Who speaks, by the name it gave itself.
    speakers: BTreeMap<Wire, String>,
    told: Instant,
}

impl Coordinator {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: coordinator::State::default(),
            listeners: Vec::new(),
            speakers: BTreeMap::new(),
            told: now,
        }
    }

    pub(super) fn on(
        &mut self,
        wire: Wire,
        socket: Socket,
        event: Event,
        net: &mut Net,
        now: Instant,
    ) {
        match (socket, event) {
            // A SUB subscribes when the connection stands.
            (Socket::Inward, Event::Up) => net.send(wire, Event::Subscribed(String::new())),
            (Socket::Inward, Event::Message(note)) => {
                if note.kind() == "queue_status" {
                    let name = note.queue_name.clone().unwrap_or_default();
                    self.speakers.insert(wire, name);
                }
                if let Some(job) = self.state.said(*note, now) {
                    self.tell(&job, net);
                }
            }
            (Socket::Inward, Event::Down) => {
                let name = self.speakers.remove(&wire);
                self.state.gone(name.as_deref(), self.speakers.len());
            }
            (Socket::Outward, Event::Subscribed(_)) => {
                self.listeners.push(wire);
                self.tell(&self.state.status(), net);
            }
            (Socket::Outward, Event::Down) => self.listeners.retain(|it| *it != wire),
            _ => {}
        }
    }

    pub(super) fn tick(&mut self, net: &mut Net, now: Instant) {
        self.state.tick(now);
        if let Some(news) = self.state.news() {
            self.tell(&news, net);
            self.told = now;
        } else if now.saturating_duration_since(self.told) >= STATUS {
            self.tell(&self.state.status(), net);
            self.told = now;
        }
    }

    fn tell(&self, note: &Note, net: &mut Net) {
        for wire in &self.listeners {
            net.send(*wire, Event::said(note.clone()));
        }
    }
}

/// One of a queue's two links: what it reads from, what it writes to.
#[derive(Debug, Default)]
struct Pair {
    wires: Option<(Wire, Wire)>,
    up: bool,
}

impl Pair {
    fn cut(&mut self, net: &mut Net) {
        self.up = false;
        if let Some((from, to)) = self.wires.take() {
            net.close(from);
            net.close(to);
        }
    }

    fn connect(
        &mut self,
        sockets: (Socket, Socket),
        (us, them): (Life, Option<Life>),
        topic: &str,
        net: &mut Net,
    ) {
        self.cut(net);
        if let Some(them) = them {
            let from = net.connect(sockets.0, us, them);
            net.send(from, Event::Subscribed(topic.to_owned()));
            self.wires = Some((from, net.connect(sockets.1, us, them)));
        }
    }

    fn has(&self, wire: Wire) -> bool {
        self.wires
            .is_some_and(|(from, to)| from == wire || to == wire)
    }

    fn send(&self, note: &Note, net: &mut Net) -> bool {
        let to = self.wires.filter(|_| self.up);
        if let Some((_, to)) = to {
            net.send(to, Event::said(note.clone()));
        }
        to.is_some()
    }
}

/// A queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) life: Life,
    pub(super) name: String,
    pub(super) state: queue::State,
    broker: Pair,
    coordinator: Pair,
    workers: BTreeMap<u64, Wire>,
    wanted: bool,
    heard: bool,
    alone: Instant,
    told: Instant,
}

impl Queue {
    pub(super) fn new(life: Life, now: Instant) -> Self {
        let name = format!("q{}", life.part);
        let limits = queue::Limits::default();
        Self {
            state: queue::State::new(name.clone(), limits, life.number * 1000),
            life,
            name,
            broker: Pair::default(),
            coordinator: Pair::default(),
            workers: BTreeMap::new(),
            wanted: true,
            heard: false,
            alone: now,
            told: now,
        }
    }

    /// The link to the broker broke, or leads elsewhere now.
    pub(super) fn join_broker(&mut self, broker: Option<Life>, net: &mut Net, now: Instant) {
        self.state.broker_gone(now);
        self.connect_broker(broker, net);
    }

    fn connect_broker(&mut self, broker: Option<Life>, net: &mut Net) {
        let broker = broker.filter(|_| self.wanted);
        let sockets = (Socket::Jobs, Socket::Told);
        self.broker
            .connect(sockets, (self.life, broker), &self.name, net);
    }

    pub(super) fn join_coordinator(
        &mut self,
        coordinator: Option<Life>,
        net: &mut Net,
        now: Instant,
    ) {
        self.heard = false;
        self.state.coordinator_gone(now);
        self.connect_coordinator(coordinator, net);
    }

    fn connect_coordinator(&mut self, coordinator: Option<Life>, net: &mut Net) {
        let sockets = (Socket::Outward, Socket::Inward);
        self.coordinator
            .connect(sockets, (self.life, coordinator), DATA, net);
    }

    pub(super) fn on(
        &mut self,
        wire: Wire,
        socket: Socket,
        event: Event,
        net: &mut Net,
        now: Instant,
    ) {
        match (socket, event) {
            (Socket::Work, Event::Message(note)) => {
                self.workers.insert(wire.number, wire);
                self.state.worker_said(Peer(wire.number), *note, now);
            }
            (Socket::Work, Event::Down) => {
                self.workers.remove(&wire.number);
                self.state.worker_gone(Peer(wire.number), now);
            }
            (Socket::Told, Event::Up) if self.broker.has(wire) => {
                self.broker.up = true;
                let address = format!("{} {}", self.life.part, self.life.number);
                self.broker.send(&self.state.init(&address), net);
                self.state.say_again();
            }
            (Socket::Jobs, Event::Message(note)) => self.state.broker_said(*note, now),
            (Socket::Inward, Event::Subscribed(_)) if self.coordinator.has(wire) => {
                self.coordinator.up = true;
                self.tell(net, now);
            }
            (Socket::Outward, Event::Message(note)) => {
                if !std::mem::replace(&mut self.heard, true) {
                    self.state.coordinator_heard();
                }
                if self.coordinator.up {
                    self.state.coordinator_said(*note, now);
                }
            }
            // What broke is made anew when that side is found again.
            (Socket::Told | Socket::Jobs, Event::Down) if self.broker.has(wire) => {
                self.join_broker(None, net, now);
            }
            (Socket::Inward | Socket::Outward, Event::Down) if self.coordinator.has(wire) => {
                self.join_coordinator(None, net, now);
            }
            _ => {}
        }
    }

    pub(super) fn tick(
        &mut self,
        broker: Option<Life>,
        coordinator: Option<Life>,
        net: &mut Net,
        now: Instant,
    ) {
        self.state.tick(now);
        if self.broker.up {
            self.state.say_again();
        }
        let due = now.saturating_duration_since(self.told) >= STATUS;
        if self.coordinator.up && (self.state.news() || due) {
            self.tell(net, now);
        }
        let (_, workers) = self.state.size();
        if workers > 0 || self.coordinator.up {
            self.alone = now;
        }
        let alone = now.saturating_duration_since(self.alone) >= ALONE;
        if alone {
            self.state.give_up(now);
        }
        let changed = self.wanted == alone;
        self.wanted = !alone;
        if changed || self.broker.wires.is_none() {
            self.connect_broker(broker, net);
        }
        if self.coordinator.wires.is_none() {
            self.connect_coordinator(coordinator, net);
        }
    }

    fn tell(&mut self, net: &mut Net, now: Instant) {
        self.told = now;
        self.coordinator.send(&self.state.status(), net);
    }

    pub(super) fn carry_out(&mut self, net: &mut Net, now: Instant) {
        let mut unlent = Vec::new();
        for act in self.state.take() {
            match act {
                queue::Act::Worker(peer, note) => {
                    let wire = self.workers[&peer.0];
                    net.send(wire, Event::said(note));
                }
                queue::Act::Broker(note) => {
                    if !self.broker.send(&note, net) {
                        self.state.unsent(&note);
                    }
                }
                queue::Act::Coordinator(note) => {
                    if !self.coordinator.send(&note, net) {
                        unlent.push(note);
                    }
                }
            }
        }
        for note in unlent {
            self.state.unlent(note, now);
        }
    }
}

/// A worker of the usual function, one job at a time.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) life: Life,
    broker: Option<Wire>,
    queue: Option<Wire>,
    job: Option<Note>,
}

impl Worker {
    pub(super) fn new(life: Life) -> Self {
        let (broker, queue, job) = (None, None, None);
        Self {
            life,
            broker,
            queue,
            job,
        }
    }

    pub(super) fn on(
        &mut self,
        wire: Wire,
        event: Event,
        net: &mut Net,
        lives: impl Fn(Life) -> bool,
    ) {
        let asked = self.broker == Some(wire);
        match event {
            Event::Up if asked => net.send(wire, Event::said(Note::of("request_queue_ip"))),
            Event::Up => net.send(wire, Event::said(Note::of("new"))),
            Event::Down if asked => self.broker = None,
            Event::Down if self.queue == Some(wire) => (self.queue, self.job) = (None, None),
            Event::Message(note) if asked => {
                net.close(wire);
                self.broker = None;
                let address = note.queue_ip.expect("where the queue is");
                let (part, number) = address.split_once(' ').expect("both");
                let number_of = |text: &str| text.parse().expect("a number");
                let life = Life {
                    part: usize::try_from(number_of(part)).expect("small"),
                    number: number_of(number),
                };
                self.queue = lives(life).then(|| net.connect(Socket::Work, self.life, life));
            }
            Event::Message(note) if note.kind() == "request_job" => self.job = Some(*note),
            Event::Message(_) => net.send(wire, Event::said(Note::of("heartbeat"))),
            _ => {}
        }
    }

    /// Answers what it has.
    pub(super) fn finish(&mut self, net: &mut Net) {
        if let (Some(job), Some(queue)) = (self.job.take(), self.queue) {
            let answer = Answer {
                id: job.id.expect("a job has one"),
                message: job.message.expect("a job has one"),
                code: None,
                queue: None,
            };
            net.send(queue, Event::said(answer.note()));
        }
    }

    pub(super) fn tick(&mut self, broker: Option<Life>, net: &mut Net) {
        if self.queue.is_none() && self.broker.is_none() {
            self.broker = broker.map(|it| net.connect(Socket::Asks, self.life, it));
        }
    }
}
