//! Which other brokers there are, and what is believed of them.
//!
//! Pure: it is told what came and what time it is. A broker is believed as long as there is a connection to it and its news
//! come; each time it is believed anew it has a new number.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{news::News, place::Place};
use crate::{core::elsewhere::Spare, zsock::curve::PublicKey};

/// A broker that has told nothing for so long is gone, though its connection stands: six times its usual silence.
pub(super) const SILENT: Duration = Duration::from_secs(3);
/// Other brokers at most.
const MAX_NEIGHBOURS: usize = 100;

/// Another broker, from the moment it is believed until it is not. Never used again.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Neighbour(pub u64);

/// What is to be done about a neighbour.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// Connect to it there.
    Reach(Neighbour, Place),
    /// It has this to spare.
    Spare(Neighbour, BTreeMap<String, Spare>),
    /// It is gone, with all it had; the connection may come back.
    Gone(Neighbour),
    /// It is gone, and its connection is not needed any more.
    Forget(Neighbour),
}

/// One of them, for people.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct NeighbourReport {
    /// The name it goes by.
    pub name: String,
    /// Where it takes requests.
    pub at: String,
    /// The key it has there, if it has keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PublicKey>,
    /// Whether there is a connection to it.
    pub up: bool,
    /// What it has to spare.
    pub spare: BTreeMap<String, Spare>,
}

#[derive(Debug)]
struct Known {
    number: Neighbour,
    news: News,
    heard: Instant,
    up: bool,
}

#[derive(Debug)]
pub(super) struct Neighbours {
    own: u64,
    known: BTreeMap<u64, Known>,
    next: u64,
}

impl Neighbours {
    /// Nobody yet; `own` is the id of this broker.
    pub(super) fn new(own: u64) -> Self {
        Self {
            own,
            known: BTreeMap::new(),
            next: 0,
        }
    }

    /// News came.
    pub(super) fn heard(&mut self, news: News, now: Instant) -> Option<Change> {
        if news.id == self.own {
            return None;
        }
        if let Some(known) = self.known.get_mut(&news.id) {
            if news.seq <= known.news.seq || news.key != known.news.key {
                return None; // by another way, or an older one; or of another one that says it is this one
            }
            known.heard = now;
            known.news = news;
            return known.up.then(|| known.spare());
        }
        if self.known.len() >= MAX_NEIGHBOURS {
            return None;
        }
        let number = Neighbour(self.next);
        self.next += 1;
        let (id, place) = (news.id, news.place());
        let known = Known {
            number,
            news,
            heard: now,
            up: false,
        };
        self.known.insert(id, known);
        Some(Change::Reach(number, place))
    }

    /// Whether news of this id were believed before, or it is this broker's own.
    pub(super) fn knows(&self, id: u64) -> bool {
        id == self.own || self.known.contains_key(&id)
    }

    /// The connection to one stands.
    pub(super) fn up(&mut self, number: Neighbour) -> Option<Change> {
        let known = self.find(number)?;
        known.up = true;
        Some(known.spare())
    }

    /// The connection to one is gone.
    pub(super) fn down(&mut self, number: Neighbour) -> Option<Change> {
        let known = self.find(number)?;
        known.up = false;
        // Whoever is there when it comes back has to say so itself.
        known.news.spare.clear();
        Some(Change::Gone(number))
    }

    /// Time passed.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Change> {
        let silent = |known: &Known| now.saturating_duration_since(known.heard) > SILENT;
        let gone = self.known.extract_if(.., |_, known| silent(known));
        gone.map(|(_, known)| Change::Forget(known.number))
            .collect()
    }

    /// All of them.
    pub(super) fn report(&self) -> Vec<NeighbourReport> {
        let reports = self.known.values().map(|known| NeighbourReport {
            name: known.news.name.clone(),
            at: known.news.at.clone(),
            key: known.news.key,
            up: known.up,
            spare: known.news.spare.clone(),
        });
        reports.collect()
    }

    fn find(&mut self, number: Neighbour) -> Option<&mut Known> {
        self.known.values_mut().find(|it| it.number == number)
    }
}

impl Known {
    fn spare(&self) -> Change {
        Change::Spare(self.number, self.news.spare.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zsock::curve::Keys;

    fn news(id: u64, seq: u64, free: u16) -> News {
        let spare = Spare {
            free,
            ..Spare::default()
        };
        let spare = [("a".to_owned(), spare)];
        News {
            id,
            seq,
            name: "mq".to_owned(),
            at: format!("tcp://h:{id}"),
            key: None,
            spare: spare.into(),
        }
    }

    fn told(change: Option<Change>) -> String {
        match change {
            None => String::new(),
            Some(Change::Reach(number, at)) => format!("reach {} at {}", number.0, at.address),
            Some(Change::Spare(number, spare)) => {
                let free = spare.get("a").map(|it| it.free);
                format!("{} has {free:?}", number.0)
            }
            Some(Change::Gone(number)) => format!("{} is gone", number.0),
            Some(Change::Forget(number)) => format!("forget {}", number.0),
        }
    }

    #[test]
    fn one_is_believed_while_it_is_connected_and_tells() {
        let now = Instant::now();
        let mut all = Neighbours::new(7);
        assert_eq!(told(all.heard(news(7, 1, 1), now)), "", "that is ourselves");
        assert_eq!(told(all.heard(news(8, 5, 1), now)), "reach 0 at tcp://h:8");
        assert_eq!(told(all.heard(news(8, 6, 2), now)), "", "not connected yet");
        assert_eq!(told(all.up(Neighbour(0))), "0 has Some(2)");
        assert_eq!(told(all.heard(news(8, 6, 9), now)), "", "heard before");
        assert_eq!(told(all.heard(news(8, 7, 3), now)), "0 has Some(3)");
        assert_eq!(told(all.down(Neighbour(0))), "0 is gone");
        assert_eq!(
            told(all.up(Neighbour(0))),
            "0 has None",
            "old news are none"
        );
        assert_eq!(told(all.heard(news(8, 8, 4), now)), "0 has Some(4)");
        assert!(all.tick(now + SILENT).is_empty());
        let gone = all.tick(now + SILENT + Duration::from_millis(1));
        assert_eq!(gone, [Change::Forget(Neighbour(0))]);
        assert_eq!(told(all.heard(news(8, 9, 4), now)), "reach 1 at tcp://h:8");
        assert_eq!(told(all.down(Neighbour(0))), "", "that number is past");
    }

    #[test]
    fn an_id_belongs_to_one_key() {
        let now = Instant::now();
        let mut all = Neighbours::new(0);
        let keyed = |seq, key| News {
            key: Some(key),
            ..news(8, seq, 1)
        };
        let (one, other) = (Keys::generate().public(), Keys::generate().public());
        assert!(!all.knows(8));
        let reach = all.heard(keyed(1, one), now);
        let at = Place {
            address: "tcp://h:8".to_owned(),
            key: Some(one),
        };
        assert_eq!(reach, Some(Change::Reach(Neighbour(0), at)));
        assert!(all.knows(8) && all.knows(0), "it, and ourselves");
        all.up(Neighbour(0));
        assert_eq!(told(all.heard(keyed(2, other), now)), "");
        assert_eq!(told(all.heard(news(8, 2, 1), now)), "");
        assert_eq!(told(all.heard(keyed(2, one), now)), "0 has Some(1)");
        assert_eq!(all.report()[0].key, Some(one));
    }

    #[test]
    fn there_is_a_limit() {
        let now = Instant::now();
        let mut all = Neighbours::new(0);
        for id in 1..=MAX_NEIGHBOURS as u64 {
            assert!(all.heard(news(id, 1, 1), now).is_some());
        }
        assert_eq!(told(all.heard(news(9_999, 1, 1), now)), "");
        assert_eq!(all.report().len(), MAX_NEIGHBOURS);
    }
}
