//! A worker: asks the broker for a queue, and does that queue's jobs.

use super::super::net::{Event, Life, Net, Socket, Wire};
use crate::faas::message::{Answer, Note};

/// A worker of the usual function, one job at a time.
#[derive(Debug)]
pub(in crate::faas::tests) struct Worker {
    pub(in crate::faas::tests) life: Life,
    broker: Option<Wire>,
    queue: Option<Wire>,
    job: Option<Note>,
}

impl Worker {
    pub(in crate::faas::tests) fn new(life: Life) -> Self {
        let (broker, queue, job) = (None, None, None);
        Self {
            life,
            broker,
            queue,
            job,
        }
    }

    pub(in crate::faas::tests) fn on(
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
    pub(in crate::faas::tests) fn finish(&mut self, net: &mut Net) {
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

    pub(in crate::faas::tests) fn tick(&mut self, broker: Option<Life>, net: &mut Net) {
        if self.queue.is_none() && self.broker.is_none() {
            self.broker = broker.map(|it| net.connect(Socket::Asks, self.life, it));
        }
    }
}
