//! The upstreams of one service, and how to pick among them.
//!
//! A pool is built when something changes and never altered; what lives on from one to the next is in [`Upstream`] and
//! in the rotation's turn. It knows no route, no HTTP and no registry.

mod ejection;
mod lease;
mod upstream;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::balancer::{self, Load, Picker};
use crate::config::Policy;
use crate::observe::ServiceMetrics;

pub(crate) use ejection::Ejection;
pub(crate) use lease::Lease;
pub(crate) use upstream::{Reports, Upstream};

/// The most upstreams one request can be tried on; [`crate::config::Limits::tries`] is at most this.
pub(crate) const MAX_TRIES: usize = 16;

/// The upstreams of one service that may be picked now.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) service: Arc<str>,
    pub(crate) policy: Policy,
    pub(crate) metrics: Arc<ServiceMetrics>,
    upstreams: Box<[Arc<Upstream>]>,
    weights: Box<[u32]>,
    /// `None` if there is nothing to pick from.
    picker: Option<Box<dyn Picker>>,
}

impl Pool {
    /// A pool of `members` (upstream and weight). `turn` is where the rotation stands.
    pub(crate) fn new(
        service: Arc<str>,
        policy: Policy,
        metrics: Arc<ServiceMetrics>,
        members: Vec<(Arc<Upstream>, u32)>,
        turn: Arc<AtomicUsize>,
    ) -> Self {
        let (upstreams, weights): (Vec<_>, Vec<_>) = members.into_iter().unzip();
        let picker = (!upstreams.is_empty()).then(|| balancer::build(policy, &weights, turn));
        Self {
            service,
            policy,
            metrics,
            upstreams: upstreams.into(),
            weights: weights.into(),
            picker,
        }
    }

    /// Takes hold of an upstream that is not in `tried`, or tells that there is none.
    pub(crate) fn pick(&self, tried: &Tried) -> Option<Lease> {
        let picked = &self.upstreams[self.picker.as_ref()?.pick(self)];
        if !tried.contains(picked) {
            return Some(Lease::take(picked));
        }
        // A second try: whoever of the others is least busy. The policy has had its say.
        let others = self
            .upstreams
            .iter()
            .filter(|upstream| !tried.contains(upstream));
        others
            .min_by_key(|upstream| upstream.in_flight())
            .map(Lease::take)
    }

    /// The upstreams with their weights.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&Arc<Upstream>, u32)> {
        self.upstreams.iter().zip(self.weights.iter().copied())
    }
}

impl Load for Pool {
    fn in_flight(&self, index: usize) -> usize {
        self.upstreams[index].in_flight()
    }
}

/// The upstreams that one request was tried on.
#[derive(Debug, Default)]
pub(crate) struct Tried {
    keys: [u64; MAX_TRIES],
    len: usize,
}

impl Tried {
    /// Notes one more. Past [`MAX_TRIES`] nothing is noted: nobody tries that often.
    pub(crate) fn add(&mut self, upstream: &Upstream) {
        if let Some(place) = self.keys.get_mut(self.len) {
            *place = upstream.key();
            self.len += 1;
        }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn contains(&self, upstream: &Upstream) -> bool {
        self.keys[..self.len].contains(&upstream.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Metrics;
    use crate::snapshot::EndpointId;

    fn pool(policy: Policy, n: u16) -> Pool {
        let metrics = Metrics::new();
        let members = (0..n).map(|i| {
            let id = EndpointId {
                node: "n".into(),
                instance: format!("i{i}").into(),
            };
            let instance = metrics.instance("web", &id);
            (
                Arc::new(Upstream::new(id, ([127, 0, 0, 1], i + 1).into(), instance)),
                1,
            )
        });
        Pool::new(
            "web".into(),
            policy,
            metrics.service("web"),
            members.collect(),
            Arc::default(),
        )
    }

    #[test]
    fn an_empty_pool_has_nothing_to_pick() {
        assert!(pool(Policy::Random, 0).pick(&Tried::default()).is_none());
    }

    #[test]
    fn what_was_tried_is_not_picked_again_whatever_the_policy() {
        for policy in Policy::ALL {
            let pool = pool(policy, 3);
            let mut tried = Tried::default();
            for _ in 0..3 {
                let lease = pool.pick(&tried).expect("one is left");
                assert!(!tried.contains(lease.upstream()));
                tried.add(lease.upstream());
            }
            assert!(pool.pick(&tried).is_none(), "{policy}");
        }
    }

    #[test]
    fn a_lease_counts_while_it_lives() {
        let pool = pool(Policy::LeastConnections, 2);
        let first = pool.pick(&Tried::default()).expect("two are there");
        let second = pool.pick(&Tried::default()).expect("two are there");
        assert_ne!(first.upstream().key(), second.upstream().key());
        let busy = first.upstream().key();
        drop(second);
        for _ in 0..4 {
            let lease = pool.pick(&Tried::default()).expect("one is idle");
            assert_ne!(lease.upstream().key(), busy);
        }
    }
}
