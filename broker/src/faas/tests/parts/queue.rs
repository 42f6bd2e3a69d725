//! A queue: two links of two connections each, and its workers.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::super::net::{Event, Life, Net, Socket, Wire};
use crate::{
    core::message::Peer,
    faas::{
        message::{DATA, Note},
        queue::state as queue,
    },
};

/// As in `queue`.
const ALONE: Duration = Duration::from_secs(1);
const STATUS: Duration = Duration::from_millis(500);

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
pub(in crate::faas::tests) struct Queue {
    pub(in crate::faas::tests) life: Life,
    pub(in crate::faas::tests) name: String,
    pub(in crate::faas::tests) state: queue::State,
    broker: Pair,
    coordinator: Pair,
    workers: BTreeMap<u64, Wire>,
    wanted: bool,
    heard: bool,
    alone: Instant,
    told: Instant,
}

impl Queue {
    pub(in crate::faas::tests) fn new(life: Life, now: Instant) -> Self {
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
    pub(in crate::faas::tests) fn join_broker(
        &mut self,
        broker: Option<Life>,
        net: &mut Net,
        now: Instant,
    ) {
        self.state.broker_gone(now);
        self.connect_broker(broker, net);
    }

    fn connect_broker(&mut self, broker: Option<Life>, net: &mut Net) {
        let broker = broker.filter(|_| self.wanted);
        let sockets = (Socket::Jobs, Socket::Told);
        self.broker
            .connect(sockets, (self.life, broker), &self.name, net);
    }

    pub(in crate::faas::tests) fn join_coordinator(
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

    pub(in crate::faas::tests) fn on(
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

    pub(in crate::faas::tests) fn tick(
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

    pub(in crate::faas::tests) fn carry_out(&mut self, net: &mut Net, now: Instant) {
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
