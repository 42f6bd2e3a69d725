//! The services that somebody asks for or serves, each with its queue.
//!
//! A queue is first in, first out, but what comes back from a lost worker goes to the front, and any place can be vacated.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{super::request::RequestNumber, LaneId, NumberMap, Selector, looks::Looks};

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(in crate::core) struct ServiceId(u64);

#[derive(Debug)]
pub(in crate::core) struct Service {
    pub(in crate::core) name: Arc<str>,
    /// The lanes by which it is served.
    pub(in crate::core) lanes: Vec<LaneId>,
    pub(in crate::core) queue: BTreeMap<i64, RequestNumber>,
    /// Bytes of the requests in the queue.
    pub(in crate::core) bytes: usize,
    /// Requests in the queue or with a worker.
    pub(super) held: usize,
    /// When it was last served, in the board's own count.
    pub(super) stamp: u64,
    front: i64,
    back: i64,
}

impl Service {
    /// Requests in the queue or with a worker.
    pub(in crate::core) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn push(&mut self, request: RequestNumber, size: usize, front: bool) -> i64 {
        let place = if front {
            self.front -= 1;
            self.front
        } else {
            self.back += 1;
            self.back - 1
        };
        self.bytes += size;
        self.queue.insert(place, request);
        place
    }

    pub(super) fn take(&mut self, place: i64, size: usize) {
        if self.queue.remove(&place).is_some() {
            self.bytes -= size;
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Services {
    by_id: NumberMap<ServiceId, Service>,
    by_name: HashMap<Arc<str>, ServiceId>,
    next: u64,
    pub(super) looks: Looks,
}

impl Services {
    pub(super) fn find(&self, name: &str) -> Option<ServiceId> {
        self.by_name.get(name).copied()
    }

    pub(super) fn get(&self, id: ServiceId) -> &Service {
        self.looks.note();
        self.by_id
            .get(&id)
            .expect("a service lives as long as requests of it are held")
    }

    pub(super) fn get_mut(&mut self, id: ServiceId) -> &mut Service {
        self.looks.note();
        self.by_id
            .get_mut(&id)
            .expect("a service lives as long as requests of it are held")
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ServiceId, &Service)> {
        let noted = self.by_id.iter().inspect(|_| self.looks.note());
        noted.map(|(&id, service)| (id, service))
    }

    pub(super) fn add(&mut self, name: &str, lanes: Vec<LaneId>, stamp: u64) -> ServiceId {
        let id = ServiceId(self.next);
        self.next += 1;
        let name: Arc<str> = name.into();
        self.by_name.insert(name.clone(), id);
        let service = Service {
            name,
            lanes,
            queue: BTreeMap::new(),
            bytes: 0,
            held: 0,
            stamp,
            front: 0,
            back: 0,
        };
        self.by_id.insert(id, service);
        id
    }

    pub(super) fn remove(&mut self, id: ServiceId) {
        if let Some(service) = self.by_id.remove(&id) {
            self.by_name.remove(&service.name);
        }
    }

    /// The services that a selector serves. For a prefix all are looked at: workers with new prefixes are rare.
    pub(super) fn matching(&self, selector: &Selector) -> Vec<ServiceId> {
        match selector {
            Selector::Exact(name) => self.find(name).into_iter().collect(),
            Selector::Prefix(_) => {
                let all = self.by_name.iter().inspect(|_| self.looks.note());
                let serves = |(name, _): &(&Arc<str>, &ServiceId)| selector.serves(name);
                all.filter(serves).map(|(_, &id)| id).collect()
            }
        }
    }
}
