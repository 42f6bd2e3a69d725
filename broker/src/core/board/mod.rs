//! Who waits and who is free: services with their queues on one side, workers with room on the other, and between them the
//! **lanes**, one for each name or prefix that workers have offered.
//!
//! A lane with somebody on both sides is active, and work is conserved when none is. Both sides stand in order of when they
//! were last used, so that no service and no worker is passed over. Nothing here knows requests by more than a number.

mod lanes;
mod looks;
mod selector;
mod services;

use std::{
    collections::{BTreeSet, HashMap},
    hash::BuildHasherDefault,
};

use rustc_hash::FxHasher;

pub(super) use self::{
    lanes::LaneId,
    selector::{Selector, service_name},
    services::{Service, ServiceId},
};
use self::{
    lanes::{Lanes, Rank},
    services::Services,
};
use super::{message::Peer, request::RequestNumber};

/// A map whose keys we number ourselves, so that nobody can choose them to collide.
pub(super) type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<FxHasher>>;

/// A worker's side of the board.
#[derive(Debug)]
struct Offer {
    lanes: Vec<LaneId>,
    /// Its place among others, by when it was last used in the board's own count.
    rank: Rank,
    /// Whether it stands in its lanes, with room for a request.
    free: bool,
}

#[derive(Debug, Default)]
pub(super) struct Board {
    lanes: Lanes,
    services: Services,
    offers: NumberMap<Peer, Offer>,
    /// Lanes with somebody on both sides.
    active: BTreeSet<LaneId>,
    clock: u64,
}

impl Board {
    /// The entry of a service; made if there is none.
    pub(super) fn service(&mut self, name: &str) -> ServiceId {
        if let Some(id) = self.services.find(name) {
            return id;
        }
        let lanes = self.lanes.serving(name);
        self.clock += 1;
        self.services.add(name, lanes, self.clock)
    }

    pub(super) fn get(&self, id: ServiceId) -> &Service {
        self.services.get(id)
    }

    pub(super) fn find(&self, name: &str) -> Option<&Service> {
        Some(self.services.get(self.services.find(name)?))
    }

    /// Whether some worker serves it, free or not.
    pub(super) fn is_served(&self, name: &str) -> bool {
        match self.find(name) {
            Some(service) => !service.lanes.is_empty(),
            None => self.lanes.is_served(name),
        }
    }

    /// One more request of this service is held, in its queue or with a worker.
    pub(super) fn hold(&mut self, id: ServiceId) {
        self.services.get_mut(id).held += 1;
    }

    /// One less. A service that nobody asks for is forgotten.
    pub(super) fn release(&mut self, id: ServiceId) {
        let service = self.services.get_mut(id);
        service.held -= 1;
        if service.held == 0 {
            self.forget_if_unused(id);
        }
    }

    /// Lets go of an entry that was only looked at.
    pub(super) fn forget_if_unused(&mut self, id: ServiceId) {
        let service = self.services.get(id);
        if service.held == 0 && !self.lanes.has_exact(&service.name) {
            self.services.remove(id);
        }
    }

    /// Puts a request at the back of its queue, or at the front. Returns its place.
    pub(super) fn enqueue(
        &mut self,
        id: ServiceId,
        request: RequestNumber,
        size: usize,
        front: bool,
    ) -> i64 {
        let service = self.services.get_mut(id);
        let was_empty = service.queue.is_empty();
        let place = service.push(request, size, front);
        if was_empty {
            for &lane in &service.lanes {
                self.lanes.get_mut(lane).waiting.insert((service.stamp, id));
                mark(&mut self.active, &self.lanes, lane);
            }
        }
        place
    }

    /// Takes a request out of its queue, wherever it stands.
    pub(super) fn dequeue(&mut self, id: ServiceId, place: i64, size: usize) {
        let service = self.services.get_mut(id);
        service.take(place, size);
        if service.queue.is_empty() {
            for &lane in &service.lanes {
                self.lanes
                    .get_mut(lane)
                    .waiting
                    .remove(&(service.stamp, id));
                mark(&mut self.active, &self.lanes, lane);
            }
        }
    }

    /// Notes that a service has just been served: others come first.
    pub(super) fn served(&mut self, id: ServiceId) {
        self.clock += 1;
        let service = self.services.get_mut(id);
        let old = std::mem::replace(&mut service.stamp, self.clock);
        if service.queue.is_empty() {
            return;
        }
        for &lane in &service.lanes {
            let waiting = &mut self.lanes.get_mut(lane).waiting;
            waiting.remove(&(old, id));
            waiting.insert((service.stamp, id));
        }
    }

    /// How many lanes, and how many of them prefixes, there would be with these besides.
    pub(super) fn lanes_with(&self, selectors: &[Selector]) -> (usize, usize) {
        self.lanes.count_with(selectors)
    }

    /// A worker offers to serve these; one that is `far` comes after all others. It has no room until [`free`](Self::free)
    /// says so.
    pub(super) fn join(&mut self, worker: Peer, selectors: &[Selector], far: bool) {
        let mut lanes = Vec::with_capacity(selectors.len());
        for selector in selectors {
            let (lane, is_new) = self.lanes.join(selector);
            if is_new {
                self.attach(lane, selector);
            }
            self.lanes.get_mut(lane).far += usize::from(far);
            lanes.push(lane);
        }
        self.clock += 1;
        let stamp = self.clock;
        let offer = Offer {
            lanes,
            rank: Rank { far, stamp },
            free: false,
        };
        self.offers.insert(worker, offer);
    }

    /// Connects a new lane with the services it serves.
    fn attach(&mut self, lane: LaneId, selector: &Selector) {
        if let Selector::Exact(name) = selector
            && self.services.find(name).is_none()
        {
            self.service(name);
            return;
        }
        for id in self.services.matching(selector) {
            let service = self.services.get_mut(id);
            service.lanes.push(lane);
            if !service.queue.is_empty() {
                self.lanes.get_mut(lane).waiting.insert((service.stamp, id));
            }
        }
        mark(&mut self.active, &self.lanes, lane);
    }

    /// A worker leaves.
    pub(super) fn leave(&mut self, worker: Peer) {
        self.busy(worker);
        let Some(offer) = self.offers.remove(&worker) else {
            return;
        };
        for lane in offer.lanes {
            self.lanes.get_mut(lane).far -= usize::from(offer.rank.far);
            let Some(selector) = self.lanes.leave(lane) else {
                continue;
            };
            self.active.remove(&lane);
            for id in self.services.matching(&selector) {
                let service = self.services.get_mut(id);
                service.lanes.retain(|&other| other != lane);
                self.forget_if_unused(id);
            }
        }
    }

    /// A worker has room for a request; it goes behind the others.
    pub(super) fn free(&mut self, worker: Peer) {
        self.busy(worker);
        self.clock += 1;
        let Some(offer) = self.offers.get_mut(&worker) else {
            return;
        };
        offer.rank.stamp = self.clock;
        offer.free = true;
        for &lane in &offer.lanes {
            self.lanes.get_mut(lane).free.insert((offer.rank, worker));
            mark(&mut self.active, &self.lanes, lane);
        }
    }

    /// A worker has no room.
    pub(super) fn busy(&mut self, worker: Peer) {
        let Some(offer) = self.offers.get_mut(&worker) else {
            return;
        };
        if !std::mem::replace(&mut offer.free, false) {
            return;
        }
        for &lane in &offer.lanes {
            self.lanes.get_mut(lane).free.remove(&(offer.rank, worker));
            mark(&mut self.active, &self.lanes, lane);
        }
    }

    /// A service with a request waiting and a worker free for it: of those the worker serves, the one that was served
    /// longest ago. `None` means that work is conserved.
    pub(super) fn next(&self) -> Option<ServiceId> {
        let lane = self.lanes.get(*self.active.first()?);
        let (_, worker) = lane.free.first()?;
        let lanes = &self.offers.get(worker)?.lanes;
        let waiting = |&lane: &LaneId| self.lanes.get(lane).waiting.first().copied();
        lanes.iter().filter_map(waiting).min().map(|(_, id)| id)
    }

    /// The worker for a service: the one used longest ago that is not among those `tried`, else the one used longest ago.
    pub(super) fn worker_for(&self, id: ServiceId, tried: &[Peer]) -> Option<Peer> {
        let lanes = &self.services.get(id).lanes;
        let first = |fresh: bool| {
            let of_lane = |&lane: &LaneId| {
                let free = self.lanes.get(lane).free.iter();
                let mut free = free.inspect(|_| self.lanes.looks.note());
                free.find(|(_, worker)| !fresh || !tried.contains(worker))
            };
            lanes
                .iter()
                .filter_map(of_lane)
                .min()
                .map(|&(_, worker)| worker)
        };
        first(true).or_else(|| first(false))
    }

    /// Whether a worker here, not elsewhere, has room for this service.
    pub(super) fn has_near(&self, id: ServiceId) -> bool {
        let mut lanes = self.services.get(id).lanes.iter();
        lanes.any(|&lane| {
            let first = self.lanes.get(lane).free.first();
            first.is_some_and(|(rank, _)| !rank.far)
        })
    }

    /// All services, each with the workers here, those of them with room, and other brokers with room.
    pub(super) fn services(&self) -> impl Iterator<Item = (&Service, usize, usize, usize)> {
        self.services.iter().map(|(_, service)| {
            let lanes = service.lanes.iter().map(|&lane| self.lanes.get(lane));
            let (workers, free, far) = lanes.fold((0, 0, 0), |(workers, free, far), lane| {
                let near = lane.free.iter().take_while(|(rank, _)| !rank.far).count();
                (
                    workers + lane.workers - lane.far,
                    free + near,
                    far + lane.free.len() - near,
                )
            });
            (service, workers, free, far)
        })
    }

    /// The lanes with workers here, each with what it stands for.
    pub(super) fn near(&self) -> impl Iterator<Item = (LaneId, &Selector)> {
        let lanes = self.lanes.iter().filter(|(_, it)| it.workers > it.far);
        lanes.map(|(id, lane)| (id, &lane.selector))
    }

    /// The lanes a worker stands in.
    pub(super) fn lanes_of(&self, worker: Peer) -> &[LaneId] {
        self.offers.get(&worker).map_or(&[], |offer| &offer.lanes)
    }

    /// Services known, and lanes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.services.len(), self.lanes.len())
    }

    /// How often it has looked at a service, a lane, or a worker in one, for its work.
    #[cfg(test)]
    pub(super) fn looks(&self) -> (u64, u64) {
        (self.lanes.looks.count(), self.services.looks.count())
    }

    /// Makes them what they were: a check is not its work.
    #[cfg(test)]
    pub(super) fn forget_looks_since(&self, (lanes, services): (u64, u64)) {
        self.lanes.looks.set(lanes);
        self.services.looks.set(services);
    }

    /// What must hold of the board after every event.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) {
        for (id, lane) in self.lanes.iter() {
            let both = !lane.free.is_empty() && !lane.waiting.is_empty();
            assert!(!both, "lane {id:?} has free workers and waiting services");
            assert!(!self.active.contains(&id), "lane {id:?} is marked active");
            assert!(lane.workers >= lane.free.len());
        }
        for (id, service) in self.services.iter() {
            assert!(service.held >= service.queue.len());
            for &lane in &service.lanes {
                let waits = self.lanes.get(lane).waiting.contains(&(service.stamp, id));
                assert_eq!(
                    waits,
                    !service.queue.is_empty(),
                    "service {:?}",
                    service.name
                );
            }
        }
        for (worker, offer) in &self.offers {
            for &lane in &offer.lanes {
                let stands = self.lanes.get(lane).free.contains(&(offer.rank, *worker));
                assert_eq!(stands, offer.free, "worker {worker:?}");
            }
        }
    }

    /// Requests in all queues.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn queued(&self) -> usize {
        self.services.iter().map(|(_, it)| it.queue.len()).sum()
    }

    /// Whether a worker stands in its lanes.
    pub(super) fn is_free(&self, worker: Peer) -> bool {
        self.offers.get(&worker).is_some_and(|offer| offer.free)
    }
}

/// Notes whether a lane has somebody on both sides.
fn mark(active: &mut BTreeSet<LaneId>, lanes: &Lanes, id: LaneId) {
    let lane = lanes.get(id);
    if lane.free.is_empty() || lane.waiting.is_empty() {
        active.remove(&id);
    } else {
        active.insert(id);
    }
}
