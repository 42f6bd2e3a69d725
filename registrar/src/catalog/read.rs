//! What readers see: rows taken out of the catalog, and for each kind of question its index and what to wait on.
//! The index and the topic of a question are not the same thing: an index may move without waking the reader.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::model::{Check, Health, Instance, Key, Node, OnNode, Origin, Shared, Status, fold};
use super::topic::Topic;
use super::{Catalog, CheckRef, NodeRow};

/// Something a reader can ask and wait on. Names as the reader wrote them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    /// The health of one service.
    ServiceHealth(String),
    /// The instances of one service.
    ServiceInstances(String),
    /// All services with their tags.
    Services,
    /// All nodes.
    Nodes,
    /// One node with its instances.
    Node(String),
    /// The checks on one node.
    NodeChecks(String),
    /// The checks of one service.
    ServiceChecks(String),
    /// The checks in one state, or `any`.
    State(String),
    /// One key.
    Key(String),
    /// The keys that begin with a text.
    Prefix(String),
    /// All prepared queries.
    Prepared,
    /// All sessions.
    Sessions,
    /// One session.
    Session(String),
    /// The sessions of one node.
    NodeSessions(String),
}

/// Where a question stands: its index now, and the topic that says when to look again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// At least 1, and at least the index of the last restart.
    pub index: u64,
    /// What to wait on.
    pub topic: Topic,
}

impl Catalog {
    /// The index of a question and what to wait on.
    pub fn watch(&self, question: &Question) -> Watch {
        let tables = &self.tables;
        let (index, topic) = match question {
            Question::ServiceHealth(name) => {
                let key = fold(name);
                let whole = tables.nodes.max(tables.services).max(tables.checks);
                (self.service_index(&key, whole), Topic::ServiceHealth(key))
            }
            Question::ServiceInstances(name) => {
                let key = fold(name);
                let whole = tables.nodes.max(tables.services);
                (
                    self.service_index(&key, whole),
                    Topic::ServiceInstances(key),
                )
            }
            Question::Services => (tables.services, Topic::Services),
            Question::Nodes => (tables.nodes, Topic::Nodes),
            Question::Node(name) => (
                tables.nodes.max(tables.services),
                Topic::NodeServices(self.node_key(name)),
            ),
            Question::NodeChecks(name) => (tables.checks, Topic::NodeChecks(fold(name))),
            Question::ServiceChecks(name) => {
                let key = fold(name);
                let topic = if self.named_checks.contains_key(&key) {
                    Topic::ServiceChecks(key)
                } else {
                    Topic::AnyServiceCheck
                };
                (tables.checks, topic)
            }
            Question::State(word) => {
                let status = Status::from_word(word);
                let topic = if word != "any" && self.states.contains_key(&status) {
                    Topic::State(status)
                } else {
                    Topic::AnyCheck
                };
                (tables.checks, topic)
            }
            Question::Key(key) => (self.kv_index(key), Topic::Key(key.as_str().into())),
            Question::Prefix(prefix) => {
                let index = self.kv_prefix_index(prefix);
                (index, Topic::Prefix(prefix.as_str().into()))
            }
            Question::Prepared => (tables.prepared, Topic::Prepared),
            Question::Sessions => (tables.sessions, Topic::Sessions),
            Question::Session(id) => (tables.sessions, Topic::Session(id.as_str().into())),
            Question::NodeSessions(node) => (tables.sessions, Topic::NodeSessions(fold(node))),
        };
        Watch {
            index: index.max(self.floor).max(1),
            topic,
        }
    }

    /// A service's own index; for an unknown one, when a service last disappeared, else the whole tables'.
    fn service_index(&self, key: &str, whole: u64) -> u64 {
        match self.services.get(key) {
            Some(row) => row.index,
            None => self.tables.extinction.unwrap_or(whole),
        }
    }

    /// Every instance of a service with its node and all checks that bear on it, by node and id.
    pub fn health_of(&self, service: &str) -> Vec<Health> {
        let members = self.members(service);
        members
            .filter_map(|(node, id)| {
                let row = self.nodes.get(node)?;
                let instance = row.instances.get(id)?;
                let checks = row.checks.iter().chain(&instance.checks);
                Some(Health {
                    node: row.node.clone(),
                    instance: instance.instance.clone(),
                    checks: checks.cloned().collect(),
                })
            })
            .collect()
    }

    /// Every instance of a service with its node, by node and id.
    pub fn instances_of(&self, service: &str) -> Vec<OnNode<Instance>> {
        let members = self.members(service);
        members
            .filter_map(|(node, id)| {
                let row = self.nodes.get(node)?;
                let instance = row.instances.get(id)?;
                Some((row.node.clone(), instance.instance.clone()))
            })
            .collect()
    }

    fn members(&self, service: &str) -> impl Iterator<Item = &(Key, Key)> {
        self.services
            .get(&fold(service))
            .into_iter()
            .flat_map(|row| &row.members)
    }

    /// Every service with all tags any of its instances has.
    pub fn service_tags(&self) -> BTreeMap<Key, Vec<Key>> {
        self.services
            .values()
            .flat_map(|row| &row.names)
            .map(|(name, count)| (name.clone(), count.tags.keys().cloned().collect()))
            .collect()
    }

    /// Like [`Catalog::service_tags`], of the instances that `keep` accepts. Looks at every instance.
    pub fn service_tags_where(
        &self,
        keep: impl Fn(&OnNode<Instance>) -> bool,
    ) -> BTreeMap<Key, Vec<Key>> {
        let mut tags: BTreeMap<Key, BTreeSet<Key>> = BTreeMap::new();
        for row in self.nodes.values() {
            for instance in row.instances.values().map(|row| &row.instance) {
                if keep(&(row.node.clone(), instance.clone())) {
                    let set = tags.entry(instance.name.clone()).or_default();
                    set.extend(instance.tags.iter().cloned());
                }
            }
        }
        tags.into_iter()
            .map(|(name, tags)| (name, tags.into_iter().collect()))
            .collect()
    }

    /// All nodes, by name.
    pub fn nodes(&self) -> Vec<Shared<Node>> {
        self.nodes.values().map(|row| row.node.clone()).collect()
    }

    /// The first node, by name, with this address, of those `seen`. Looks at every node.
    pub fn node_at(&self, address: IpAddr, seen: impl Fn(&Node) -> bool) -> Option<&Shared<Node>> {
        let text = address.to_string();
        let mut nodes = self.nodes.values().map(|row| &row.node);
        nodes.find(|node| is_at(&node.address, address, &text) && seen(node))
    }

    /// The first instance, by node and id, with this address of its own, of those `seen`. Looks at every instance:
    /// reverse questions are rare, and there is no index by address.
    pub fn instance_at(
        &self,
        address: IpAddr,
        seen: impl Fn(&Node, &Instance) -> bool,
    ) -> Option<&Shared<Instance>> {
        let text = address.to_string();
        self.nodes.values().find_map(|row| {
            let mut instances = row.instances.values().map(|row| &row.instance);
            instances.find(|own| is_at(&own.address, address, &text) && seen(&row.node, own))
        })
    }

    /// The local node.
    pub fn local_node(&self) -> &Shared<Node> {
        &self.local_row().node
    }

    /// One node, by its name or its UUID, with its instances.
    pub fn node(&self, name: &str) -> Option<(Shared<Node>, Vec<Shared<Instance>>)> {
        let row = self.nodes.get(&self.node_key(name))?;
        let instances = row.instances.values().map(|row| row.instance.clone());
        Some((row.node.clone(), instances.collect()))
    }

    /// The key of the node with that name, else of the one with that UUID, else of one that might come.
    fn node_key(&self, name: &str) -> Key {
        let key = fold(name);
        if self.nodes.contains_key(&key) {
            return key;
        }
        self.node_ids.get(name).cloned().unwrap_or(key)
    }

    /// The checks on one node, by id.
    pub fn node_checks(&self, name: &str) -> Vec<OnNode<Check>> {
        let Some(row) = self.nodes.get(&fold(name)) else {
            return Vec::new();
        };
        let mut checks: Vec<_> = all_checks(row)
            .map(|check| (row.node.clone(), check.clone()))
            .collect();
        checks.sort_by(|a, b| a.1.id.cmp(&b.1.id));
        checks
    }

    /// The checks of one service, by node and id.
    pub fn service_checks(&self, service: &str) -> Vec<OnNode<Check>> {
        let set = self.named_checks.get(&fold(service));
        self.resolve(set.into_iter().flatten())
    }

    /// The checks in one state (`any` for all), by node and id.
    pub fn checks_in_state(&self, word: &str) -> Vec<OnNode<Check>> {
        if word == "any" {
            let mut all: Vec<&CheckRef> = self.states.values().flatten().collect();
            all.sort();
            return self.resolve(all.into_iter());
        }
        let set = self.states.get(&Status::from_word(word));
        self.resolve(set.into_iter().flatten())
    }

    fn resolve<'a>(&'a self, references: impl Iterator<Item = &'a CheckRef>) -> Vec<OnNode<Check>> {
        references
            .filter_map(|(node, id)| {
                let row = self.nodes.get(node)?;
                Some((row.node.clone(), self.check_row(node, id)?.clone()))
            })
            .collect()
    }

    /// The instances registered through the agent, by id.
    pub fn agent_services(&self) -> Vec<Shared<Instance>> {
        self.local_row()
            .instances
            .values()
            .map(|row| &row.instance)
            .filter(|instance| instance.origin == Origin::Agent)
            .cloned()
            .collect()
    }

    /// The checks registered through the agent, by id.
    pub fn agent_checks(&self) -> Vec<Shared<Check>> {
        let mut checks: Vec<_> = all_checks(self.local_row())
            .filter(|check| check.origin == Origin::Agent)
            .cloned()
            .collect();
        checks.sort_by(|a, b| a.id.cmp(&b.id));
        checks
    }

    /// The checks registered through the agent that bear on an instance: the node's, then its own.
    pub fn agent_checks_of(&self, service_id: &str) -> Vec<Shared<Check>> {
        let row = self.local_row();
        let own = row.instances.get(service_id).map(|row| &row.checks);
        row.checks
            .iter()
            .chain(own.into_iter().flatten())
            .filter(|check| check.origin == Origin::Agent)
            .cloned()
            .collect()
    }
}

/// Whether what is written is that address. There is one way to write those of IPv4, and several for IPv6.
fn is_at(written: &str, address: IpAddr, text: &str) -> bool {
    written == text
        || (address.is_ipv6() && written.contains(':') && written.parse() == Ok(address))
}

fn all_checks(row: &NodeRow) -> impl Iterator<Item = &Shared<Check>> {
    let of_instances = row.instances.values().flat_map(|row| &row.checks);
    row.checks.iter().chain(of_instances)
}
