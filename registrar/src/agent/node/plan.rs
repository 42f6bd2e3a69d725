//! What to write to the catalog so that a node has what it should, with the statuses found here.
//!
//! Pure: wanted, found and present in, writes out. Everything on the node is ours, so what is not wanted goes.

use std::collections::BTreeMap;

use consul::types::{
    CatalogDeregistration, CatalogNode, CatalogRegistration, CheckDefinition, HealthCheck, Service,
    ServiceRegistration, Status,
};

use super::results::Outcome;
use super::{GUARD, GUARD_SESSION, NodeConfig};
use crate::agent::mark;
use crate::definition::Joined;

/// What the catalog has of the node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present<'a> {
    pub(super) node: Option<&'a CatalogNode>,
    pub(super) checks: &'a BTreeMap<String, HealthCheck>,
}

/// What to write, registrations first.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Writes {
    pub(super) register: Vec<CatalogRegistration>,
    pub(super) deregister: Vec<CatalogDeregistration>,
}

/// What is wanted without that which cannot be checked from here: traffic for what nobody checks helps nobody.
pub(super) fn usable(wanted: &Joined, refused: &BTreeMap<String, String>) -> Joined {
    let mut usable = wanted.clone();
    usable.services.retain(|id, _| !refused.contains_key(id));
    usable.checks.retain(|id, _| !refused.contains_key(id));
    usable
}

/// What is to be registered, in a word.
pub(super) fn subject(entry: &CatalogRegistration) -> String {
    let check = entry.checks.first();
    let of_service = entry.service.as_ref().map(|it| &it.id);
    let of_check = check.map(|it| match it.service_id.as_str() {
        "" => &it.check_id,
        _ => &it.service_id,
    });
    of_service.or(of_check).unwrap_or(&entry.node).clone()
}

/// What is to be taken out, in a word.
pub(super) fn gone(entry: &CatalogDeregistration) -> String {
    let what = entry.service_id.as_ref().or(entry.check_id.as_ref());
    what.unwrap_or(&entry.node).clone()
}

/// Compares and decides; with `hold` nothing is taken out.
pub(super) fn plan(
    node: &NodeConfig,
    agent: &str,
    wanted: &Joined,
    hold: bool,
    results: &BTreeMap<String, Outcome>,
    present: Present<'_>,
) -> Writes {
    let empty = CatalogRegistration {
        node: node.name.clone(),
        address: node.address.clone(),
        node_meta: BTreeMap::from([
            (mark::AGENT.to_owned(), agent.to_owned()),
            (GUARD.to_owned(), GUARD_SESSION.to_owned()),
        ]),
        ..CatalogRegistration::default()
    };
    let mut writes = Writes::default();
    for (id, service) in &wanted.services {
        let found = present.node.and_then(|node| node.services.get(id));
        let as_wanted = found.is_some_and(|found| is_same_service(service, found));
        let own: Vec<HealthCheck> = service
            .check_ids()
            .iter()
            .zip(&service.checks)
            .map(|(id, check)| entry(node, id, check, Some(service), results))
            .filter(|check| !as_wanted || !is_written(check, present.checks))
            .collect();
        if !as_wanted || !own.is_empty() {
            writes.register.push(CatalogRegistration {
                service: (!as_wanted).then(|| catalog_service(service)),
                checks: own,
                ..empty.clone()
            });
        }
    }
    let alone = wanted
        .checks
        .iter()
        .map(|(id, check)| entry(node, id, check, None, results));
    let alone: Vec<HealthCheck> = alone
        .filter(|check| !is_written(check, present.checks))
        .collect();
    let node_is_right = present.node.is_some_and(|found| {
        found.node.address == node.address
            && empty
                .node_meta
                .iter()
                .all(|(k, v)| found.node.meta.get(k) == Some(v))
    });
    if !alone.is_empty() || (!node_is_right && writes.register.is_empty()) {
        writes.register.push(CatalogRegistration {
            checks: alone,
            ..empty
        });
    }
    if !hold {
        writes.deregister = removals(node, wanted, present);
    }
    writes
}

fn removals(
    node: &NodeConfig,
    wanted: &Joined,
    present: Present<'_>,
) -> Vec<CatalogDeregistration> {
    let named = |service_id, check_id| CatalogDeregistration {
        node: node.name.clone(),
        service_id,
        check_id,
    };
    let services = present
        .node
        .into_iter()
        .flat_map(|node| node.services.keys());
    let services = services.filter(|id| !wanted.services.contains_key(*id));
    let is_wanted = |check: &HealthCheck| match wanted.services.get(&check.service_id) {
        Some(service) => service.check_ids().contains(&check.check_id),
        // Checks of an instance that goes, go with it.
        None => !check.service_id.is_empty() || wanted.checks.contains_key(&check.check_id),
    };
    let checks = present.checks.values().filter(|check| !is_wanted(check));
    services
        .map(|id| named(Some(id.clone()), None))
        .chain(checks.map(|check| named(None, Some(check.check_id.clone()))))
        .collect()
}

fn is_same_service(wanted: &ServiceRegistration, found: &Service) -> bool {
    // The metadata holds the fingerprint of everything else.
    (
        &wanted.name,
        &wanted.tags,
        &wanted.address,
        wanted.port,
        &wanted.meta,
    ) == (
        &found.service,
        &found.tags,
        &found.address,
        found.port,
        &found.meta,
    )
}

fn is_written(check: &HealthCheck, present: &BTreeMap<String, HealthCheck>) -> bool {
    present.get(&check.check_id).is_some_and(|found| {
        (found.status, &found.service_id, &found.name, &found.notes)
            == (check.status, &check.service_id, &check.name, &check.notes)
    })
}

fn catalog_service(wanted: &ServiceRegistration) -> Service {
    Service {
        id: wanted.effective_id().to_owned(),
        service: wanted.name.clone(),
        tags: wanted.tags.clone(),
        address: wanted.address.clone(),
        tagged_addresses: wanted.tagged_addresses.clone(),
        meta: wanted.meta.clone(),
        port: wanted.port,
        weights: wanted.weights.unwrap_or_default(),
        enable_tag_override: wanted.enable_tag_override,
        ..Service::default()
    }
}

/// What a check is called: one of an instance has a name without being given one.
pub(super) fn name(check: &CheckDefinition, service: Option<&ServiceRegistration>) -> String {
    let named = |service: &ServiceRegistration| format!("Service '{}' check", service.name);
    let given = check.name.clone();
    given.or_else(|| service.map(named)).unwrap_or_default()
}

fn entry(
    node: &NodeConfig,
    id: &str,
    check: &CheckDefinition,
    service: Option<&ServiceRegistration>,
    results: &BTreeMap<String, Outcome>,
) -> HealthCheck {
    let outcome = results.get(id);
    HealthCheck {
        node: node.name.clone(),
        check_id: id.to_owned(),
        name: name(check, service),
        status: outcome.map_or(check.status.unwrap_or(Status::Critical), |outcome| {
            outcome.status
        }),
        notes: check.notes.clone().unwrap_or_default(),
        output: outcome
            .map(|outcome| outcome.output.clone())
            .unwrap_or_default(),
        service_id: service
            .map(|service| service.effective_id().to_owned())
            .unwrap_or_default(),
        service_name: service
            .map(|service| service.name.clone())
            .unwrap_or_default(),
        ..HealthCheck::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Scripts;
    use crate::definition::{Format, join, parse};
    use consul::types::Node;
    use std::time::Duration;

    fn wanted(text: &str) -> Joined {
        let definitions = parse("x", text, Format::Hcl).expect("good definitions");
        mark::all(join([("x", &definitions)]).0, "me")
    }

    fn config() -> NodeConfig {
        NodeConfig {
            name: "vm-7".to_owned(),
            address: "10.0.0.7".to_owned(),
            ttl: Duration::from_secs(30),
            machine: String::new(),
            scripts: Scripts::Off,
            reports: None,
        }
    }

    /// What the catalog has after these writes, from nothing.
    fn written(writes: &Writes) -> (CatalogNode, BTreeMap<String, HealthCheck>) {
        let mut node = CatalogNode::default();
        let mut checks = BTreeMap::new();
        for entry in &writes.register {
            node.node = Node {
                address: entry.address.clone(),
                meta: entry.node_meta.clone(),
                ..Node::default()
            };
            node.services.extend(
                entry
                    .service
                    .clone()
                    .map(|service| (service.id.clone(), service)),
            );
            checks.extend(
                entry
                    .checks
                    .iter()
                    .cloned()
                    .map(|check| (check.check_id.clone(), check)),
            );
        }
        (node, checks)
    }

    fn said(writes: &Writes) -> Vec<String> {
        let register = writes.register.iter().map(|entry| {
            let checks: Vec<_> = entry
                .checks
                .iter()
                .map(|c| format!("{}={}", c.check_id, c.status))
                .collect();
            format!(
                "+{} {}",
                entry.service.as_ref().map_or("", |s| s.id.as_str()),
                checks.join(",")
            )
        });
        let deregister = writes.deregister.iter().map(|entry| {
            format!(
                "-{}{}",
                entry.service_id.clone().unwrap_or_default(),
                entry.check_id.clone().unwrap_or_default()
            )
        });
        register.chain(deregister).collect()
    }

    fn between(before: &str, after: &str, status: Status) -> Vec<String> {
        let nothing = BTreeMap::new();
        let present = Present {
            node: None,
            checks: &nothing,
        };
        let first = plan(
            &config(),
            "me",
            &wanted(before),
            false,
            &BTreeMap::new(),
            present,
        );
        let (node, checks) = written(&first);
        let present = Present {
            node: Some(&node),
            checks: &checks,
        };
        let outcome = |id: &str| {
            let output = "ran".to_owned();
            (id.to_owned(), Outcome { status, output })
        };
        let results = BTreeMap::from([outcome("service:web"), outcome("load")]);
        said(&plan(
            &config(),
            "me",
            &wanted(after),
            false,
            &results,
            present,
        ))
    }

    const WEB: &str = "service { name = \"web\" check { tcp = \"h:1\" interval = \"9s\" } }";
    const LOAD: &str = "check { name = \"load\" tcp = \"h:2\" interval = \"9s\" }";

    #[test]
    fn what_is_written() {
        let both = format!("{WEB}{LOAD}");
        for (before, after, status, want) in [
            (
                "",
                both.as_str(),
                Status::Passing,
                vec!["+web service:web=passing", "+ load=passing"],
            ),
            (&both, &both, Status::Critical, vec![]),
            (
                &both,
                &both,
                Status::Passing,
                vec!["+ service:web=passing", "+ load=passing"],
            ),
            (&both, LOAD, Status::Critical, vec!["-web"]),
            (&both, WEB, Status::Critical, vec!["-load"]),
            (
                WEB,
                "service { name = \"web\" }",
                Status::Critical,
                vec!["+web ", "-service:web"],
            ),
            (
                WEB,
                "service { name = \"web\" port = 1 check { tcp = \"h:1\" interval = \"9s\" } }",
                Status::Critical,
                vec!["+web service:web=critical"],
            ),
        ] {
            assert_eq!(between(before, after, status), want, "{before} -> {after}");
        }
    }

    #[test]
    fn a_node_without_instances_is_there_too() {
        let nothing = BTreeMap::new();
        let present = Present {
            node: None,
            checks: &nothing,
        };
        let writes = plan(
            &config(),
            "me",
            &Joined::default(),
            false,
            &BTreeMap::new(),
            present,
        );
        assert_eq!(said(&writes), ["+ "]);
        assert_eq!(writes.register[0].node_meta[GUARD], GUARD_SESSION);
        let refused = BTreeMap::from([("web".to_owned(), "no".to_owned())]);
        assert!(usable(&wanted(WEB), &refused).services.is_empty());
    }
}
