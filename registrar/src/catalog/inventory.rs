//! Everything that another registry would have to be told to take this one's place, taken out at one moment.
//! Rows are shared, so it is cheap; it does not know where they go, nor what of it can go there.

use std::collections::BTreeSet;
use std::time::Duration;

use super::agent::AgentCheck;
use super::maintenance::SERVICE_MAINTENANCE_PREFIX;
use super::model::{Check, Instance, Key, Node, Origin, Shared};
use super::{Behavior, Catalog, Entry, NODE_MAINTENANCE, Prepared};
use crate::check::CheckSpec;

/// What a catalog holds, for moving it.
#[derive(Debug, Clone)]
pub struct Inventory {
    /// The local node.
    pub local: Shared<Node>,
    /// The index of the moment.
    pub index: u64,
    /// Instances registered through the agent.
    pub services: Vec<OwnService>,
    /// Checks of the local node itself, registered through the agent.
    pub node_checks: Vec<OwnCheck>,
    /// Nodes written to the catalog from outside; the local one if others wrote instances or checks onto it.
    pub foreign: Vec<ForeignNode>,
    /// Keys, without those that end with a session.
    pub keys: Vec<Shared<Entry>>,
    /// Prepared queries, without those that end with a session.
    pub queries: Vec<Shared<Prepared>>,
    /// Whether the whole local node is in maintenance.
    pub node_maintenance: bool,
    /// How many sessions there are; no other registry can be told of them.
    pub sessions: usize,
    /// The keys that are locked.
    pub locked: Vec<Key>,
    /// Keys that end with the session that holds them.
    pub ephemeral: Vec<Shared<Entry>>,
}

/// An instance of the agent's own.
#[derive(Debug, Clone)]
pub struct OwnService {
    /// The instance.
    pub instance: Shared<Instance>,
    /// Its checks, without that of maintenance.
    pub checks: Vec<OwnCheck>,
    /// Why it is in maintenance, if it is.
    pub maintenance: Option<Key>,
}

/// A check of the agent's own, with how it is run.
#[derive(Debug, Clone)]
pub struct OwnCheck {
    /// The check with its present status.
    pub row: Shared<Check>,
    /// How it comes to its status.
    pub how: How,
    /// When its instance is deregistered.
    pub deregister_after: Option<Duration>,
    /// How many bytes of output it keeps.
    pub output_limit: usize,
}

/// How a check comes to its status.
#[derive(Debug, Clone, PartialEq)]
pub enum How {
    /// The registry runs it.
    Run(CheckSpec),
    /// Its instance reports within this time.
    Ttl(Duration),
    /// It mirrors another instance, or a node.
    Alias {
        /// As written; empty for the local node.
        node: Key,
        /// Empty for the node itself.
        service_id: Key,
    },
}

/// A node written from outside, with what it carries.
#[derive(Debug, Clone)]
pub struct ForeignNode {
    /// The node.
    pub node: Shared<Node>,
    /// Its instances.
    pub instances: Vec<Shared<Instance>>,
    /// Its own checks and those of its instances.
    pub checks: Vec<Shared<Check>>,
}

impl ForeignNode {
    fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.checks.is_empty()
    }
}

impl Inventory {
    /// Whether nothing at all was registered or kept.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
            && self.node_checks.is_empty()
            && self.foreign.is_empty()
            && self.keys.is_empty()
            && self.queries.is_empty()
    }
}

impl Catalog {
    /// What there is to move.
    pub fn inventory(&self) -> Inventory {
        let row = self.local_row();
        let own = |check: &&Shared<Check>| check.origin == Origin::Agent;
        let services = row.instances.values();
        let services = services.filter(|row| row.instance.origin == Origin::Agent);
        let (mut keys, mut locked, mut ephemeral) = (Vec::new(), Vec::new(), Vec::new());
        for entry in self.kv.values() {
            let holder = entry.session.as_ref();
            let holder = holder.and_then(|id| self.sessions.get(id));
            match holder.map(|live| live.session.behavior) {
                Some(Behavior::Delete) => ephemeral.push(entry.clone()),
                Some(Behavior::Release) => {
                    locked.push(entry.key.clone());
                    keys.push(entry.clone());
                }
                None => keys.push(entry.clone()),
            }
        }
        Inventory {
            local: row.node.clone(),
            index: self.index(),
            services: services
                .map(|row| OwnService {
                    instance: row.instance.clone(),
                    checks: row.checks.iter().filter_map(|c| self.own(c)).collect(),
                    maintenance: row
                        .checks
                        .iter()
                        .find(|check| check.id.starts_with(SERVICE_MAINTENANCE_PREFIX))
                        .map(|check| check.notes.clone()),
                })
                .collect(),
            node_checks: row
                .checks
                .iter()
                .filter(own)
                .filter_map(|check| self.own(check))
                .collect(),
            foreign: self.foreign(),
            keys,
            queries: self
                .prepared
                .values()
                .filter(|query| query.session.is_empty())
                .cloned()
                .collect(),
            node_maintenance: row
                .checks
                .iter()
                .any(|check| &*check.id == NODE_MAINTENANCE),
            sessions: self.sessions.len(),
            locked,
            ephemeral,
        }
    }

    /// A check of the agent's with how it is run; `None` for maintenance, which is not run at all.
    fn own(&self, row: &Shared<Check>) -> Option<OwnCheck> {
        let AgentCheck {
            spec,
            ttl,
            alias,
            deregister_after,
            output_limit,
            ..
        } = &**self.agent_checks.get(&row.id)?;
        let how = match (spec, ttl, alias) {
            (Some(spec), _, _) => How::Run((**spec).clone()),
            (_, Some(ttl), _) => How::Ttl(ttl.period),
            (_, _, Some(alias)) => How::Alias {
                node: alias.node.clone(),
                service_id: alias.service_id.clone(),
            },
            (None, None, None) => return None,
        };
        Some(OwnCheck {
            row: row.clone(),
            how,
            deregister_after: *deregister_after,
            output_limit: *output_limit,
        })
    }

    fn foreign(&self) -> Vec<ForeignNode> {
        let nodes = self.nodes.iter().map(|(key, row)| {
            let seeded = |id: &str| *key == self.local && (id == "consul" || id == "serfHealth");
            let written = |origin: Origin| origin == Origin::Catalog;
            let instances: Vec<Shared<Instance>> = row
                .instances
                .values()
                .map(|row| &row.instance)
                .filter(|row| written(row.origin) && !seeded(&row.id))
                .cloned()
                .collect();
            let ids: BTreeSet<&Key> = instances.iter().map(|row| &row.id).collect();
            let of_instances = row.instances.values().flat_map(|row| &row.checks);
            let checks = row.checks.iter().chain(of_instances);
            let checks = checks.filter(|check| {
                let mine = check.service_id.is_empty() || ids.contains(&check.service_id);
                written(check.origin) && mine && !seeded(&check.id)
            });
            let node = ForeignNode {
                node: row.node.clone(),
                checks: checks.cloned().collect(),
                instances,
            };
            (*key != self.local || !node.is_empty()).then_some(node)
        });
        nodes.flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        CheckDefinition, ExternalCheck, LocalNode, ServiceDefinition, Set, Status, Write,
    };
    use super::*;

    fn catalog() -> Catalog {
        Catalog::new(&LocalNode {
            name: "here".into(),
            id: "11111111-2222-3333-4444-555555555555".into(),
            address: "127.0.0.1".into(),
            datacenter: "dc1".into(),
        })
    }

    #[test]
    fn a_fresh_registry_has_nothing_to_move() {
        assert!(catalog().inventory().is_empty());
    }

    #[test]
    fn instances_come_with_how_their_checks_are_run_and_their_maintenance() {
        let mut catalog = catalog();
        let now = Duration::ZERO;
        let mut instance = super::super::consul_instance();
        instance.id = "web-1".into();
        instance.name = "web".into();
        let definition = ServiceDefinition {
            instance,
            check: CheckDefinition {
                http: "http://127.0.0.1:1/".into(),
                interval: 5_000_000_000,
                ..CheckDefinition::default()
            },
            checks: vec![CheckDefinition {
                ttl: 7_000_000_000,
                ..CheckDefinition::default()
            }],
        };
        let _ = catalog
            .register_service(now, definition, false)
            .expect("good");
        let _ = catalog
            .service_maintenance(now, "web-1", true, "why")
            .expect("it is there");
        let inventory = catalog.inventory();
        let [service] = &inventory.services[..] else {
            panic!("{inventory:?}");
        };
        assert_eq!(service.maintenance.as_deref(), Some("why"));
        let hows: Vec<&How> = service.checks.iter().map(|check| &check.how).collect();
        assert!(
            matches!(hows[..], [How::Run(_), How::Ttl(t)] if t.as_secs() == 7),
            "{hows:?}"
        );
    }

    #[test]
    fn nodes_from_outside_and_keys_come_and_ephemeral_keys_do_not() {
        let mut catalog = catalog();
        let now = Duration::ZERO;
        let mut check = super::super::serf_health();
        check.id = "ping".into();
        let write = Write {
            node: "other".into(),
            address: "10.0.0.1".into(),
            checks: vec![ExternalCheck {
                node: String::new(),
                check,
            }],
            ..Write::default()
        };
        let _ = catalog.write(now, write).expect("good");
        let session = |id: &str, behavior| super::super::Session {
            id: id.into(),
            name: "".into(),
            node: "here".into(),
            lock_delay: Duration::ZERO,
            behavior,
            ttl: None,
            node_checks: Vec::new(),
            service_checks: None,
            checks: Vec::new(),
        };
        let (keeps, deletes) = (
            "00000000-0000-0000-0000-000000000001",
            "00000000-0000-0000-0000-000000000002",
        );
        let _ = catalog
            .session_create(now, session(keeps, Behavior::Release))
            .expect("good");
        let _ = catalog
            .session_create(now, session(deletes, Behavior::Delete))
            .expect("good");
        for (key, how) in [
            ("plain", Set::Plain),
            ("locked", Set::Acquire(keeps)),
            ("brief", Set::Acquire(deletes)),
        ] {
            let _ = catalog.kv_set(now, key, "v".into(), 0, how).expect("set");
        }
        let inventory = catalog.inventory();
        let names: Vec<&str> = inventory.foreign.iter().map(|n| &*n.node.name).collect();
        assert_eq!(names, ["other"]);
        assert_eq!(inventory.foreign[0].checks[0].status, Status::Passing);
        let keys: Vec<&str> = inventory.keys.iter().map(|entry| &*entry.key).collect();
        assert_eq!(keys, ["locked", "plain"]);
        assert_eq!(inventory.sessions, 2);
        assert_eq!(inventory.locked, ["locked".into()]);
        assert_eq!(&*inventory.ephemeral[0].key, "brief");
    }
}
