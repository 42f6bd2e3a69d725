//! A whole system in one process without sockets or clock: its parts are killed at any moment, connections come up in any
//! order and break, and every request is answered within seconds all the same.
//!
//! What is simulated is the network and the joints between the parts' decisions and their sockets; the decisions are the real
//! ones. A run is named by its seed.

mod net;
mod parts;

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use self::{
    net::{Life, Net, Wire},
    parts::{Broker, Coordinator, Front, Queue, Worker},
};
use crate::faas::message::{Answer, Note};

const FRONT: usize = 0;
const BROKER: usize = 1;
const COORDINATOR: usize = 2;
/// The first of the queues …
const QUEUES: usize = 3;
/// … and of the workers.
const WORKERS: usize = 6;
const PARTS: usize = 10;

/// Runs of the test; each takes some milliseconds.
const RUNS: u64 = 300;
/// Requests of a run, and kills, at most.
const REQUESTS: usize = 40;
const KILLS: usize = 12;
/// Connections that break though both sides live, at most.
const CUTS: usize = 8;
/// Things that happen before it is waited for the last answers.
const STEPS: usize = 1_500;
/// Time between two looks at the clock.
const TICK: Duration = Duration::from_millis(20);
/// When all is quiet, the last answer comes within this time: less than any lease, which would hide a loss.
const SETTLED: Duration = Duration::from_secs(6);

/// The registry tells a part that another is there, some time after it is.
#[derive(Clone, Copy, Debug)]
struct News {
    to: Life,
    of: Life,
}

struct World {
    now: Instant,
    random: fastrand::Rng,
    net: Net,
    lives: [u64; PARTS],
    /// The broker and the coordinator that each part knows of.
    known: [[Option<Life>; 2]; PARTS],
    news: Vec<News>,
    front: Front,
    broker: Broker,
    coordinator: Coordinator,
    queues: Vec<Queue>,
    workers: Vec<Worker>,
    asked: Vec<(String, oneshot::Receiver<Answer>)>,
    kills: usize,
    cuts: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let life = |part| Life { part, number: 0 };
        let mut world = Self {
            now,
            random: fastrand::Rng::with_seed(seed),
            net: Net::default(),
            lives: [0; PARTS],
            known: [[None; 2]; PARTS],
            news: Vec::new(),
            front: Front::new(life(FRONT)),
            broker: Broker::new(life(BROKER)),
            coordinator: Coordinator::new(now),
            queues: (QUEUES..WORKERS)
                .map(|it| Queue::new(life(it), now))
                .collect(),
            workers: (WORKERS..PARTS).map(|it| Worker::new(life(it))).collect(),
            asked: Vec::new(),
            kills: 0,
            cuts: 0,
        };
        for part in 0..PARTS {
            world.announce(part);
        }
        world
    }

    fn life(&self, part: usize) -> Life {
        let number = self.lives[part];
        Life { part, number }
    }

    /// A part is new: others will hear of it, and it of them.
    fn announce(&mut self, part: usize) {
        let of = self.life(part);
        let wanted = |to: usize, of: usize| match of {
            BROKER => to == FRONT || to >= QUEUES,
            COORDINATOR => (QUEUES..WORKERS).contains(&to),
            FRONT => to == BROKER,
            _ => false,
        };
        for other in (0..PARTS).filter(|other| *other != part) {
            let other = self.life(other);
            if wanted(other.part, part) {
                self.news.push(News { to: other, of });
            }
            if wanted(part, other.part) {
                self.news.push(News { to: of, of: other });
            }
        }
    }

    fn told(&mut self, News { to, of }: News) {
        if self.life(to.part) != to || self.life(of.part) != of {
            return; // one of them has died meanwhile
        }
        let (net, now) = (&mut self.net, self.now);
        match (to.part, of.part) {
            (FRONT, _) => self.front.join(Some(of), net),
            (BROKER, _) => self.broker.meet(of, net),
            (queue @ QUEUES..WORKERS, BROKER) => {
                self.queues[queue - QUEUES].join_broker(Some(of), net, now);
            }
            (queue @ QUEUES..WORKERS, _) => {
                self.queues[queue - QUEUES].join_coordinator(Some(of), net, now);
            }
            _ => {}
        }
        if let BROKER | COORDINATOR = of.part {
            self.known[to.part][of.part - BROKER] = Some(of);
        }
    }

    /// `kill -9`, and another one in its place.
    fn kill(&mut self, part: usize) {
        self.kills += 1;
        self.net.end_of(self.life(part));
        self.lives[part] += 1;
        self.known[part] = [None; 2];
        let life = self.life(part);
        match part {
            BROKER => self.broker = Broker::new(life),
            COORDINATOR => self.coordinator = Coordinator::new(self.now),
            QUEUES..WORKERS => self.queues[part - QUEUES] = Queue::new(life, self.now),
            _ => self.workers[part - WORKERS] = Worker::new(life),
        }
        self.announce(part);
    }

    fn ask(&mut self) {
        let id = format!("r{}", self.asked.len());
        let line = format!(r#"{{"id":"{id}","message":"{id}","front":"f","timeout_ms":30000}}"#);
        let job = Note::read(line.as_bytes()).and_then(Note::into_job);
        let (tell, answer) = oneshot::channel();
        self.front.waiting.insert(job.expect("a job"), tell);
        self.asked.push((id, answer));
    }

    /// Something that waits at one end of a connection is seen there.
    fn see(&mut self, wire: Wire) {
        let Some((life, socket, event)) = self.net.take(wire) else {
            return;
        };
        let (net, now) = (&mut self.net, self.now);
        match life.part {
            FRONT => self.front.on(wire, event),
            BROKER => self.broker.on(wire, socket, event, now),
            COORDINATOR => self.coordinator.on(wire, socket, event, net, now),
            part @ QUEUES..WORKERS => {
                self.queues[part - QUEUES].on(wire, socket, event, net, now);
            }
            part => {
                let lives = self.lives;
                let is_there = |it: Life| lives[it.part] == it.number;
                self.workers[part - WORKERS].on(wire, event, net, is_there);
            }
        }
        self.carry_out(life.part);
    }

    fn carry_out(&mut self, part: usize) {
        let (net, now) = (&mut self.net, self.now);
        match part {
            FRONT => self.front.carry_out(net),
            BROKER => self.broker.carry_out(net),
            QUEUES..WORKERS => self.queues[part - QUEUES].carry_out(net, now),
            _ => {}
        }
    }

    /// A part looks at the clock.
    fn tick(&mut self, part: usize) {
        let there = |life: Option<Life>| life.filter(|it| self.lives[it.part] == it.number);
        let [broker, coordinator] = self.known[part].map(there);
        let (net, now) = (&mut self.net, self.now);
        match part {
            FRONT => self.front.tick(broker, net),
            BROKER => self.broker.tick(net, now),
            COORDINATOR => self.coordinator.tick(net, now),
            QUEUES..WORKERS => self.queues[part - QUEUES].tick(broker, coordinator, net, now),
            _ => self.workers[part - WORKERS].tick(broker, net),
        }
        self.carry_out(part);
    }

    fn step(&mut self) {
        match self.random.u32(..100) {
            0..70 => {
                let pending = self.net.pending();
                if let Some(&wire) = self.random.choice(&pending) {
                    self.see(wire);
                }
            }
            70..76 => {
                if !self.news.is_empty() {
                    let news = self.random.usize(..self.news.len());
                    let news = self.news.swap_remove(news);
                    self.told(news);
                    self.carry_out(news.to.part);
                }
            }
            76..84 => {
                let worker = self.random.usize(..self.workers.len());
                self.workers[worker].finish(&mut self.net);
            }
            84..88 if self.asked.len() < REQUESTS => {
                self.ask();
                self.carry_out(FRONT);
            }
            88 if self.kills < KILLS => {
                let part = self.random.usize(BROKER..PARTS);
                self.kill(part);
            }
            89 if self.cuts < CUTS => {
                self.cuts += 1;
                let all = self.net.all();
                if let Some(&wire) = self.random.choice(&all) {
                    self.net.cut(wire, &mut self.random);
                }
            }
            _ => {
                self.now += TICK / 4;
                let part = self.random.usize(..PARTS);
                self.tick(part);
            }
        }
    }

    /// Nothing is killed any more; time goes on. Returns how long the last answer took.
    fn settle(&mut self) -> Option<Duration> {
        let begin = self.now;
        while self.now - begin < SETTLED {
            for news in std::mem::take(&mut self.news) {
                self.told(news);
                self.carry_out(news.to.part);
            }
            loop {
                let pending = self.net.pending();
                let Some(&wire) = self.random.choice(&pending) else {
                    break;
                };
                self.see(wire);
            }
            for worker in &mut self.workers {
                worker.finish(&mut self.net);
            }
            self.now += TICK;
            (0..PARTS).for_each(|part| self.tick(part));
            self.look();
            if self.asked.is_empty() {
                return Some(self.now - begin);
            }
        }
        None
    }

    /// Takes what has been answered, and looks whether it is the right answer.
    fn look(&mut self) {
        self.asked
            .retain_mut(|(id, answer)| match answer.try_recv() {
                Ok(answer) => {
                    let got = (answer.code, answer.message.get().to_owned());
                    assert_eq!(got, (None, format!("\"{id}\"")));
                    false
                }
                Err(oneshot::error::TryRecvError::Empty) => true,
                Err(oneshot::error::TryRecvError::Closed) => panic!("{id} was dropped"),
            });
    }
}

#[test]
fn every_request_is_answered_whatever_is_killed_and_whenever() {
    let one: Option<u64> = std::env::var("FAAS_SEED")
        .ok()
        .and_then(|it| it.parse().ok());
    let seeds = one.map_or(0..RUNS, |seed| seed..seed + 1);
    let (mut kills, mut slowest) = (0, Duration::ZERO);
    for seed in seeds {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        let took = world.settle();
        let left: Vec<&String> = world.asked.iter().map(|(id, _)| id).collect();
        let took = took.unwrap_or_else(|| panic!("seed {seed}: not answered: {left:?}"));
        slowest = slowest.max(took);
        kills += world.kills;
    }
    println!("{kills} kills; the last answer came after {slowest:?} at most");
    assert!(kills > 0);
}
