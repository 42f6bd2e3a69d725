//! Brokers among themselves: they tell each other what they have to spare, by a coordinator or directly, and reach each other
//! with requests.
//!
//! What is handed over to whom is decided in the core. It must not know how brokers are found: somebody says where to meet.
//! Where brokers have keys, nothing is told, heard or handed over but between keys that are on both sides' lists.

pub mod coordinator;
mod links;
mod neighbours;
mod news;
mod place;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use self::{
    links::{Task, Way},
    neighbours::Neighbours,
    news::News,
};
pub use self::{
    neighbours::{Change, Neighbour, NeighbourReport},
    place::{Mismatch, Place},
};
use crate::{
    core::{
        elsewhere::Spare,
        message::{Delivery, Frames},
    },
    zsock::{
        DealerEvent, Error,
        curve::{Guard, PublicKey},
    },
};

/// News wait so long for more of them …
const SOONEST: Duration = Duration::from_millis(20);
/// … and longer for each name in them, so that telling of many costs no more than telling of few.
const EACH: Duration = Duration::from_micros(200);
/// News are told so often although they are old: somebody may have come.
const LATEST: Duration = Duration::from_millis(500);
/// What has happened and was not yet looked at: then the others' sockets have to wait.
const EVENTS: usize = 1024;
/// Brokers of which it was said that their news are not believed; then it is not said of more.
const MAX_DOUBTED: usize = 100;

type Tie = mpsc::Sender<Happened>;

/// Where brokers meet.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Meeting {
    /// Where news are heard: other brokers (this one may be among them), or the coordinator.
    pub hear: BTreeSet<Place>,
    /// Where news are told, besides to those who come and listen: the coordinator.
    pub tell: BTreeSet<Place>,
}

/// What a broker in a federation is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it tells its news to who comes and listens.
    pub bind: String,
    /// Where it takes requests of others, as soon as that is known.
    pub at: watch::Receiver<Option<String>>,
    /// Where others are.
    pub meetings: watch::Receiver<Meeting>,
    /// The keys it has and those of the other brokers. Without it brokers that have none are spoken with, in the clear.
    pub guard: Option<Guard>,
}

/// Something that happened between brokers.
#[derive(Debug)]
pub(crate) enum Happened {
    /// Somebody told something.
    News(Frames),
    /// At the connection to a neighbour.
    At(Neighbour, DealerEvent),
    /// A neighbour cannot be reached.
    Down(Neighbour),
    /// This was not sent.
    Unsent(Delivery),
}

/// What it means for the exchange.
#[derive(Debug)]
pub(crate) enum Meaning {
    Spare(Neighbour, BTreeMap<String, Spare>),
    Said(Neighbour, Frames),
    Gone(Neighbour),
    Unsent(Delivery),
}

/// A broker's part in a federation.
#[derive(Debug)]
pub(crate) struct Federation {
    id: u64,
    seq: u64,
    name: String,
    max_body: usize,
    at: watch::Receiver<Option<String>>,
    guard: Option<Guard>,
    neighbours: Neighbours,
    /// Whose news are not believed, as far as that was said.
    doubted: BTreeSet<u64>,
    ways: BTreeMap<Neighbour, Way>,
    news: watch::Sender<Frames>,
    events: mpsc::Receiver<Happened>,
    tie: Tie,
    told: (Instant, BTreeMap<String, Spare>),
    meanings: VecDeque<Meaning>,
    _gossip: Task,
}

impl Federation {
    /// Begins to tell and to hear. Returns where it tells as well.
    pub(crate) async fn start(
        config: Config,
        name: String,
        max_body: usize,
    ) -> Result<(Self, String), Error> {
        let guard = config.guard;
        let own = links::listen_for_listeners(&config.bind, guard.as_ref()).await?;
        let bound = own.bound().to_owned();
        let (news, told) = watch::channel(Frames::new());
        let (tie, events) = mpsc::channel(EVENTS);
        let wire = (told, tie.clone(), guard.clone());
        let gossip = links::spawn(links::gossip(own, config.meetings, wire));
        let id = fastrand::u64(..);
        let federation = Self {
            id,
            seq: 0,
            name,
            max_body,
            at: config.at,
            guard,
            neighbours: Neighbours::new(id),
            doubted: BTreeSet::new(),
            ways: BTreeMap::new(),
            news,
            events,
            tie,
            told: (Instant::now(), BTreeMap::new()),
            meanings: VecDeque::new(),
            _gossip: gossip,
        };
        Ok((federation, bound))
    }

    /// What happens next. Cancel-safe.
    pub(crate) async fn event(&mut self) -> Happened {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await, // never: one end of it is ours
        }
    }

    /// What has happened besides, without waiting.
    pub(crate) fn try_event(&mut self) -> Option<Happened> {
        self.events.try_recv().ok()
    }

    /// Takes note of what happened. What it means is read with [`meaning`](Self::meaning).
    pub(crate) fn on(&mut self, happened: Happened, now: Instant) {
        let change = match happened {
            Happened::News(frames) => News::read(&frames)
                .filter(|news| self.believes(news))
                .and_then(|news| self.neighbours.heard(news, now)),
            Happened::At(number, DealerEvent::Up) => self.neighbours.up(number),
            Happened::At(number, DealerEvent::Down) | Happened::Down(number) => {
                self.neighbours.down(number)
            }
            Happened::At(number, DealerEvent::Message(frames)) => {
                self.meanings.push_back(Meaning::Said(number, frames));
                None
            }
            Happened::Unsent(delivery) => {
                self.meanings.push_back(Meaning::Unsent(delivery));
                None
            }
        };
        if let Some(change) = change {
            self.change(change);
        }
    }

    /// Whether who has this key is another broker.
    pub(crate) fn has_listed(&self, key: PublicKey) -> bool {
        self.guard.as_ref().is_some_and(|it| it.allows(key))
    }

    /// Whether news are of one that may be spoken with. Of one that is known this was settled when it became so.
    fn believes(&mut self, news: &News) -> bool {
        if self.neighbours.knows(news.id) {
            return true;
        }
        let Err(mismatch) = news.place().pass(self.guard.as_ref()) else {
            return true;
        };
        if self.doubted.len() < MAX_DOUBTED && self.doubted.insert(news.id) {
            warn!(address = %news.at, reason = %mismatch, "another broker of this name is not spoken with");
        }
        false
    }

    /// What is to be done next about what happened.
    pub(crate) fn meaning(&mut self) -> Option<Meaning> {
        self.meanings.pop_front()
    }

    fn change(&mut self, change: Change) {
        let meaning = match change {
            Change::Reach(number, place) => {
                info!(address = %place.address, "another broker");
                let guard = self.guard.clone();
                let way = Way::open(number, place, guard, self.max_body, self.tie.clone());
                self.ways.insert(number, way);
                return;
            }
            Change::Spare(number, spare) => Meaning::Spare(number, spare),
            Change::Gone(number) => Meaning::Gone(number),
            Change::Forget(number) => {
                self.ways.remove(&number);
                Meaning::Gone(number)
            }
        };
        self.meanings.push_back(meaning);
    }

    /// Hands over. Says whether that is under way.
    pub(crate) fn try_send(&self, to: Neighbour, frames: Frames, delivery: Delivery) -> bool {
        let way = self.ways.get(&to);
        way.is_some_and(|way| way.try_send(frames, delivery))
    }

    /// When [`tick`](Self::tick) is due, if something may have changed, or if not.
    pub(crate) fn due(&self, changed: bool) -> Instant {
        let (at, spare) = &self.told;
        if !changed {
            return *at + LATEST;
        }
        let names = u32::try_from(spare.len().min(news::MAX_NAMES)).unwrap_or(u32::MAX);
        *at + (SOONEST + EACH * names).min(LATEST)
    }

    /// Time passed: silent neighbours are given up, and what this broker has to spare is told if it is new or was told long
    /// ago.
    pub(crate) fn tick(&mut self, spare: BTreeMap<String, Spare>, now: Instant) {
        for change in self.neighbours.tick(now) {
            self.change(change);
        }
        let (last, before) = &mut self.told;
        let old = now.saturating_duration_since(*last) < LATEST && *before == spare;
        *last = if old { *last } else { now };
        let Some(at) = self.at.borrow().clone().filter(|_| !old) else {
            return;
        };
        before.clone_from(&spare);
        self.seq += 1;
        let news = News {
            id: self.id,
            seq: self.seq,
            name: self.name.clone(),
            at,
            key: self.guard.as_ref().map(Guard::public),
            spare,
        };
        self.news.send_replace(news.write());
    }

    /// The other brokers.
    pub(crate) fn report(&self) -> Vec<NeighbourReport> {
        self.neighbours.report()
    }
}

/// What holds for all that another broker tells.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    use bytes::Bytes;

    use super::news::{MAX_NAMES, News, TOPIC};

    /// News are read or ignored, and what was read is written so that it is read again.
    pub fn news(bytes: &[u8]) {
        let frames = vec![TOPIC.into(), Bytes::copy_from_slice(bytes)];
        let Some(news) = News::read(&frames) else {
            return;
        };
        assert!(news.spare.len() <= MAX_NAMES);
        let again = News::read(&news.clone().write());
        assert_eq!(again.as_ref(), Some(&news));
    }
}
