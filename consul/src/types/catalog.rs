//! What the catalog and health endpoints list: nodes, instances, checks.
//!
//! Equality here is equality of *meaning*: two entries are equal when nobody who routes traffic could tell
//! them apart. Check output, notes, and the modify indexes are left out (they change without anything having
//! happened), and so is the order of the checks. Compare the serialized form where every byte counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::decode::{duration_text, nullable};
use super::{Status, TaggedAddress, Weights};

/// A node of the catalog.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Node {
    /// Its id; empty for external nodes.
    #[serde(rename = "ID", deserialize_with = "nullable")]
    pub id: String,
    /// Its name.
    #[serde(deserialize_with = "nullable")]
    pub node: String,
    /// Its address.
    #[serde(deserialize_with = "nullable")]
    pub address: String,
    /// The datacenter it is in.
    #[serde(deserialize_with = "nullable")]
    pub datacenter: String,
    /// More addresses.
    #[serde(deserialize_with = "nullable")]
    pub tagged_addresses: BTreeMap<String, String>,
    /// Facts about the node.
    #[serde(deserialize_with = "nullable")]
    pub meta: BTreeMap<String, String>,
    /// The index of its creation.
    #[serde(deserialize_with = "nullable")]
    pub create_index: u64,
    /// The index of its last change.
    #[serde(deserialize_with = "nullable")]
    pub modify_index: u64,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        // Destructured, so that a new field must be decided on.
        let Self {
            id,
            node,
            address,
            datacenter,
            tagged_addresses,
            meta,
            ..
        } = self;
        (id, node, address) == (&other.id, &other.node, &other.address)
            && datacenter == &other.datacenter
            && tagged_addresses == &other.tagged_addresses
            && meta == &other.meta
    }
}

/// An instance as the health endpoints list it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Service {
    /// The kind of service mesh proxy; empty for ordinary services.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "nullable"
    )]
    pub kind: String,
    /// The instance's id, unique at its node.
    #[serde(rename = "ID", deserialize_with = "nullable")]
    pub id: String,
    /// The service's name.
    #[serde(deserialize_with = "nullable")]
    pub service: String,
    /// Tags.
    #[serde(deserialize_with = "nullable")]
    pub tags: Vec<String>,
    /// Name or IP address; empty means the node's address. See [`ServiceEntry::address`].
    #[serde(deserialize_with = "nullable")]
    pub address: String,
    /// More addresses.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "nullable"
    )]
    pub tagged_addresses: BTreeMap<String, TaggedAddress>,
    /// Facts about the instance.
    #[serde(deserialize_with = "nullable")]
    pub meta: BTreeMap<String, String>,
    /// Port; 0 means none. Not validated by Consul, see [`ServiceEntry::port`].
    #[serde(deserialize_with = "nullable")]
    pub port: i64,
    /// Weights.
    #[serde(deserialize_with = "nullable")]
    pub weights: Weights,
    /// Whether edits of the tags in the catalog are left alone by the agent.
    #[serde(deserialize_with = "nullable")]
    pub enable_tag_override: bool,
    /// Service mesh: the proxy's configuration, unread.
    #[serde(deserialize_with = "nullable")]
    pub proxy: Map<String, Value>,
    /// Service mesh: the connect block, unread.
    #[serde(deserialize_with = "nullable")]
    pub connect: Map<String, Value>,
    /// The index of its creation.
    #[serde(deserialize_with = "nullable")]
    pub create_index: u64,
    /// The index of its last change.
    #[serde(deserialize_with = "nullable")]
    pub modify_index: u64,
}

impl PartialEq for Service {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            kind,
            id,
            service,
            tags,
            address,
            tagged_addresses,
            meta,
            port,
            weights,
            ..
        } = self;
        (kind, id, service, tags) == (&other.kind, &other.id, &other.service, &other.tags)
            && (address, port, weights) == (&other.address, &other.port, &other.weights)
            && tagged_addresses == &other.tagged_addresses
            && meta == &other.meta
            && self.enable_tag_override == other.enable_tag_override
            && self.proxy == other.proxy
            && self.connect == other.connect
    }
}

/// A check with its status, as the health endpoints and `/v1/agent/checks` list it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    /// The node's name.
    #[serde(deserialize_with = "nullable")]
    pub node: String,
    /// The check's id, unique at its node.
    #[serde(rename = "CheckID", deserialize_with = "nullable")]
    pub check_id: String,
    /// A name for people.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// Its status; a word nobody knows counts as critical.
    #[serde(deserialize_with = "Status::lenient")]
    pub status: Status,
    /// Notes for people; the reason, for a maintenance check.
    #[serde(deserialize_with = "nullable")]
    pub notes: String,
    /// What the last run printed.
    #[serde(deserialize_with = "nullable")]
    pub output: String,
    /// The instance it belongs to; empty for a check of the node.
    #[serde(rename = "ServiceID", deserialize_with = "nullable")]
    pub service_id: String,
    /// That instance's service.
    #[serde(deserialize_with = "nullable")]
    pub service_name: String,
    /// That instance's tags.
    #[serde(deserialize_with = "nullable")]
    pub service_tags: Vec<String>,
    /// `http`, `tcp`, `ttl`, `maintenance` …
    #[serde(rename = "Type", deserialize_with = "nullable")]
    pub kind: String,
    /// Time between two runs, as text; sent by Consul 1.10 and newer.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "duration_text"
    )]
    pub interval: Option<String>,
    /// The longest a run may take, as text; sent by Consul 1.10 and newer.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "duration_text"
    )]
    pub timeout: Option<String>,
    /// How it is run; `{}` for checks of an agent.
    #[serde(deserialize_with = "nullable")]
    pub definition: Map<String, Value>,
    /// The index of its creation.
    #[serde(deserialize_with = "nullable")]
    pub create_index: u64,
    /// The index of its last change.
    #[serde(deserialize_with = "nullable")]
    pub modify_index: u64,
}

impl HealthCheck {
    /// What takes part in equality.
    fn meaning(&self) -> (&str, &str, Status, &str, &str, &str) {
        (
            &self.node,
            &self.check_id,
            self.status,
            &self.service_id,
            &self.service_name,
            &self.kind,
        )
    }
}

impl PartialEq for HealthCheck {
    fn eq(&self, other: &Self) -> bool {
        self.meaning() == other.meaning()
    }
}

/// One instance with its node and the checks of both: an element of `/v1/health/service/<name>`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceEntry {
    /// Where it runs.
    #[serde(deserialize_with = "nullable")]
    pub node: Node,
    /// The instance.
    #[serde(deserialize_with = "nullable")]
    pub service: Service,
    /// The checks of its node, then its own.
    #[serde(deserialize_with = "nullable")]
    pub checks: Vec<HealthCheck>,
}

impl ServiceEntry {
    /// Where to connect to: the instance's address, else its node's. May be empty, or a host name.
    #[must_use]
    pub fn address(&self) -> &str {
        if self.service.address.is_empty() {
            &self.node.address
        } else {
            &self.service.address
        }
    }

    /// The port to connect to; `None` when it has none or an impossible one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        u16::try_from(self.service.port)
            .ok()
            .filter(|port| *port != 0)
    }

    /// The worst status among the checks; passing when there are none.
    #[must_use]
    pub fn status(&self) -> Status {
        self.checks
            .iter()
            .map(|check| check.status)
            .max()
            .unwrap_or(Status::Passing)
    }
}

impl PartialEq for ServiceEntry {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
            && self.service == other.service
            && same_in_any_order(&self.checks, &other.checks, |check| check.meaning())
    }
}

/// Whether two lists hold the same elements when both are ordered by `key`.
pub(crate) fn same_in_any_order<'a, T, K>(
    one: &'a [T],
    other: &'a [T],
    key: impl Fn(&'a T) -> K,
) -> bool
where
    T: PartialEq,
    K: Ord,
{
    if one.len() != other.len() {
        return false;
    }
    if one == other {
        return true;
    }
    let sorted = |list: &'a [T]| {
        let mut list: Vec<&T> = list.iter().collect();
        list.sort_by_key(|element| key(element));
        list
    };
    sorted(one) == sorted(other)
}
