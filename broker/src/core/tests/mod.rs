//! The core by tables and by chance.
//!
//! `Scene` is a broker with a clock that only the test moves; events and outcomes are written as short texts.

mod elsewhere;
mod federation;
mod keep;
mod loss;
mod property;
mod queueing;
mod requests;
mod work;

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Broker, Limits, message::*};

/// A broker, its time, and what it last said.
struct Scene {
    broker: Broker,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self {
            broker: Broker::new(limits, 100),
            now: Instant::now(),
        }
    }

    /// Feeds an event and returns what the broker says, each message as a line; heartbeats are left out.
    fn on(&mut self, input: Input) -> Vec<String> {
        let out = self.broker.on(input, self.now);
        self.broker.check();
        out.iter().filter_map(line).collect()
    }

    /// Moves the clock, as a loop would that wakes when a timer is due.
    fn wait(&mut self, time: Duration) -> Vec<String> {
        let until = self.now + time;
        let mut lines = Vec::new();
        while let Some(due) = self.broker.next_tick().filter(|due| *due <= until) {
            self.now = due.max(self.now);
            lines.extend(self.on(Input::Tick));
        }
        self.now = until;
        lines
    }

    fn ask(&mut self, client: u64, service: &str, body: &str) -> Vec<String> {
        self.on(Input::Request(request(client, service, body)))
    }

    fn ready(&mut self, worker: u64, services: &[&str], capacity: u16) -> Vec<String> {
        self.on(ready(worker, services, capacity))
    }

    fn done(&mut self, worker: u64, delivery: u64, body: &str) -> Vec<String> {
        self.on(Input::Final {
            worker: Peer(worker),
            delivery: Delivery(delivery),
            body: frames(body),
        })
    }

    fn gone(&mut self, peer: u64) -> Vec<String> {
        self.on(Input::Gone(Peer(peer)))
    }
}

fn frames(body: &str) -> Frames {
    vec![Bytes::copy_from_slice(body.as_bytes())]
}

fn text(frames: &Frames) -> String {
    let frames = frames.iter().map(|frame| String::from_utf8_lossy(frame));
    frames.collect::<Vec<_>>().join("|")
}

/// A request without an id.
fn request(client: u64, service: &str, body: &str) -> NewRequest {
    NewRequest {
        from: ReturnAddress {
            peer: Peer(client),
            tag: 0,
            envelope: Vec::new(),
        },
        id: None,
        key: None,
        service: Bytes::copy_from_slice(service.as_bytes()),
        timeout: Duration::from_secs(30),
        retry: Retry::Safe,
        ack: false,
        stream: false,
        patient: false,
        trace: None,
        handed: None,
        body: frames(body),
    }
}

/// The same with one.
fn with_id(id: &str, request: NewRequest) -> NewRequest {
    NewRequest {
        id: Some(Bytes::copy_from_slice(id.as_bytes())),
        ..request
    }
}

fn name(id: &str) -> RequestName {
    RequestName {
        key: None,
        id: Bytes::copy_from_slice(id.as_bytes()),
    }
}

fn ready(worker: u64, services: &[&str], capacity: u16) -> Input {
    let services = services.iter();
    Input::Ready {
        worker: Peer(worker),
        ready: Ready {
            services: services
                .map(|it| Bytes::copy_from_slice(it.as_bytes()))
                .collect(),
            capacity,
            beats: Beats::Never,
            silence: Duration::from_secs(3),
            lease: Duration::from_secs(10),
        },
    }
}

/// A message as a line, as in `worker 1: request 100 for echo, try 1: hello`.
fn line(output: &Output) -> Option<String> {
    Some(match output {
        Output::Worker(_, ToWorker::Heartbeat | ToWorker::Welcome { .. }) => return None,
        Output::Worker(
            peer,
            ToWorker::Request {
                delivery,
                service,
                attempt,
                body,
                ..
            },
        ) => format!(
            "worker {}: request {} for {service}, try {attempt}: {}",
            peer.0,
            delivery.0,
            text(body)
        ),
        Output::Worker(peer, ToWorker::Drain) => format!("worker {}: drain", peer.0),
        Output::Worker(peer, ToWorker::Bye) => format!("worker {}: bye", peer.0),
        Output::Client(to, message) => {
            let peer = to.peer.0;
            match message {
                ToClient::Accepted { .. } => format!("client {peer}: accepted"),
                ToClient::Partial { body, .. } => format!("client {peer}: part {}", text(body)),
                ToClient::Final { body, .. } => format!("client {peer}: {}", text(body)),
                ToClient::Error { refusal, .. } => {
                    let maybe = if refusal.maybe_executed {
                        ", maybe executed"
                    } else {
                        ""
                    };
                    format!("client {peer}: error {}{maybe}", refusal.code)
                }
            }
        }
        Output::Keep(kept) => format!("keep {}", kept.number),
        Output::Release(number, answer) => {
            let answer = if answer.is_some() {
                " with its answer"
            } else {
                ""
            };
            format!("release {number}{answer}")
        }
        Output::Event(event) => format!("event {}", event.what.as_str()),
        Output::Drained => "drained".to_owned(),
    })
}
