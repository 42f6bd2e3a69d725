//! What admin shows, as values that become JSON.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use crate::discovery::Source;
use crate::pool::Pool;
use crate::routing::RouteTable;
use crate::snapshot::{Endpoint, EndpointId, Service, Snapshot};

/// One route.
#[derive(Debug, Serialize)]
pub(super) struct RouteView {
    host: Option<String>,
    path: String,
    service: String,
    policy: &'static str,
    strip_prefix: bool,
    upstreams: usize,
}

/// One pool.
#[derive(Debug, Serialize)]
pub(super) struct PoolView {
    service: String,
    policy: &'static str,
    upstreams: Vec<UpstreamView>,
    /// Who is registered and gets no request.
    out: Vec<OutView>,
}

/// One instance without requests.
#[derive(Debug, Serialize)]
struct OutView {
    node: String,
    instance: String,
    reason: String,
}

/// One upstream.
#[derive(Debug, Serialize)]
struct UpstreamView {
    node: String,
    instance: String,
    address: String,
    weight: u32,
    in_flight: usize,
    requests: u64,
    connect_failures: u64,
}

/// How fresh what we know is.
#[derive(Debug, Serialize)]
pub(super) struct ReadyView {
    ready: bool,
    /// `answers`, `away`, or `none` where nothing is discovered.
    registry: &'static str,
    services: BTreeMap<String, SourceView>,
}

/// How fresh what we know of one service is.
#[derive(Debug, Serialize)]
struct SourceView {
    age_seconds: Option<f64>,
    index: u64,
    held: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) fn routes(table: &RouteTable) -> Vec<RouteView> {
    let mut routes: Vec<_> = table
        .routes()
        .map(|route| RouteView {
            host: route.host.as_deref().map(str::to_owned),
            path: route.path.to_string(),
            service: route.pool.service.to_string(),
            policy: route.pool.policy.name(),
            strip_prefix: route.strip_prefix,
            upstreams: route.pool.members().count(),
        })
        .collect();
    routes.sort_by(|a, b| (&a.host, &a.path).cmp(&(&b.host, &b.path)));
    routes
}

pub(super) fn pools(table: &RouteTable, snapshot: &Snapshot) -> Vec<PoolView> {
    let view = |pool: &Arc<Pool>| PoolView {
        service: pool.service.to_string(),
        policy: pool.policy.name(),
        upstreams: pool
            .members()
            .map(|(upstream, weight)| UpstreamView {
                node: upstream.id().node.to_string(),
                instance: upstream.id().instance.to_string(),
                address: upstream.address().to_string(),
                weight,
                in_flight: upstream.in_flight(),
                requests: upstream.metrics().total(),
                connect_failures: upstream.metrics().connect_failures.get(),
            })
            .collect(),
        out: out(pool, snapshot),
    };
    distinct_pools(table).iter().map(view).collect()
}

/// Who of a pool's service gets no request, and why.
fn out(pool: &Pool, snapshot: &Snapshot) -> Vec<OutView> {
    let Some(service) = snapshot.services.get(&pool.service) else {
        return Vec::new();
    };
    let view = |id: &EndpointId, reason: &str| OutView {
        node: id.node.to_string(),
        instance: id.instance.to_string(),
        reason: reason.to_owned(),
    };
    let excluded = service
        .excluded
        .iter()
        .map(|excluded| view(&excluded.id, &excluded.reason));
    excluded
        .chain(left_out(pool, service).map(|endpoint| view(&endpoint.id, "cannot be reached")))
        .collect()
}

/// The endpoints that the registry lists and that are left out because they cannot be reached.
fn left_out<'a>(pool: &Pool, service: &'a Service) -> impl Iterator<Item = &'a Endpoint> {
    let picked: HashSet<EndpointId> = pool
        .members()
        .map(|(upstream, _)| upstream.id().clone())
        .collect();
    service
        .endpoints
        .iter()
        .filter(move |endpoint| !picked.contains(&endpoint.id))
}

/// How many instances of a pool's service are in which state.
pub(super) fn states(pool: &Pool, snapshot: &Snapshot) -> [(&'static str, usize); 3] {
    let service = snapshot.services.get(&pool.service);
    [
        ("in_rotation", pool.members().count()),
        (
            "unreachable",
            service.map_or(0, |service| left_out(pool, service).count()),
        ),
        (
            "excluded",
            service.map_or(0, |service| service.excluded.len()),
        ),
    ]
}

/// Each pool once, though several routes may lead to it, by service and policy.
pub(super) fn distinct_pools(table: &RouteTable) -> Vec<Arc<Pool>> {
    let mut pools: Vec<Arc<Pool>> = table
        .routes()
        .map(|route| Arc::clone(&route.pool))
        .collect();
    pools.sort_by(|a, b| (&a.service, a.policy.name()).cmp(&(&b.service, b.policy.name())));
    pools.dedup_by(|a, b| Arc::ptr_eq(a, b));
    pools
}

pub(super) fn ready(sources: &[(Arc<str>, Source)], now: Instant) -> ReadyView {
    let registry = match sources {
        [] => "none",
        _ if sources.iter().any(|(_, source)| source.failures > 0) => "away",
        _ => "answers",
    };
    let view = |(name, source): &(Arc<str>, Source)| {
        let age_seconds = source.age(now).map(|age| age.as_secs_f64());
        let error = source.error.clone();
        (
            name.to_string(),
            SourceView {
                age_seconds,
                index: source.index,
                held: source.held,
                error,
            },
        )
    };
    ReadyView {
        ready: true,
        registry,
        services: sources.iter().map(view).collect(),
    }
}
