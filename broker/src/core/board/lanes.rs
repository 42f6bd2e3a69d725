//! The lanes: for each name or prefix that workers have offered, who is free in it and which services wait.
//!
//! It counts the workers of a lane and finds the lanes of a service; who stands in them is the board's business.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{super::message::Peer, NumberMap, Selector, ServiceId, looks::Looks};

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(in crate::core) struct LaneId(u64);

/// Who comes first: those here before those elsewhere, then the one used longest ago.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Rank {
    pub(super) far: bool,
    pub(super) stamp: u64,
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) selector: Selector,
    pub(super) workers: usize,
    /// How many of them are far.
    pub(super) far: usize,
    /// Workers with room, by rank.
    pub(super) free: BTreeSet<(Rank, Peer)>,
    /// Services with requests in their queues, the one served longest ago first.
    pub(super) waiting: BTreeSet<(u64, ServiceId)>,
}

#[derive(Debug, Default)]
pub(super) struct Lanes {
    by_id: NumberMap<LaneId, Lane>,
    exact: HashMap<Arc<str>, LaneId>,
    prefix: HashMap<Arc<str>, LaneId>,
    /// Lengths of the prefixes, with how many there are of each: where to cut a name when its lanes are looked for.
    lengths: BTreeMap<usize, usize>,
    next: u64,
    pub(super) looks: Looks,
}

impl Lanes {
    pub(super) fn get(&self, id: LaneId) -> &Lane {
        self.looks.note();
        self.by_id
            .get(&id)
            .expect("a lane lives as long as anything names it")
    }

    pub(super) fn get_mut(&mut self, id: LaneId) -> &mut Lane {
        self.looks.note();
        self.by_id
            .get_mut(&id)
            .expect("a lane lives as long as anything names it")
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (LaneId, &Lane)> {
        let noted = self.by_id.iter().inspect(|_| self.looks.note());
        noted.map(|(&id, lane)| (id, lane))
    }

    pub(super) fn has_exact(&self, name: &str) -> bool {
        self.exact.contains_key(name)
    }

    fn id_of(&self, selector: &Selector) -> Option<LaneId> {
        match selector {
            Selector::Exact(name) => self.exact.get(name).copied(),
            Selector::Prefix(prefix) => self.prefix.get(prefix).copied(),
        }
    }

    /// The lanes that serve this service.
    pub(super) fn serving(&self, name: &str) -> Vec<LaneId> {
        let exact = self.exact.get(name).copied();
        exact.into_iter().chain(self.prefixes_of(name)).collect()
    }

    pub(super) fn is_served(&self, name: &str) -> bool {
        self.has_exact(name) || self.prefixes_of(name).next().is_some()
    }

    fn prefixes_of(&self, name: &str) -> impl Iterator<Item = LaneId> {
        let lengths = self.lengths.keys().inspect(|_| self.looks.note());
        lengths.filter_map(|&length| self.prefix.get(name.get(..length)?).copied())
    }

    pub(super) fn count_with(&self, selectors: &[Selector]) -> (usize, usize) {
        let new = selectors.iter().filter(|it| self.id_of(it).is_none());
        let (mut all, mut prefixes) = (self.by_id.len(), self.prefix.len());
        for selector in new {
            all += 1;
            prefixes += usize::from(matches!(selector, Selector::Prefix(_)));
        }
        (all, prefixes)
    }

    /// One more worker offers this. Returns its lane, and whether that is new.
    pub(super) fn join(&mut self, selector: &Selector) -> (LaneId, bool) {
        if let Some(id) = self.id_of(selector) {
            self.get_mut(id).workers += 1;
            return (id, false);
        }
        let id = LaneId(self.next);
        self.next += 1;
        match selector {
            Selector::Exact(name) => self.exact.insert(name.clone(), id),
            Selector::Prefix(prefix) => {
                *self.lengths.entry(prefix.len()).or_default() += 1;
                self.prefix.insert(prefix.clone(), id)
            }
        };
        let lane = Lane {
            selector: selector.clone(),
            workers: 1,
            far: 0,
            free: BTreeSet::new(),
            waiting: BTreeSet::new(),
        };
        self.by_id.insert(id, lane);
        (id, true)
    }

    /// One worker less offers this. With the last one the lane goes, and its selector is returned.
    pub(super) fn leave(&mut self, id: LaneId) -> Option<Selector> {
        let lane = self.get_mut(id);
        lane.workers -= 1;
        if lane.workers > 0 {
            return None;
        }
        let selector = self.by_id.remove(&id)?.selector;
        match &selector {
            Selector::Exact(name) => {
                self.exact.remove(name);
            }
            Selector::Prefix(prefix) => {
                self.prefix.remove(prefix);
                if let Some(count) = self.lengths.get_mut(&prefix.len()) {
                    *count -= 1;
                    if *count == 0 {
                        self.lengths.remove(&prefix.len());
                    }
                }
            }
        }
        Some(selector)
    }
}
