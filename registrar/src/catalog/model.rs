//! The rows of the catalog: nodes, instances and checks as they are stored, cheap to share with readers.
//! Plain values with no behaviour beyond comparing themselves. They do not know JSON field names, indexes of tables,
//! who reads them, or what time it is.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pairs::Pairs;

/// A shared, immutable text: ids and names appear in many rows and sets.
pub type Key = Arc<str>;

/// Names of nodes and services are compared without regard to case, as Consul's catalog does.
pub fn fold(name: &str) -> Key {
    name.to_lowercase().into()
}

/// A row together with the index that created it and the index that last changed it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored<T> {
    /// What was written.
    pub value: T,
    /// The modify index of the write that made the row; at least 1.
    pub create_index: u64,
    /// The modify index of the last write that changed it; never below `create_index`.
    pub modify_index: u64,
}

impl<T> Deref for Stored<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A machine (or anything else with an address) that carries instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// A UUID, or empty for a node registered from outside without one.
    pub id: Key,
    /// The name as written; looked up without regard to case.
    pub name: Key,
    /// IP address or host name.
    pub address: Key,
    /// The datacenter it is in.
    pub datacenter: Key,
    /// `lan`, `wan`, `lan_ipv4` …; `None` where the writer sent none.
    pub tagged_addresses: Option<BTreeMap<String, String>>,
    /// Free text pairs; `None` where the writer sent none.
    pub meta: Option<BTreeMap<String, String>>,
}

/// How much of the traffic an instance should get while passing and while warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// Weight while every check passes, 1..=65535.
    pub passing: i64,
    /// Weight while a check warns, 0..=65535.
    pub warning: i64,
}

impl Default for Weights {
    fn default() -> Self {
        Weights {
            passing: 1,
            warning: 1,
        }
    }
}

/// Who wrote a row, which decides what the agent endpoints show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Origin {
    /// Written through the agent endpoints: the registry runs its checks and shows it under `/v1/agent`.
    #[default]
    Agent,
    /// Written through the catalog endpoints: only stored.
    Catalog,
}

/// One running copy of a service, as registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Unique on its node.
    pub id: Key,
    /// The service it is a copy of.
    pub name: Key,
    /// Labels, in the order written.
    pub tags: Arc<[Key]>,
    /// IP address or host name; empty means the node's.
    pub address: Key,
    /// Other addresses by name, each with a port.
    pub tagged_addresses: Pairs<(Key, i64)>,
    /// Free text pairs; `None` where a catalog writer sent none.
    pub meta: Option<Pairs<Key>>,
    /// Port; not validated, as Consul does not.
    pub port: i64,
    /// Share of the traffic.
    pub weights: Weights,
    /// Whether tags may be edited from outside; kept and shown, nothing more.
    pub enable_tag_override: bool,
    /// Consul's service kind, empty for ordinary services; not interpreted.
    pub kind: Key,
    /// Consul's proxy block as written, if any; not interpreted.
    pub proxy: Option<Arc<serde_json::Value>>,
    /// Consul's connect block as written, if any; not interpreted.
    pub connect: Option<Arc<serde_json::Value>>,
    /// Who wrote it.
    pub origin: Origin,
}

/// The state of a check.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    /// In order.
    Passing,
    /// Still serving, but complaining.
    Warning,
    /// Out of service.
    Critical,
    /// Any other word: Consul's catalog endpoints store whatever they are given. Treated as not passing.
    Other(Key),
}

impl Status {
    /// The word on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Status::Passing => "passing",
            Status::Warning => "warning",
            Status::Critical => "critical",
            Status::Other(word) => word,
        }
    }

    /// Any word at all; the three known ones are recognised exactly.
    pub fn from_word(word: &str) -> Status {
        Status::known(word).unwrap_or_else(|| Status::Other(word.into()))
    }

    /// Only `passing`, `warning` and `critical`.
    pub fn known(word: &str) -> Option<Status> {
        match word {
            "passing" => Some(Status::Passing),
            "warning" => Some(Status::Warning),
            "critical" => Some(Status::Critical),
            _ => None,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One way to learn an instance's (or a node's) health, with what it last said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Unique on its node.
    pub id: Key,
    /// For people.
    pub name: Key,
    /// The current state.
    pub status: Status,
    /// For people.
    pub notes: Key,
    /// What the last run said; changing only this wakes nobody.
    pub output: Key,
    /// The instance it belongs to; empty for a check of the whole node.
    pub service_id: Key,
    /// Name of that instance's service when the check was registered.
    pub service_name: Key,
    /// Tags of that instance when the check was registered.
    pub service_tags: Arc<[Key]>,
    /// `ttl`, `http`, `tcp`, `maintenance` … or empty.
    pub kind: Key,
    /// The definition as written, echoed for checks registered through the catalog.
    pub definition: Option<Arc<serde_json::Value>>,
    /// Who wrote it.
    pub origin: Origin,
}

impl Check {
    /// Whether the two differ in nothing but their output.
    pub fn same_but_output(&self, other: &Check) -> bool {
        self.id == other.id
            && self.name == other.name
            && self.status == other.status
            && self.notes == other.notes
            && self.service_id == other.service_id
            && self.service_name == other.service_name
            && self.service_tags == other.service_tags
            && self.kind == other.kind
            && self.definition == other.definition
            && self.origin == other.origin
    }
}

/// A row of the catalog, shared with whoever reads it.
pub type Shared<T> = Arc<Stored<T>>;

/// A row with the node it is on.
pub type OnNode<T> = (Shared<Node>, Shared<T>);

/// What a health reader gets of one instance: shared rows, cheap to take out of the catalog.
#[derive(Debug, Clone)]
pub struct Health {
    /// The node that carries it.
    pub node: Shared<Node>,
    /// The instance.
    pub instance: Shared<Instance>,
    /// Checks of the node first, then those of the instance.
    pub checks: Vec<Shared<Check>>,
}

impl Health {
    /// Whether every check, the node's included, passes. An instance without checks is healthy.
    pub fn is_passing(&self) -> bool {
        self.checks
            .iter()
            .all(|check| check.status == Status::Passing)
    }
}
