//! The catalog: what the registry remembers, under one modify index.
//!
//! A pure value: no HTTP, no clock (time is an argument, a `Duration` since the registry started), no task. A change
//! returns its [`Effects`]: which [`Topic`]s it touched, so that exactly the readers concerned can be woken, and which
//! checks to start or stop. `store` holds the rules of what moves which index; `agent` and `external` are the two ways
//! to write, Consul's agent endpoints and its catalog endpoints; `read` takes out what readers see.

mod agent;
mod alias;
mod clock;
mod command;
mod definition;
mod external;
mod inventory;
mod kv;
mod maintenance;
mod model;
mod pairs;
mod prepared;
mod read;
mod resume;
mod session;
mod shape;
mod sizes;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;
mod texts;
mod topic;
mod txn;
mod undo;
mod validate;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use agent::ServiceDefinition;
pub use command::{Command, Done, HowToSet};
pub(crate) use definition::cut_output;
pub use definition::{CheckDefinition, CheckIdRule, MIN_INTERVAL, OUTPUT_LIMIT};
pub use external::{ExternalCheck, ExternalService, Removal, Write};
pub use inventory::{ForeignNode, How, Inventory, OwnCheck, OwnService};
pub use kv::{Entry, Set};
pub use maintenance::{NODE_MAINTENANCE, SERVICE_MAINTENANCE_PREFIX};
pub use model::{
    Check, Health, Instance, Key, Node, OnNode, Origin, Shared, Status, Stored, Weights, fold,
};
pub use pairs::Pairs;
pub use prepared::Prepared;
pub use read::{Question, Watch};
pub use session::{Behavior, Session};
pub use sizes::Sizes;
pub use snapshot::Snapshot;
pub use topic::{Effects, Topic};
pub use txn::{Faults, KeyOperation, Operation, Shown};

use agent::AgentCheck;
use clock::Deadline;
use topic::Change;

/// Why a write was refused. The text is what the client is shown, in Consul's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// The request itself is wrong; Consul answers 400.
    #[error("{0}")]
    Invalid(String),
    /// The request names something that is not there; Consul answers 404.
    #[error("{0}")]
    NotFound(String),
    /// The request could not be carried out; Consul answers 500.
    #[error("{0}")]
    Failed(String),
}

/// Who this registry is: the node that carries what is registered through the agent endpoints.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LocalNode {
    /// Node name.
    pub name: String,
    /// A UUID.
    pub id: String,
    /// IP address that other machines reach it by.
    pub address: String,
    /// Name of the datacenter, also of everything else in this catalog.
    pub datacenter: String,
}

/// The last index that changed each kind of row. Each is 0 until the first change.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(PartialEq))]
struct Tables {
    nodes: u64,
    services: u64,
    checks: u64,
    /// Sets and deletions of keys.
    kv: u64,
    sessions: u64,
    prepared: u64,
    /// When some service last lost its final instance.
    extinction: Option<u64>,
}

/// A node with what it carries.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(PartialEq))]
struct NodeRow {
    node: Shared<Node>,
    instances: BTreeMap<Key, InstanceRow>,
    /// Checks of the node itself, by id.
    checks: Vec<Shared<Check>>,
    /// Which instance each check belongs to; the empty text is the node.
    owners: HashMap<Key, Key>,
}

/// An instance with its checks, sorted by id.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(PartialEq))]
struct InstanceRow {
    instance: Shared<Instance>,
    checks: Vec<Shared<Check>>,
}

/// One service: its index, who its instances are, and its tags counted, so that listing all services is cheap.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(PartialEq))]
struct ServiceRow {
    index: u64,
    /// (node, instance id).
    members: BTreeSet<(Key, Key)>,
    /// By the name as written (services that differ in case share a row), each tag with how many instances have it.
    names: BTreeMap<Key, NameCount>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(PartialEq))]
struct NameCount {
    instances: usize,
    tags: BTreeMap<Key, usize>,
}

/// (node, check id).
type CheckRef = (Key, Key);

/// The store. See the module's head.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(PartialEq))]
pub struct Catalog {
    local: Key,
    datacenter: Key,
    index: u64,
    /// No question's index is below this: the index at which the registry last started from what it had kept.
    floor: u64,
    revision: u64,
    tables: Tables,
    nodes: BTreeMap<Key, NodeRow>,
    node_ids: HashMap<Key, Key>,
    services: BTreeMap<Key, ServiceRow>,
    named_checks: BTreeMap<Key, BTreeSet<CheckRef>>,
    states: BTreeMap<Status, BTreeSet<CheckRef>>,
    agent_checks: HashMap<Key, Box<AgentCheck>>,
    deadlines: BTreeSet<(Duration, Deadline)>,
    kv: BTreeMap<Key, Shared<Entry>>,
    /// Keys that were deleted not long ago, with the index of their deletion.
    tombstones: BTreeMap<Key, u64>,
    /// The newest deletion that is not remembered by key any more.
    forgotten: u64,
    /// Keys that cannot be locked yet, and until when.
    lock_delays: HashMap<Key, Duration>,
    sessions: BTreeMap<Key, session::Live>,
    prepared: BTreeMap<Key, Shared<Prepared>>,
    /// Which sessions end with a check.
    session_checks: BTreeMap<CheckRef, BTreeSet<Key>>,
    /// (node, instance or the empty text, alias check): who mirrors what.
    aliases: BTreeSet<(Key, Key, Key)>,
    #[serde(skip)]
    texts: texts::Texts,
}

impl Catalog {
    /// A catalog with the local node, its `serfHealth` check and the service `consul`, which many clients look for.
    pub fn new(local: &LocalNode) -> Catalog {
        let mut catalog = Catalog {
            local: fold(&local.name),
            datacenter: local.datacenter.as_str().into(),
            index: 0,
            floor: 0,
            revision: 0,
            tables: Tables::default(),
            nodes: BTreeMap::new(),
            node_ids: HashMap::new(),
            services: BTreeMap::new(),
            named_checks: BTreeMap::new(),
            states: BTreeMap::new(),
            agent_checks: HashMap::new(),
            deadlines: BTreeSet::new(),
            kv: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            forgotten: 0,
            lock_delays: HashMap::new(),
            sessions: BTreeMap::new(),
            prepared: BTreeMap::new(),
            session_checks: BTreeMap::new(),
            aliases: BTreeSet::new(),
            texts: texts::Texts::default(),
        };
        catalog.seed(local);
        catalog
    }

    /// The modify index of the last change that any reader could see; at least 1.
    pub fn index(&self) -> u64 {
        self.index.max(1)
    }

    /// Moves with every change of contents, also those that move no index (output of checks).
    /// Two reads at one revision are equal.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The datacenter everything in this catalog is in.
    pub fn datacenter(&self) -> &Key {
        &self.datacenter
    }

    /// Opens a change: everything done under it carries the same index.
    fn begin(&self, now: Duration) -> Change {
        Change {
            index: self.index + 1,
            now,
            undo: None,
            effects: Effects::default(),
            moved: BTreeSet::new(),
        }
    }

    /// Closes a change. The index moves only if the change touched something.
    fn commit(&mut self, mut change: Change) -> Effects {
        self.settle_aliases(&mut change);
        if !change.effects.topics.is_empty() {
            self.index = change.index;
        }
        change.effects
    }

    fn local_row(&self) -> &NodeRow {
        self.nodes
            .get(&self.local)
            .expect("the local node is made in `new` and `external` refuses to remove it")
    }

    fn seed(&mut self, local: &LocalNode) {
        let mut change = self.begin(Duration::ZERO);
        let node = Node {
            id: local.id.as_str().into(),
            name: local.name.as_str().into(),
            address: local.address.as_str().into(),
            datacenter: self.datacenter.clone(),
            tagged_addresses: Some(tagged(&local.address)),
            meta: Some([("consul-network-segment".to_owned(), String::new())].into()),
        };
        let key = self.local.clone();
        self.put_node(&mut change, node);
        self.put_instance(&mut change, &key, consul_instance());
        self.put_check(&mut change, &key, serf_health(), store::Output::Moves);
        let effects = self.commit(change);
        debug_assert!(effects.start.is_empty(), "the seed runs no checks");
    }
}

/// The local node's addresses by name: all of them the one it has.
fn tagged(address: &str) -> BTreeMap<String, String> {
    let family = match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V6(_)) => "ipv6",
        _ => "ipv4",
    };
    ["lan".to_owned(), "wan".to_owned()]
        .into_iter()
        .flat_map(|net| [net.clone(), format!("{net}_{family}")])
        .map(|name| (name, address.to_owned()))
        .collect()
}

/// The server itself, as Consul shows it. The port is that of Consul's raft, which nothing here listens on.
fn consul_instance() -> Instance {
    let meta = [
        ("non_voter", "false"),
        ("raft_version", "3"),
        ("serf_protocol_current", "2"),
        ("serf_protocol_max", "5"),
        ("serf_protocol_min", "1"),
        ("version", "1.8.7"),
    ];
    Instance {
        id: "consul".into(),
        name: "consul".into(),
        tags: [].into(),
        address: "".into(),
        tagged_addresses: Pairs::default(),
        meta: Some(meta.into_iter().map(|(k, v)| (k, v.into())).collect()),
        port: 8300,
        weights: Weights::default(),
        enable_tag_override: false,
        kind: "".into(),
        proxy: None,
        connect: None,
        origin: Origin::Catalog,
    }
}

fn serf_health() -> Check {
    Check {
        id: "serfHealth".into(),
        name: "Serf Health Status".into(),
        status: Status::Passing,
        notes: "".into(),
        output: "Agent alive and reachable".into(),
        service_id: "".into(),
        service_name: "".into(),
        service_tags: [].into(),
        kind: "".into(),
        definition: None,
        origin: Origin::Catalog,
    }
}
