//! The registry's readers under any input; see `crate::fuzzing`. What is read is also done, to a small catalog.

use std::time::Duration;

use http::{HeaderMap, Method, Uri};
use serde_json::to_value;

use super::filter::{
    AGENT_SERVICE, CATALOG_SERVICE, CHECK, Expression, HEALTH, Kind, NODE, NODE_SERVICE,
};
use super::request::Call;
use super::view::{
    AgentServiceView, CatalogServiceView, CheckShape, CheckView, HealthView, NodeView, ServiceView,
};
use super::{body, duration, mux};
use crate::catalog::{Catalog, Effects, LocalNode};

const NOW: Duration = Duration::from_secs(100);

/// A catalog with an instance that has a little of everything, and one of another node.
pub(crate) fn world() -> Catalog {
    let mut world = Catalog::new(&LocalNode {
        name: "here".into(),
        id: "00000000-0000-0000-0000-000000000001".into(),
        address: "127.0.0.1".into(),
        datacenter: "dc1".into(),
    });
    let near = br#"{"ID":"web-1","Name":"web","Tags":["a","b"],"Address":"10.0.0.1","Port":80,"Meta":{"k":"v"},
        "Check":{"TTL":"10s","Status":"passing"},"Weights":{"Passing":3,"Warning":1}}"#;
    let far = br#"{"Node":"far","Address":"10.0.0.2","Service":{"Service":"web","Port":81},
        "Check":{"CheckID":"c","Name":"c","ServiceID":"web","Status":"passing"}}"#;
    let near = body::service_registration(near).expect("it is a registration");
    let far = body::registration(far).expect("it is a registration");
    let _: Effects = world
        .register_service(NOW, near, false)
        .expect("it is a good one");
    let _: Effects = world.write(NOW, far).expect("it is a good one");
    world
}

/// A body is read by every endpoint that takes one, and what it says is done or refused. What a transaction with a fault
/// did is undone.
pub fn body(bytes: &[u8]) {
    let mut world = world();
    if let Ok(read) = body::service_registration(bytes) {
        let _ = world.register_service(NOW, read, true);
    }
    if let Ok(read) = body::check_registration(bytes) {
        let _ = world.register_check(NOW, read);
    }
    if let Ok(read) = body::registration(bytes) {
        let _ = world.write(NOW, read);
    }
    if let Ok(read) = body::removal(bytes) {
        let _ = world.remove(NOW, &read);
    }
    if let Ok(read) = body::transaction(bytes) {
        let revision = world.revision();
        if world.transact(NOW, &read).is_err() {
            assert_eq!(world.revision(), revision, "a fault leaves nothing behind");
        }
    }
    let _ = body::check_update(bytes);
    let _ = body::session_request(bytes);
    if let Ok(read) = body::prepared_query(bytes) {
        let _ = world.prepared_set(NOW, read);
    }
    let _ = world.tick(NOW * 1_000);
    for name in world.service_tags().keys() {
        for row in world.health_of(name) {
            to_value(HealthView(&row)).expect("rows can be shown");
        }
    }
}

/// A filter is refused, or asked of rows of its kind.
pub fn filter(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let world = world();
    let kinds: [&'static Kind; 6] = [
        &NODE,
        &NODE_SERVICE,
        &CHECK,
        &HEALTH,
        &CATALOG_SERVICE,
        &AGENT_SERVICE,
    ];
    let mut rows = Vec::new();
    for health in world.health_of("web") {
        let (node, row) = (&health.node, &health.instance);
        let pair = (node.clone(), row.clone());
        rows.push(to_value(HealthView(&health)));
        rows.push(to_value(NodeView(node)));
        rows.push(to_value(ServiceView(row)));
        rows.push(to_value(CatalogServiceView(&pair)));
        rows.push(to_value(AgentServiceView { row, hash: None }));
        rows.extend(health.checks.iter().map(|row| {
            to_value(CheckView {
                node: &node.name,
                row,
                shape: CheckShape::Catalog,
            })
        }));
    }
    let rows: Vec<_> = rows.into_iter().flatten().collect();
    for kind in kinds {
        if let Ok(expression) = Expression::new(&text, kind) {
            // Also of rows of another kind, which must not harm.
            for row in &rows {
                let _ = expression.takes(row);
            }
        }
    }
}

/// Any path and query that HTTP lets through leads somewhere or nowhere, and its parameters are read or refused.
pub fn query(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = duration::parse(&text);
    let Ok(uri) = Uri::try_from(bytes) else {
        return;
    };
    let Ok(call) = Call::new(Method::GET, &uri, HeaderMap::new()) else {
        return;
    };
    if let mux::Found::Endpoint(route, rest) = mux::find(&call.path) {
        assert!(call.path.ends_with(&rest) && call.path.starts_with(route.path));
    }
    if let Ok(Some(blocking)) = call.blocking() {
        assert!(blocking.wait <= super::request::MAX_WAIT && blocking.index > 0);
    }
    let _ = (call.consistency(), call.switch("passing"));
    let _ = (call.own_place("dc1"), call.node_meta(), call.content_key(1));
}

/// Whether some endpoint takes this body.
#[cfg(test)]
pub(crate) fn is_body(bytes: &[u8]) -> bool {
    body::service_registration(bytes).is_ok()
        || body::check_registration(bytes).is_ok()
        || body::registration(bytes).is_ok()
        || body::removal(bytes).is_ok()
        || body::transaction(bytes).is_ok()
        || body::check_update(bytes).is_ok()
        || body::session_request(bytes).is_ok()
        || body::prepared_query(bytes).is_ok()
}
