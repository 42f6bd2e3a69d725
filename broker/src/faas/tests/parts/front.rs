//! The front end: its requests, and two connections with the broker.

use super::super::net::{Event, Life, Net, Socket, Wire};
use crate::faas::front::waiting::Waiting;

/// The front end.
#[derive(Debug)]
pub(in crate::faas::tests) struct Front {
    pub(in crate::faas::tests) life: Life,
    pub(in crate::faas::tests) waiting: Waiting,
    broker: Option<Wire>,
    up: bool,
}

impl Front {
    pub(in crate::faas::tests) fn new(life: Life) -> Self {
        Self {
            life,
            waiting: Waiting::default(),
            broker: None,
            up: false,
        }
    }

    pub(in crate::faas::tests) fn join(&mut self, broker: Option<Life>, net: &mut Net) {
        if let Some(wire) = self.broker.take() {
            net.close(wire);
        }
        self.up = false;
        self.waiting.doubt();
        self.broker = broker.map(|it| net.connect(Socket::Requests, self.life, it));
    }

    pub(in crate::faas::tests) fn tick(&mut self, broker: Option<Life>, net: &mut Net) {
        if self.broker.is_none() {
            self.join(broker, net);
        }
    }

    pub(in crate::faas::tests) fn on(&mut self, wire: Wire, event: Event) {
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

    pub(in crate::faas::tests) fn carry_out(&mut self, net: &mut Net) {
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
