//! Whether the target shows everything at least as healthy as this registry does, as a reader of its catalog sees it.
//! Pure: what is there and what is here go in, what is missing comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use consul::types::{HealthCheck, Status as WireStatus};

use super::wire;
use crate::catalog::{Inventory, OwnCheck};

/// What the target's catalog has on its agent's node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// The ids of the instances.
    pub(crate) instances: BTreeSet<String>,
    /// The checks by id.
    pub(crate) checks: BTreeMap<String, HealthCheck>,
}

/// What is missing, in words; and how long the slowest of it may need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) words: Vec<String>,
    pub(crate) patience: Duration,
}

/// Compares. A status there may be better than here, not worse.
pub(crate) fn unproven(inventory: &Inventory, seen: &Seen) -> Missing {
    let mut missing = Missing::default();
    for service in &inventory.services {
        let id = &*service.instance.id;
        if !seen.instances.contains(id) {
            missing.words.push(format!("instance {id:?} is not there"));
        }
        // One that is out of service here cannot be lost.
        let out = service.maintenance.is_some();
        for check in service.checks.iter().filter(|_| !out) {
            compare(check, seen, &mut missing);
        }
    }
    for check in &inventory.node_checks {
        compare(check, seen, &mut missing);
    }
    missing
}

fn compare(own: &OwnCheck, seen: &Seen, missing: &mut Missing) {
    let id = &*own.row.id;
    let here = wire::status(&own.row.status);
    let word = match seen.checks.get(id) {
        None => format!("check {id:?} is not there"),
        Some(there) if there.status > here => {
            let said = match there.output.trim() {
                "" => "it has not run yet".to_owned(),
                output => output.chars().take(120).collect(),
            };
            format!("check {id:?} is {} there ({said})", there.status)
        }
        Some(_) => return,
    };
    if here != WireStatus::Critical || !seen.checks.contains_key(id) {
        missing.words.push(word);
        missing.patience = missing.patience.max(wire::patience(own));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::catalog::{Catalog, CheckDefinition, LocalNode, ServiceDefinition};

    /// A registry with one instance that has one TTL check in a status.
    fn inventory(status: &str) -> Inventory {
        let mut catalog = Catalog::new(&LocalNode {
            name: "here".into(),
            id: "11111111-2222-3333-4444-555555555555".into(),
            address: "127.0.0.1".into(),
            datacenter: "dc1".into(),
        });
        let (_, mut instances) = catalog.node("here").expect("the local node");
        let mut instance = instances.remove(0).value.clone();
        instance.id = "web".into();
        instance.name = "web".into();
        let definition = ServiceDefinition {
            instance,
            check: CheckDefinition {
                ttl: 1_000_000_000,
                status: status.into(),
                ..CheckDefinition::default()
            },
            checks: Vec::new(),
        };
        let _ = catalog
            .register_service(Duration::ZERO, definition, false)
            .expect("a good definition");
        catalog.inventory()
    }

    fn seen(status: Option<WireStatus>) -> Seen {
        let check = |status| HealthCheck {
            check_id: "service:web".into(),
            status,
            ..HealthCheck::default()
        };
        Seen {
            instances: ["web".to_owned()].into(),
            checks: status
                .map(|status| ("service:web".to_owned(), check(status)))
                .into_iter()
                .collect(),
        }
    }

    #[test]
    fn a_status_may_be_better_there_but_not_worse() {
        use WireStatus::{Critical, Passing, Warning};
        for (here, there, good) in [
            ("passing", Some(Passing), true),
            ("passing", Some(Warning), false),
            ("passing", Some(Critical), false),
            ("passing", None, false),
            ("warning", Some(Passing), true),
            ("warning", Some(Critical), false),
            ("critical", Some(Critical), true),
            ("critical", Some(Passing), true),
            ("critical", None, false),
        ] {
            let missing = unproven(&inventory(here), &seen(there));
            assert_eq!(
                missing.words.is_empty(),
                good,
                "{here} {there:?} {missing:?}"
            );
        }
    }

    #[test]
    fn an_instance_that_is_not_there_is_named() {
        let missing = unproven(&inventory("passing"), &Seen::default());
        assert!(missing.words[0].contains("\"web\""), "{missing:?}");
    }
}
