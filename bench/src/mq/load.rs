//! Clients and workers of a broker, and what they see: the same for every broker.
//!
//! Every request carries its place, its number and its time; the worker gives them back. An answer that nobody asked for,
//! or that another client should have had, ends the run. A worker answers at once, so that only the broker takes time.

use std::time::{Duration, Instant};

use e2e::wait;

use super::broker::Broker;
use super::crowd::{Crowd, Listener, Outbox};
use crate::registry::spread::quantile;

/// Place, number and time at the beginning of a body.
const HEAD: usize = 24;
/// How often native workers say that they live.
const BEAT: Duration = Duration::from_secs(1);
/// A beat is spread over so many parts of that time.
const BEAT_PARTS: usize = 50;
/// How long one turn may wait.
const TURN: Duration = Duration::from_millis(10);

/// How clients and workers speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// As REQ sockets: an empty frame, then the body; a worker begins with `READY`.
    Req,
    /// ZWP/1: requests have ids, workers name services and beat.
    Native,
}

/// Who there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crew {
    pub(crate) speech: Speech,
    pub(crate) clients: usize,
    pub(crate) workers: usize,
    /// Native only: worker `n` serves service `n % services`.
    pub(crate) services: usize,
}

/// How much is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    /// Requests of all clients under way at the same time: as many of each, or clients take turns if there are fewer.
    pub(crate) open: usize,
    /// Bytes of a body, at least 24.
    pub(crate) size: usize,
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    /// Requests that were not answered.
    pub(crate) failed: u64,
    /// Requests per second.
    pub(crate) rate: f64,
    /// CPU microseconds of the broker for each request.
    pub(crate) cpu_micros: f64,
    /// Round trip in microseconds.
    pub(crate) half: f64,
    pub(crate) most: f64,
    /// Of the broker, at the end.
    pub(crate) megabytes: f64,
}

/// Connected clients and workers.
#[derive(Debug)]
pub(crate) struct Load {
    crowd: Crowd,
    people: People,
}

impl Load {
    /// Connects everybody, and waits until the workers are known to a broker that says so.
    pub(crate) fn connect(broker: &Broker, crew: Crew) -> Result<Load, String> {
        let mut crowd = Crowd::new()?;
        crowd.join(crew.clients, broker.front)?;
        let names = (0..crew.services).map(|n| format!("service-{n:05}"));
        let mut people = People {
            crew,
            names: names.collect(),
            started: Instant::now(),
            slots: Vec::new(),
            size: HEAD,
            asked: 0,
            asking: false,
            answered: 0,
            under_way: 0,
            welcomed: 0,
            times: Vec::new(),
            filler: vec![b'x'; 64 * 1024],
            beaten: 0,
            beat_due: Instant::now() + BEAT / BEAT_PARTS as u32,
        };
        crowd.join(crew.workers, broker.back)?;
        for number in 0..crew.workers {
            let place = crew.clients + number;
            match crew.speech {
                Speech::Req => crowd.out.send(place, &[b"", b"READY"]),
                Speech::Native => {
                    let name = &people.names[number % crew.services];
                    crowd
                        .out
                        .send(place, &[b"ZWW1", &[1], &[1], name.as_bytes()]);
                }
            }
        }
        let deadline = Instant::now() + wait::SOON;
        while crew.speech == Speech::Native && people.welcomed < crew.workers {
            if Instant::now() > deadline {
                return Err("the broker does not welcome every worker".to_owned());
            }
            people.beat(&mut crowd.out);
            crowd.turn(TURN, &mut people)?;
        }
        Ok(Load { crowd, people })
    }

    /// Asks for a while and measures. May be called again.
    pub(crate) fn sample(&mut self, broker: &Broker, demand: Demand) -> Result<Sample, String> {
        self.people.begin(demand);
        for slot in 0..demand.open {
            self.people.ask(slot, &mut self.crowd.out);
        }
        self.run(demand.warm_up)?;
        let before = (self.people.answered, broker.cpu_seconds(), Instant::now());
        self.people.times.clear();
        self.run(demand.time)?;
        let requests = self.people.answered - before.0;
        let used = broker.cpu_seconds() - before.1;
        let took = before.2.elapsed();
        let mut times = std::mem::take(&mut self.people.times);
        self.people.asking = false;
        let deadline = Instant::now() + wait::SOON;
        while self.people.under_way > 0 && Instant::now() < deadline {
            self.crowd.turn(TURN, &mut self.people)?;
        }
        Ok(Sample {
            requests,
            failed: self.people.under_way as u64,
            rate: requests as f64 / took.as_secs_f64(),
            cpu_micros: used * 1e6 / requests.max(1) as f64,
            half: quantile(&mut times, 0.5),
            most: quantile(&mut times, 0.99),
            megabytes: broker.megabytes(),
        })
    }

    /// Lets everybody be there and say nothing but that they live; returns the part of a CPU that takes the broker.
    pub(crate) fn idle(&mut self, broker: &Broker, time: Duration) -> Result<f64, String> {
        let (before, since) = (broker.cpu_seconds(), Instant::now());
        self.run(time)?;
        Ok((broker.cpu_seconds() - before) / since.elapsed().as_secs_f64())
    }

    fn run(&mut self, time: Duration) -> Result<(), String> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.people.beat(&mut self.crowd.out);
            self.crowd.turn(TURN, &mut self.people)?;
        }
        Ok(())
    }
}

/// A request under way: who asked, and its number.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    client: usize,
    number: u64,
    open: bool,
}

#[derive(Debug)]
struct People {
    crew: Crew,
    names: Vec<String>,
    started: Instant,
    slots: Vec<Slot>,
    size: usize,
    /// Requests sent, ever.
    asked: u64,
    /// Whether an answer is followed by another request.
    asking: bool,
    answered: u64,
    under_way: usize,
    welcomed: usize,
    /// Microseconds.
    times: Vec<f64>,
    filler: Vec<u8>,
    /// The worker that beats next.
    beaten: usize,
    beat_due: Instant,
}

impl Listener for People {
    fn hear(&mut self, from: usize, frames: &[&[u8]], out: &mut Outbox) -> Result<(), String> {
        if from >= self.crew.clients {
            return self.work(from, frames, out);
        }
        let body = match frames {
            [b"", body] if self.crew.speech == Speech::Req => body,
            [b"ZWC1", [3], _, _, _, body] => body,
            _ => return Err(format!("not an answer: {}", shown(frames))),
        };
        let slot = self.settle(from, body)?;
        if self.asking {
            self.ask(slot, out);
        }
        Ok(())
    }
}

impl People {
    fn begin(&mut self, demand: Demand) {
        self.slots = vec![Slot::default(); demand.open];
        self.size = demand.size.clamp(HEAD, self.filler.len());
        self.asking = true;
        self.under_way = 0;
    }

    fn ask(&mut self, slot: usize, out: &mut Outbox) {
        let number = self.asked;
        self.asked += 1;
        self.under_way += 1;
        // Each client has as many under way as the others; if there are more clients than that, they take turns.
        let turn = if self.slots.len() < self.crew.clients {
            number as usize
        } else {
            slot
        };
        let client = turn % self.crew.clients;
        self.slots[slot] = Slot {
            client,
            number,
            open: true,
        };
        let now = self.started.elapsed().as_nanos() as u64;
        self.filler[..8].copy_from_slice(&(slot as u64).to_be_bytes());
        self.filler[8..16].copy_from_slice(&number.to_be_bytes());
        self.filler[16..HEAD].copy_from_slice(&now.to_be_bytes());
        let body = &self.filler[..self.size];
        match self.crew.speech {
            Speech::Req => out.send(client, &[b"", body]),
            Speech::Native => {
                // As long as a UUID is.
                let id = [self.started.elapsed().as_nanos() as u64, number].map(u64::to_be_bytes);
                let name = &self.names[number as usize % self.names.len()];
                let frames: [&[u8]; 6] =
                    [b"ZWC1", &[1], name.as_bytes(), id.as_flattened(), b"", body];
                out.send(client, &frames);
            }
        }
    }

    /// Takes an answer; returns the slot that is free by it.
    fn settle(&mut self, client: usize, body: &[u8]) -> Result<usize, String> {
        let word = |at: usize| Some(u64::from_be_bytes(body.get(at..at + 8)?.try_into().ok()?));
        let (Some(slot), Some(number), Some(sent)) = (word(0), word(8), word(16)) else {
            return Err(format!("an answer of {} bytes", body.len()));
        };
        let place = usize::try_from(slot).unwrap_or(usize::MAX);
        let slot = self.slots.get_mut(place).filter(|slot| {
            slot.open && slot.client == client && slot.number == number && body.len() == self.size
        });
        let slot = slot.ok_or("an answer that this client does not wait for")?;
        slot.open = false;
        self.under_way -= 1;
        self.answered += 1;
        let now = self.started.elapsed().as_nanos() as u64;
        self.times.push(now.saturating_sub(sent) as f64 / 1e3);
        Ok(place)
    }

    fn work(&mut self, worker: usize, frames: &[&[u8]], out: &mut Outbox) -> Result<(), String> {
        match frames {
            [b"", client, b"", body] if self.crew.speech == Speech::Req => {
                out.send(worker, &[b"", client, b"", body]);
            }
            [b"ZWW1", [2], delivery, _, _, _, _, body] => {
                out.send(worker, &[b"ZWW1", &[4], delivery, body]);
            }
            [b"ZWW1", [10], ..] => self.welcomed += 1,
            [b"ZWW1", [6], ..] => {}
            _ => return Err(format!("not for a worker: {}", shown(frames))),
        }
        Ok(())
    }

    /// Lets the native workers beat whose turn it is.
    fn beat(&mut self, out: &mut Outbox) {
        if self.crew.speech == Speech::Req {
            return;
        }
        let now = Instant::now();
        while self.beat_due <= now {
            self.beat_due += BEAT / BEAT_PARTS as u32;
            for _ in 0..self.crew.workers.div_ceil(BEAT_PARTS) {
                out.send(self.crew.clients + self.beaten, &[b"ZWW1", &[6]]);
                self.beaten = (self.beaten + 1) % self.crew.workers;
            }
        }
    }
}

/// For an error: the beginning of what came.
fn shown(frames: &[&[u8]]) -> String {
    let frame = |frame: &&[u8]| {
        let start = &frame[..frame.len().min(40)];
        format!("{:?}", String::from_utf8_lossy(start))
    };
    frames.iter().map(frame).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> People {
        People {
            crew: Crew {
                speech: Speech::Req,
                clients: 2,
                workers: 1,
                services: 1,
            },
            names: vec!["service".to_owned()],
            started: Instant::now(),
            slots: vec![
                Slot {
                    client: 1,
                    number: 5,
                    open: true,
                },
                Slot::default(),
            ],
            size: HEAD,
            asked: 6,
            asking: false,
            answered: 0,
            under_way: 1,
            welcomed: 0,
            times: Vec::new(),
            filler: vec![0; HEAD],
            beaten: 0,
            beat_due: Instant::now(),
        }
    }

    fn body(slot: u64, number: u64) -> Vec<u8> {
        [slot, number, 0].map(u64::to_be_bytes).concat()
    }

    #[test]
    fn only_the_answer_to_an_open_request_of_this_client_counts() {
        let mut people = people();
        assert!(people.settle(0, &body(0, 5)).is_err(), "another client's");
        assert!(people.settle(1, &body(0, 4)).is_err(), "another number");
        assert!(people.settle(1, &body(1, 5)).is_err(), "not open");
        assert!(people.settle(1, &body(9, 5)).is_err(), "no such slot");
        assert!(people.settle(1, b"short").is_err());
        assert_eq!(people.settle(1, &body(0, 5)), Ok(0));
        assert!(people.settle(1, &body(0, 5)).is_err(), "twice");
        assert_eq!((people.answered, people.under_way), (1, 0));
    }
}
