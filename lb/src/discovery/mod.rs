//! The world → [`Snapshot`]: services followed in a registry, and services listed in the configuration.
//!
//! It knows nothing of routes, pools and pickers. An error never takes an endpoint away: the last good answer stays
//! until a better one comes.

mod consul;
mod freshness;
mod memory;
mod rotation;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::FixedService;
use crate::snapshot::{Endpoint, EndpointId, Service, Snapshot};

pub(crate) use freshness::{Freshness, Source};
pub use rotation::{Rotation, rotation};

/// The service that an answer with these instances gives, in the order in which they stand in the answer: what may be sent
/// to, and what may not.
#[cfg(test)]
pub(crate) fn service_of(
    instances: impl IntoIterator<Item = Result<Endpoint, crate::snapshot::Excluded>>,
) -> Service {
    let seen = instances.into_iter().map(|instance| match instance {
        Ok(endpoint) => memory::Seen::In(endpoint),
        Err(excluded) => memory::Seen::Out {
            excluded,
            unchecked: false,
        },
    });
    let (now, mut memory) = (std::time::Instant::now(), memory::Memory::default());
    memory
        .answer(seen.collect(), 1, now, Duration::ZERO)
        .clone()
}

/// Follows services and publishes what it learns.
#[derive(Debug)]
pub(crate) struct Discovery {
    snapshots: Arc<watch::Sender<Arc<Snapshot>>>,
    freshness: Arc<Freshness>,
    client: ::consul::Client,
    followed: BTreeSet<String>,
}

impl Discovery {
    /// Nothing is followed yet but `fixed`.
    pub(crate) fn new(client: ::consul::Client, fixed: &[FixedService]) -> Self {
        let services = fixed
            .iter()
            .map(|listed| (listed.service.as_str().into(), fixed_service(listed)));
        let snapshot = Snapshot {
            services: services.collect(),
        };
        Self {
            snapshots: Arc::new(watch::Sender::new(Arc::new(snapshot))),
            freshness: Arc::default(),
            client,
            followed: BTreeSet::new(),
        }
    }

    /// Starts to follow each of `services` that is not followed yet, until `shutdown`.
    pub(crate) fn follow(&mut self, services: &[&str], shutdown: &CancellationToken) {
        for name in services {
            if !self.followed.insert((*name).to_owned()) {
                continue;
            }
            let follower = consul::Follower::new(
                self.client.clone(),
                Arc::from(*name),
                Arc::clone(&self.snapshots),
                Arc::clone(&self.freshness),
            );
            let shutdown = shutdown.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = follower.run() => {}
                    () = shutdown.cancelled() => {}
                }
            });
        }
    }

    /// Waits until each of `services` has been answered for once.
    pub(crate) async fn first_snapshot(&self, services: &[&str]) {
        let mut snapshots = self.snapshots.subscribe();
        let complete = |snapshot: &Arc<Snapshot>| {
            services
                .iter()
                .all(|name| snapshot.services.contains_key(*name))
        };
        // The sender is ours, so the wait cannot fail.
        let _ = snapshots.wait_for(complete).await;
    }

    pub(crate) fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.subscribe()
    }

    pub(crate) fn freshness(&self) -> Arc<Freshness> {
        Arc::clone(&self.freshness)
    }
}

/// How long an instance that a restarted registry has forgotten is kept: time for its registrar to register it again and
/// for its check to run, at the intervals people use.
pub(crate) const SETTLE: Duration = Duration::from_secs(30);

fn fixed_service(listed: &FixedService) -> Service {
    let endpoint = |address: &std::net::SocketAddr| Endpoint {
        id: EndpointId {
            node: "".into(),
            instance: address.to_string().into(),
        },
        address: *address,
        weight: 1,
    };
    let mut endpoints: Vec<_> = listed.endpoints.iter().map(endpoint).collect();
    endpoints.sort_by(|a, b| a.id.cmp(&b.id));
    endpoints.dedup_by(|a, b| a.id == b.id);
    Service {
        endpoints,
        excluded: Vec::new(),
    }
}
