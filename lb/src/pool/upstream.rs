//! An endpoint with its live state: what survives every update of what discovery knows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::observe::InstanceMetrics;
use crate::snapshot::EndpointId;

/// One endpoint and what we know of it from sending to it. Shared by all workers.
///
/// Aligned to a cache line pair of its own: workers count in it at every request.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Upstream {
    in_flight: AtomicUsize,
    failing: AtomicBool,
    key: u64,
    address: SocketAddr,
    id: EndpointId,
    metrics: Arc<InstanceMetrics>,
}

impl Upstream {
    /// An upstream without history.
    pub(crate) fn new(id: EndpointId, address: SocketAddr, metrics: Arc<InstanceMetrics>) -> Self {
        static NEXT_KEY: AtomicU64 = AtomicU64::new(1);
        Self {
            in_flight: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            key: NEXT_KEY.fetch_add(1, Ordering::Relaxed),
            address,
            id,
            metrics,
        }
    }

    /// A number no other upstream of this process ever has.
    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    pub(crate) fn id(&self) -> &EndpointId {
        &self.id
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn metrics(&self) -> &Arc<InstanceMetrics> {
        &self.metrics
    }

    /// Requests in flight now.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Forgets a reported failure, so that the next one is reported again.
    pub(crate) fn give_another_chance(&self) {
        self.failing.store(false, Ordering::Relaxed);
    }
}

/// Failures waiting to be looked at. One entry for each upstream at most, so this is room enough for the largest pools;
/// a report that finds it full is made again by the next failure.
const MAX_REPORTS: usize = 4_096;

/// Where workers say that an upstream cannot be reached.
#[derive(Clone, Debug)]
pub(crate) struct Reports(mpsc::Sender<Arc<Upstream>>);

impl Reports {
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Arc<Upstream>>) {
        let (sender, receiver) = mpsc::channel(MAX_REPORTS);
        (Self(sender), receiver)
    }

    /// A connection to `upstream` could not be made. Told once until the upstream gets another chance.
    pub(crate) fn unreachable(&self, upstream: &Arc<Upstream>) {
        upstream.metrics.connect_failures.inc();
        if !upstream.failing.swap(true, Ordering::Relaxed)
            && self.0.try_send(Arc::clone(upstream)).is_err()
        {
            upstream.give_another_chance();
        }
    }
}
