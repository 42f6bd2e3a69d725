//! Alias checks: a check that mirrors the health of another instance, or of a node. They are worked out again whenever
//! a change touched what they mirror, under that change's own index. Texts are Consul's; naming an unknown node, which
//! ends a real Consul 1.8 agent, is an ordinary critical check here.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Catalog;
use super::model::{Check, Key, Origin, Status, Stored, fold};
use super::topic::Change;

/// Aliases of aliases are followed this deep; then a circle is taken as settled.
const DEPTH: usize = 8;

/// What an alias check mirrors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Alias {
    /// As written; empty for the local node.
    pub(super) node: Key,
    /// Empty for the node itself.
    pub(super) service_id: Key,
}

impl Catalog {
    /// Brings every alias check up to date that mirrors something this change touched.
    pub(super) fn settle_aliases(&mut self, change: &mut Change) {
        for _ in 0..DEPTH {
            let moved = std::mem::take(&mut change.moved);
            if moved.is_empty() {
                return;
            }
            let mut stale: BTreeSet<Key> = BTreeSet::new();
            for (node, service) in &moved {
                let whole_node = service.is_empty();
                let range = (node.clone(), service.clone(), Key::from(""))..;
                let concerned = self
                    .aliases
                    .range(range)
                    .take_while(|(n, s, _)| n == node && (whole_node || s == service));
                stale.extend(concerned.map(|(_, _, id)| id.clone()));
            }
            for id in stale {
                self.settle_alias(change, change.now, &id);
            }
        }
        change.moved.clear();
    }

    /// Works out one alias check.
    pub(super) fn settle_alias(&mut self, change: &mut Change, now: Duration, id: &Key) {
        let alias = self
            .agent_checks
            .get(id)
            .and_then(|check| check.alias.clone());
        if let Some(alias) = alias {
            let (status, output) = self.mirror(&alias, id);
            self.set_status(change, now, id, status, &output);
        }
    }

    /// The (node, instance, alias check) under which an alias is found when what it mirrors is touched.
    pub(super) fn alias_key(&self, alias: &Alias, id: &Key) -> (Key, Key, Key) {
        let node = if alias.node.is_empty() {
            self.local.clone()
        } else {
            fold(&alias.node)
        };
        (node, alias.service_id.clone(), id.clone())
    }

    fn mirror(&self, alias: &Alias, own: &str) -> (Status, String) {
        let (node, _, _) = self.alias_key(alias, &own.into());
        let missing = || {
            let text = format!(
                "Service {} could not be found on node {}",
                alias.service_id, alias.node
            );
            (Status::Critical, text)
        };
        let Some(row) = self.nodes.get(&node) else {
            return missing();
        };
        let instance = row.instances.get(&alias.service_id);
        if instance.is_none() && !alias.service_id.is_empty() {
            return missing();
        }
        // The agent mirrors only its own checks unless the node was named.
        let counts = |check: &&Stored<Check>| {
            &*check.id != own && (check.origin == Origin::Agent || !alias.node.is_empty())
        };
        let of_instance = instance.into_iter().flat_map(|row| &row.checks);
        let checks = row.checks.iter().chain(of_instance).map(|check| &**check);
        let mut found = (Status::Passing, "No checks found.".to_owned());
        for check in checks.filter(counts) {
            match check.status {
                Status::Passing if found.0 == Status::Passing => {
                    found.1 = "All checks passing.".to_owned();
                }
                Status::Passing => {}
                Status::Warning if found.0 == Status::Critical => {}
                _ => {
                    found = (
                        if check.status == Status::Warning {
                            Status::Warning
                        } else {
                            Status::Critical
                        },
                        format!(
                            "Aliased check {:?} failing: {}",
                            &*check.name, &*check.output
                        ),
                    );
                    if found.0 == Status::Critical {
                        break;
                    }
                }
            }
        }
        found
    }
}
