//! The coordinator: hears who speaks, tells those who listen, and they need not be the same at any moment.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::super::net::{Event, Net, Socket, Wire};
use crate::faas::{coordinator::state as coordinator, message::Note};

/// As in `coordinator`.
const STATUS: Duration = Duration::from_millis(500);

/// The coordinator.
#[derive(Debug)]
pub(in crate::faas::tests) struct Coordinator {
    state: coordinator::State,
    listeners: Vec<Wire>,
    /// Who speaks, by the name it gave itself.
    speakers: BTreeMap<Wire, String>,
    told: Instant,
}

impl Coordinator {
    pub(in crate::faas::tests) fn new(now: Instant) -> Self {
        Self {
            state: coordinator::State::default(),
            listeners: Vec::new(),
            speakers: BTreeMap::new(),
            told: now,
        }
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

    pub(in crate::faas::tests) fn tick(&mut self, net: &mut Net, now: Instant) {
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
