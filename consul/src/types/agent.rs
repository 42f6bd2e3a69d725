//! What the agent says about itself and the instances registered with it.
//!
//! Only what turno uses or the embedded registry must answer; the rest of `/v1/agent/self` is skipped.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::decode::nullable;
use super::{TaggedAddress, Weights};

/// An instance as `/v1/agent/services` lists it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentService {
    /// The kind of service mesh proxy; empty for ordinary services.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "nullable"
    )]
    pub kind: String,
    /// The instance's id.
    #[serde(rename = "ID", deserialize_with = "nullable")]
    pub id: String,
    /// The service's name.
    #[serde(deserialize_with = "nullable")]
    pub service: String,
    /// Tags.
    #[serde(deserialize_with = "nullable")]
    pub tags: Vec<String>,
    /// Facts about the instance.
    #[serde(deserialize_with = "nullable")]
    pub meta: BTreeMap<String, String>,
    /// Port; 0 means none. Not validated by Consul.
    #[serde(deserialize_with = "nullable")]
    pub port: i64,
    /// Name or IP address; empty means the node's address.
    #[serde(deserialize_with = "nullable")]
    pub address: String,
    /// More addresses; the agent adds some of its own.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "nullable"
    )]
    pub tagged_addresses: BTreeMap<String, TaggedAddress>,
    /// Weights.
    #[serde(deserialize_with = "nullable")]
    pub weights: Weights,
    /// Whether edits of the tags in the catalog are left alone by the agent.
    #[serde(deserialize_with = "nullable")]
    pub enable_tag_override: bool,
    /// Service mesh: the proxy's configuration, unread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Value>,
    /// Service mesh: the connect block, unread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Value>,
    /// The datacenter; sent by Consul 1.10 and newer.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "nullable"
    )]
    pub datacenter: String,
}

/// The part of `/v1/agent/self` that clients use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentSelf {
    /// The agent's settings.
    #[serde(deserialize_with = "nullable")]
    pub config: AgentConfig,
    /// The agent as a member of the cluster.
    #[serde(deserialize_with = "nullable")]
    pub member: AgentMember,
}

/// `Config` of [`AgentSelf`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentConfig {
    /// The datacenter it is in.
    #[serde(deserialize_with = "nullable")]
    pub datacenter: String,
    /// The node's name.
    #[serde(deserialize_with = "nullable")]
    pub node_name: String,
    /// The node's id.
    #[serde(rename = "NodeID", deserialize_with = "nullable")]
    pub node_id: String,
    /// The commit it was built from.
    #[serde(deserialize_with = "nullable")]
    pub revision: String,
    /// Whether it is a server.
    #[serde(deserialize_with = "nullable")]
    pub server: bool,
    /// The version, e.g. `1.8.7`.
    #[serde(deserialize_with = "nullable")]
    pub version: String,
}

/// `Member` of [`AgentSelf`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentMember {
    /// The node's name.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// Its address.
    #[serde(deserialize_with = "nullable")]
    pub addr: String,
    /// Its gossip port.
    #[serde(deserialize_with = "nullable")]
    pub port: i64,
    /// What it says about itself.
    #[serde(deserialize_with = "nullable")]
    pub tags: BTreeMap<String, String>,
    /// 1 means alive.
    #[serde(deserialize_with = "nullable")]
    pub status: i64,
}
