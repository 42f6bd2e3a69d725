//! Which path is which endpoint, and which methods it has, as in Consul's own table. Nothing is done here.

use super::serve::Endpoint::{self, *};

/// An endpoint's place: an exact path, or one that ends in `/` and takes everything below it.
pub(super) struct Route {
    pub(super) path: &'static str,
    pub(super) methods: &'static [&'static str],
    pub(super) endpoint: Endpoint,
}

const GET: &[&str] = &["GET"];
const PUT: &[&str] = &["PUT"];

const fn route(path: &'static str, methods: &'static [&'static str], endpoint: Endpoint) -> Route {
    Route {
        path,
        methods,
        endpoint,
    }
}

/// All endpoints. Order does not matter: the longest path that fits is taken.
const ROUTES: &[Route] = &[
    route("/v1/status/leader", GET, StatusLeader),
    route("/v1/status/peers", GET, StatusPeers),
    route("/v1/acl/", &["GET", "PUT", "DELETE"], AclDisabled),
    route("/v1/acl/token/self", GET, AclSelf),
    route("/v1/agent/self", GET, AgentSelf),
    route("/v1/agent/members", GET, AgentMembers),
    route("/v1/agent/services", GET, AgentServices),
    route("/v1/agent/service/", GET, AgentService),
    route("/v1/agent/checks", GET, AgentChecks),
    route("/v1/agent/maintenance", PUT, AgentMaintenance),
    route("/v1/agent/reload", PUT, AgentReload),
    route("/v1/agent/metrics", GET, AgentMetrics),
    route("/v1/agent/token/", PUT, AclDisabled),
    route("/v1/agent/join/", PUT, AgentJoin),
    route("/v1/agent/force-leave/", PUT, AgentForceLeave),
    route("/v1/agent/health/service/id/", GET, AgentHealthById),
    route("/v1/agent/health/service/name/", GET, AgentHealthByName),
    route("/v1/agent/service/register", PUT, ServiceRegister),
    route("/v1/agent/service/deregister/", PUT, ServiceDeregister),
    route("/v1/agent/service/maintenance/", PUT, ServiceMaintenance),
    route("/v1/agent/check/register", PUT, CheckRegister),
    route("/v1/agent/check/deregister/", PUT, CheckDeregister),
    route("/v1/agent/check/pass/", PUT, CheckPass),
    route("/v1/agent/check/warn/", PUT, CheckWarn),
    route("/v1/agent/check/fail/", PUT, CheckFail),
    route("/v1/agent/check/update/", PUT, CheckUpdate),
    route("/v1/catalog/register", PUT, CatalogRegister),
    route("/v1/catalog/deregister", PUT, CatalogDeregister),
    route("/v1/catalog/datacenters", GET, CatalogDatacenters),
    route("/v1/catalog/nodes", GET, CatalogNodes),
    route("/v1/catalog/services", GET, CatalogServices),
    route("/v1/catalog/service/", GET, CatalogService),
    route("/v1/catalog/connect/", GET, CatalogConnect),
    route("/v1/catalog/node/", GET, CatalogNode),
    route("/v1/catalog/node-services/", GET, CatalogNodeServices),
    route("/v1/health/service/", GET, HealthService),
    route("/v1/health/connect/", GET, HealthConnect),
    route("/v1/health/checks/", GET, HealthChecks),
    route("/v1/health/node/", GET, HealthNode),
    route("/v1/health/state/", GET, HealthState),
    route("/v1/kv/", &["GET", "PUT", "DELETE"], Kv),
    route("/v1/session/create", PUT, SessionCreate),
    route("/v1/session/destroy/", PUT, SessionDestroy),
    route("/v1/session/renew/", PUT, SessionRenew),
    route("/v1/session/info/", GET, SessionInfo),
    route("/v1/session/node/", GET, SessionNode),
    route("/v1/session/list", GET, SessionList),
    route("/v1/event/fire/", PUT, EventFire),
    route("/v1/event/list", GET, EventList),
    route("/v1/query", &["GET", "POST"], Queries),
    route("/v1/query/", &["GET", "PUT", "DELETE"], Query),
    route("/v1/txn", PUT, Txn),
    route("/v1/snapshot", &["GET", "PUT"], Snapshot),
    route("/v1/turno/join", &["GET", "PUT", "DELETE"], TurnoJoin),
    route("/v1/coordinate/nodes", GET, CoordinateNodes),
    route("/v1/coordinate/datacenters", GET, CoordinateDatacenters),
];

/// Where a path leads.
pub(super) enum Found {
    /// To an endpoint, with what follows its fixed part.
    Endpoint(&'static Route, String),
    /// To the same path with a `/` at its end.
    Slash,
    /// Nowhere.
    Nothing,
}

/// Finds the endpoint of a decoded path.
pub(super) fn find(path: &str) -> Found {
    let fits = |route: &&Route| {
        path == route.path || (route.path.ends_with('/') && path.starts_with(route.path))
    };
    let longest = ROUTES
        .iter()
        .filter(fits)
        .max_by_key(|route| route.path.len());
    if let Some(route) = longest {
        return Found::Endpoint(route, path[route.path.len()..].to_owned());
    }
    let short = |route: &Route| route.path.strip_suffix('/') == Some(path);
    if ROUTES.iter().any(short) {
        return Found::Slash;
    }
    Found::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_wins() {
        let table = [
            ("/v1/agent/service/web", Some(("/v1/agent/service/", "web"))),
            (
                "/v1/agent/service/register",
                Some(("/v1/agent/service/register", "")),
            ),
            (
                "/v1/agent/service/deregister/a/b",
                Some(("/v1/agent/service/deregister/", "a/b")),
            ),
            ("/v1/health/service/", Some(("/v1/health/service/", ""))),
            ("/v1/agent/selfish", None),
            ("/v1/", None),
        ];
        for (path, expected) in table {
            let found = match find(path) {
                Found::Endpoint(route, rest) => Some((route.path, rest)),
                _ => None,
            };
            let expected = expected.map(|(path, rest)| (path, rest.to_owned()));
            assert_eq!(found, expected, "{path}");
        }
        assert!(matches!(find("/v1/health/service"), Found::Slash));
    }
}
