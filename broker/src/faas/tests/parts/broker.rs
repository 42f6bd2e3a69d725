//! The broker: a PUB that sends to those whose subscription it has seen, and answers to a front end it may not know yet.

use std::{collections::BTreeMap, time::Instant};

use super::super::net::{Event, Life, Net, Socket, Wire};
use crate::{faas::broker::state as broker, zsock::Link};

/// The broker.
#[derive(Debug)]
pub(in crate::faas::tests) struct Broker {
    pub(in crate::faas::tests) life: Life,
    pub(in crate::faas::tests) state: broker::State,
    subscribers: Vec<(Wire, String)>,
    asking: BTreeMap<u64, Wire>,
    front: Option<Wire>,
    /// Where it is.
    met: Option<Life>,
}

impl Broker {
    pub(in crate::faas::tests) fn new(life: Life) -> Self {
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
    pub(in crate::faas::tests) fn meet(&mut self, front: Life, net: &mut Net) {
        self.met = Some(front);
        self.front = Some(net.connect(Socket::Answers, self.life, front));
    }

    pub(in crate::faas::tests) fn tick(&mut self, net: &mut Net, now: Instant) {
        if let (Some(front), None) = (self.met, self.front) {
            self.meet(front, net);
        }
        self.state.tick(now);
    }

    pub(in crate::faas::tests) fn on(
        &mut self,
        wire: Wire,
        socket: Socket,
        event: Event,
        now: Instant,
    ) {
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

    pub(in crate::faas::tests) fn carry_out(&mut self, net: &mut Net) {
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
