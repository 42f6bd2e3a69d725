//! Tests of the catalog: what a change moves and whom it wakes, the agent's rules, time, and invariants under random
//! sequences of operations.

mod agent;
mod moves;
mod property;
mod time;
mod undo;

use std::time::Duration;

use super::*;

const T0: Duration = Duration::from_secs(100);

fn catalog() -> Catalog {
    Catalog::new(&LocalNode {
        name: "Here".into(),
        id: "00000000-0000-0000-0000-000000000001".into(),
        address: "127.0.0.1".into(),
        datacenter: "dc1".into(),
    })
}

fn instance(id: &str, name: &str, port: i64) -> Instance {
    Instance {
        id: id.into(),
        name: name.into(),
        tags: [].into(),
        address: "10.0.0.1".into(),
        tagged_addresses: Pairs::default(),
        meta: Some(Pairs::default()),
        port,
        weights: Weights::default(),
        enable_tag_override: false,
        kind: "".into(),
        proxy: None,
        connect: None,
        origin: Origin::Agent,
    }
}

fn service(id: &str, name: &str, port: i64, checks: Vec<CheckDefinition>) -> ServiceDefinition {
    ServiceDefinition {
        instance: instance(id, name, port),
        check: CheckDefinition::default(),
        checks,
    }
}

fn ttl(seconds: i64) -> CheckDefinition {
    CheckDefinition {
        ttl: seconds * 1_000_000_000,
        ..CheckDefinition::default()
    }
}

fn http(url: &str) -> CheckDefinition {
    CheckDefinition {
        http: url.into(),
        interval: 5_000_000_000,
        ..CheckDefinition::default()
    }
}

fn node_check(id: &str) -> CheckDefinition {
    CheckDefinition {
        id: id.into(),
        name: id.into(),
        ..ttl(60)
    }
}

fn status_of(catalog: &Catalog, id: &str) -> Option<(String, String)> {
    let checks = catalog.agent_checks();
    let check = checks.iter().find(|check| &*check.id == id)?;
    Some((check.status.to_string(), check.output.to_string()))
}

fn register(catalog: &mut Catalog, definition: ServiceDefinition) -> Effects {
    catalog
        .register_service(T0, definition, false)
        .expect("a valid definition")
}
