//! Follows one service in a registry that speaks Consul's API, with a blocking query.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use consul::types::ServiceEntry;
use consul::watch::{Event, Watch};
use consul::{Client, Query};
use tokio::sync::watch;

use super::memory::{Memory, Seen};
use super::{Freshness, Rotation, SETTLE, rotation};
use crate::snapshot::{Endpoint, EndpointId, Excluded, Service, Snapshot};
use crate::until::until;

/// How long one query may wait for a change. It is also how old an answer gets while nothing happens.
const WAIT: Duration = Duration::from_secs(30);

/// How long the address of an instance registered by name may take to look up.
const LOOKUP_LIMIT: Duration = Duration::from_secs(2);

/// The task that follows one service.
#[derive(Debug)]
pub(super) struct Follower {
    client: Client,
    name: Arc<str>,
    watch: Watch<Vec<ServiceEntry>>,
    memory: Memory,
    /// An empty answer that nobody has confirmed: it is asked about again with the next answer.
    unconfirmed: bool,
    snapshots: Arc<watch::Sender<Arc<Snapshot>>>,
    freshness: Arc<Freshness>,
}

impl Follower {
    /// Nothing is asked before [`Follower::run`].
    pub(super) fn new(
        client: Client,
        name: Arc<str>,
        snapshots: Arc<watch::Sender<Arc<Snapshot>>>,
        freshness: Arc<Freshness>,
    ) -> Self {
        let query = Query {
            wait: Some(WAIT),
            ..Query::default()
        };
        let watch = Watch::health_service(client.clone(), &*name, query);
        Self {
            client,
            name,
            watch,
            memory: Memory::default(),
            unconfirmed: false,
            snapshots,
            freshness,
        }
    }

    /// Follows for ever.
    pub(super) async fn run(mut self) {
        loop {
            let expiry = self.memory.next_expiry();
            tokio::select! {
                event = self.watch.next() => self.take(event).await,
                () = until(expiry) => {
                    if let Some(service) = self.memory.expire(Instant::now()) {
                        let service = service.clone();
                        tracing::info!(service = &*self.name, "no longer kept: what a restarted registry has not listed again");
                        self.publish(service);
                    }
                }
            }
        }
    }

    async fn take(&mut self, event: Event<Vec<ServiceEntry>>) {
        match event {
            Event::Changed { value, index } => self.changed(value, index).await,
            Event::Unchanged { index } if self.unconfirmed => self.changed(Vec::new(), index).await,
            Event::Unchanged { index } => {
                self.memory.unchanged(index);
                self.freshness
                    .answered(&self.name, index, self.memory.held(), Instant::now());
            }
            Event::Failed { error, .. } => self.failed(&error.to_string()),
        }
    }

    async fn changed(&mut self, mut entries: Vec<ServiceEntry>, mut index: u64) {
        if entries.is_empty() && !self.memory.service().endpoints.is_empty() {
            // A follower cut off from its leader can say 200 and nothing. The leader knows.
            let query = Query {
                consistent: true,
                ..Query::default()
            };
            match self.client.health_service(&self.name, &query).await {
                Ok(answer) => (entries, index) = (answer.value, answer.index),
                Err(error) => {
                    self.unconfirmed = true;
                    return self.failed(&format!("an empty list could not be confirmed: {error}"));
                }
            }
        }
        self.unconfirmed = false;
        let mut seen = Vec::with_capacity(entries.len());
        for entry in &entries {
            seen.push(read(entry, self.memory.service()).await);
        }
        let held_before = self.memory.held();
        let service = self
            .memory
            .answer(seen, index, Instant::now(), SETTLE)
            .clone();
        let held = self.memory.held();
        if held > held_before {
            tracing::warn!(
                service = &*self.name,
                "the registry has forgotten instances that it knew: {held} kept for up to {}s",
                SETTLE.as_secs()
            );
        }
        self.freshness
            .answered(&self.name, index, held, Instant::now());
        self.publish(service);
    }

    fn failed(&mut self, error: &str) {
        self.memory.failed();
        self.freshness
            .failed(&self.name, error, self.memory.service().endpoints.len());
    }

    fn publish(&self, service: Service) {
        self.snapshots.send_if_modified(|snapshot| {
            if snapshot.services.get(&self.name) == Some(&service) {
                return false;
            }
            Arc::make_mut(snapshot)
                .services
                .insert(Arc::clone(&self.name), service);
            true
        });
    }
}

/// What an entry means. `known` is what the service was before.
async fn read(entry: &ServiceEntry, known: &Service) -> Seen {
    let id = EndpointId {
        node: entry.node.node.as_str().into(),
        instance: entry.service.id.as_str().into(),
    };
    let out = |id, reason, unchecked| Seen::Out {
        excluded: Excluded { id, reason },
        unchecked,
    };
    let weight = match rotation(entry) {
        Rotation::In { weight } => weight,
        Rotation::Out { reason, unchecked } => return out(id, reason, unchecked),
    };
    let Some(port) = entry.port().filter(|port| *port != 0) else {
        return out(
            id,
            format!("port {} is not 1 to 65535", entry.service.port),
            false,
        );
    };
    match address(entry.address(), port).await {
        Ok(address) => Seen::In(Endpoint {
            id,
            address,
            weight,
        }),
        Err(reason) => match known
            .endpoints
            .iter()
            .find(|e| e.id == id && e.address.port() == port)
        {
            // A name that cannot be looked up now keeps the address it had.
            Some(before) => Seen::In(Endpoint {
                id,
                address: before.address,
                weight,
            }),
            None => out(id, reason, false),
        },
    }
}

/// The address to connect to; a name is looked up.
async fn address(host: &str, port: u16) -> Result<SocketAddr, String> {
    if host.is_empty() {
        return Err("it has no address, and neither has its node".to_owned());
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    let looked_up = tokio::time::timeout(LOOKUP_LIMIT, tokio::net::lookup_host((host, port))).await;
    let error = match looked_up {
        Ok(Ok(mut addresses)) => match addresses.next() {
            Some(address) => return Ok(address),
            None => "no address".to_owned(),
        },
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {}s", LOOKUP_LIMIT.as_secs()),
    };
    Err(format!("cannot look up {host}: {error}"))
}
