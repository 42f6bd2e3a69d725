//! Snapshot + configuration → route table. This is the table's only writer.
//!
//! It sees values only: no socket, no HTTP, no registry. Live state is carried over by identity: an upstream is the same
//! one as long as service, instance and address are, and a rotation goes on where it stood.

mod change;
mod task;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use crate::config::{Policy, RouteConfig};
use crate::observe::{Metrics, ServiceMetrics};
use crate::pool::{Ejection, Pool, Upstream};
use crate::routing::{Route, RouteTable};
use crate::snapshot::{EndpointId, Service, Snapshot};

pub use change::{Change, ChangeKind};
pub(crate) use task::{Inputs, Outputs, run};

/// What makes an upstream the same one over all updates.
type UpstreamKey = (Arc<str>, EndpointId, SocketAddr);

/// Builds tables, and remembers what must outlive them.
#[derive(Debug)]
pub(crate) struct Control {
    routes: Vec<RouteConfig>,
    metrics: Arc<Metrics>,
    services: HashMap<Arc<str>, Arc<ServiceMetrics>>,
    upstreams: HashMap<UpstreamKey, Arc<Upstream>>,
    turns: HashMap<(Arc<str>, Policy), Arc<AtomicUsize>>,
    ejections: HashMap<UpstreamKey, Ejection>,
}

impl Control {
    pub(crate) fn new(routes: Vec<RouteConfig>, metrics: Arc<Metrics>) -> Self {
        Self {
            routes,
            metrics,
            services: HashMap::new(),
            upstreams: HashMap::new(),
            turns: HashMap::new(),
            ejections: HashMap::new(),
        }
    }

    /// The table for `snapshot` at `now`.
    pub(crate) fn table(&mut self, snapshot: &Snapshot, now: Instant) -> RouteTable {
        self.carry_over(snapshot);
        let mut pools: HashMap<(Arc<str>, Policy), Arc<Pool>> = HashMap::new();
        let mut routes = Vec::with_capacity(self.routes.len());
        for route in &self.routes {
            let (name, service) = match snapshot.services.get_key_value(route.service.as_str()) {
                Some((name, service)) => (Arc::clone(name), Some(service)),
                None => (Arc::from(route.service.as_str()), None),
            };
            let key = (Arc::clone(&name), route.policy);
            let pool = pools.entry(key.clone()).or_insert_with(|| {
                let members = service.map_or_else(Vec::new, |service| {
                    eligible(&name, service, &self.upstreams, &self.ejections, now)
                });
                let metrics = self.services.entry(Arc::clone(&name));
                let metrics = metrics.or_insert_with(|| self.metrics.service(&name));
                let turn = self.turns.entry(key).or_default();
                Arc::new(Pool::new(
                    name,
                    route.policy,
                    Arc::clone(metrics),
                    members,
                    Arc::clone(turn),
                ))
            });
            routes.push(Route {
                host: route.host.as_deref().map(Box::from),
                path: route.path.as_str().into(),
                strip_prefix: route.strip_prefix,
                pool: Arc::clone(pool),
            });
        }
        RouteTable::new(routes)
    }

    /// Takes new routes. State of services that no route names any more goes with the next table.
    pub(crate) fn set_routes(&mut self, routes: Vec<RouteConfig>) {
        self.routes = routes;
        let named = |name: &str| self.routes.iter().any(|route| route.service == name);
        self.turns.retain(|(name, _), _| named(name));
        self.services.retain(|name, _| {
            let keep = named(name);
            if !keep {
                self.metrics.forget_service(name);
            }
            keep
        });
    }

    /// Leaves `upstream` out for a while after a failure at `now`. Returns its service; `None`: no snapshot has it any more.
    pub(crate) fn eject(&mut self, upstream: &Arc<Upstream>, now: Instant) -> Option<Arc<str>> {
        let known = self
            .upstreams
            .iter()
            .find(|(_, known)| known.key() == upstream.key());
        let key = known?.0.clone();
        let record = Ejection::after_failure(self.ejections.get(&key).copied(), now);
        let service = Arc::clone(&key.0);
        self.ejections.insert(key, record);
        Some(service)
    }

    /// When the next upstream that is left out at `now` may come back.
    pub(crate) fn next_return(&self, now: Instant) -> Option<Instant> {
        self.ejections
            .values()
            .filter(|e| e.is_out(now))
            .map(Ejection::until)
            .min()
    }

    /// Makes and drops upstreams so that there is one for each endpoint.
    fn carry_over(&mut self, snapshot: &Snapshot) {
        let mut before = std::mem::take(&mut self.upstreams);
        for (name, service) in &snapshot.services {
            for endpoint in &service.endpoints {
                let key = (Arc::clone(name), endpoint.id.clone(), endpoint.address);
                let upstream = before.remove(&key).unwrap_or_else(|| {
                    let metrics = self.metrics.instance(name, &endpoint.id);
                    Arc::new(Upstream::new(
                        endpoint.id.clone(),
                        endpoint.address,
                        metrics,
                    ))
                });
                self.upstreams.insert(key, upstream);
            }
        }
        self.ejections
            .retain(|key, _| self.upstreams.contains_key(key));
    }
}

/// Who may be picked: those not left out, or everybody where nobody else is left: a doubtful upstream beats none.
fn eligible(
    name: &Arc<str>,
    service: &Service,
    upstreams: &HashMap<UpstreamKey, Arc<Upstream>>,
    ejections: &HashMap<UpstreamKey, Ejection>,
    now: Instant,
) -> Vec<(Arc<Upstream>, u32)> {
    let mut all = Vec::with_capacity(service.endpoints.len());
    let mut out = Vec::new();
    for endpoint in &service.endpoints {
        let key = (Arc::clone(name), endpoint.id.clone(), endpoint.address);
        let member = (Arc::clone(&upstreams[&key]), endpoint.weight);
        if ejections
            .get(&key)
            .is_some_and(|ejection| ejection.is_out(now))
        {
            out.push(member);
        } else {
            // It was out, or never: whichever, its next failure is news.
            if ejections.contains_key(&key) {
                member.0.give_another_chance();
            }
            all.push(member);
        }
    }
    if all.is_empty() {
        for (upstream, _) in &out {
            upstream.give_another_chance();
        }
        return out;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Tried;
    use crate::snapshot::Endpoint;
    use std::time::Duration;

    fn snapshot(endpoints: &[(&str, u16)]) -> Snapshot {
        let endpoints = endpoints.iter().map(|(name, port)| Endpoint {
            id: EndpointId {
                node: "n".into(),
                instance: (*name).into(),
            },
            address: ([127, 0, 0, 1], *port).into(),
            weight: 1,
        });
        let service = Service {
            endpoints: endpoints.collect(),
            excluded: Vec::new(),
        };
        Snapshot {
            services: [("web".into(), service)].into(),
        }
    }

    fn control() -> Control {
        let routes = vec![
            "/=web".parse().expect("a route"),
            "/same=web".parse().expect("a route"),
        ];
        Control::new(routes, Metrics::new())
    }

    fn picks(table: &RouteTable, n: usize) -> Vec<String> {
        let pool = &table.find(b"x", b"/").expect("a route").pool;
        let pick = |_| {
            pool.pick(&Tried::default())
                .expect("an upstream")
                .upstream()
                .id()
                .to_string()
        };
        (0..n).map(pick).collect()
    }

    #[test]
    fn rotation_and_upstreams_survive_an_update() {
        let mut control = control();
        let now = Instant::now();
        let first = control.table(&snapshot(&[("a", 1), ("b", 2)]), now);
        assert_eq!(picks(&first, 3), ["a", "b", "a"]);
        let lease = first
            .find(b"x", b"/")
            .and_then(|r| r.pool.pick(&Tried::default()))
            .expect("b");
        let second = control.table(&snapshot(&[("a", 1), ("b", 2), ("c", 3)]), now);
        let (b, _) = second
            .routes()
            .next()
            .and_then(|r| r.pool.members().nth(1))
            .expect("b");
        assert_eq!((b.key(), b.in_flight()), (lease.upstream().key(), 1));
        assert_eq!(picks(&second, 3), ["b", "c", "a"]);
    }

    #[test]
    fn another_address_is_another_upstream() {
        let mut control = control();
        let key = |table: &RouteTable| {
            table
                .routes()
                .next()
                .and_then(|r| r.pool.members().next())
                .map(|(u, _)| u.key())
        };
        let first = control.table(&snapshot(&[("a", 1)]), Instant::now());
        let second = control.table(&snapshot(&[("a", 2)]), Instant::now());
        assert_ne!(key(&first), key(&second));
    }

    #[test]
    fn who_cannot_be_reached_is_left_out_and_comes_back() {
        let mut control = control();
        let now = Instant::now();
        let snapshot = snapshot(&[("a", 1), ("b", 2)]);
        let table = control.table(&snapshot, now);
        let (a, _) = table
            .routes()
            .next()
            .and_then(|r| r.pool.members().next())
            .expect("a");
        assert_eq!(control.eject(a, now).as_deref(), Some("web"));
        assert_eq!(picks(&control.table(&snapshot, now), 2), ["b", "b"]);
        let back = control.next_return(now).expect("a is out");
        assert_eq!(back, now + Duration::from_secs(1));
        assert_eq!(picks(&control.table(&snapshot, back), 2), ["a", "b"]);
        assert_eq!(control.next_return(back), None);
    }

    #[test]
    fn where_all_are_out_all_are_in() {
        let mut control = control();
        let now = Instant::now();
        let snapshot = snapshot(&[("a", 1), ("b", 2)]);
        let table = control.table(&snapshot, now);
        let all: Vec<_> = table
            .routes()
            .next()
            .map(|r| r.pool.members().map(|(u, _)| Arc::clone(u)).collect())
            .expect("a route");
        for upstream in &all {
            control.eject(upstream, now);
        }
        assert_eq!(picks(&control.table(&snapshot, now), 2), ["a", "b"]);
    }

    #[test]
    fn a_service_nobody_knows_has_an_empty_pool() {
        let table = control().table(&Snapshot::default(), Instant::now());
        let pool = &table.find(b"x", b"/").expect("the route is there").pool;
        assert!(pool.pick(&Tried::default()).is_none());
    }
}
