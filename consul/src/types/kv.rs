//! Keys, sessions that hold them, and transactions over both and the catalog.
//!
//! Values are bytes here and base64 on the wire.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize};

use super::decode::nullable;

/// A key with its value, as `/v1/kv` sends it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct KvEntry {
    /// The key.
    #[serde(deserialize_with = "nullable")]
    pub key: String,
    /// The value; may be empty.
    #[serde(deserialize_with = "bytes")]
    pub value: Vec<u8>,
    /// A number the writer chose.
    #[serde(deserialize_with = "nullable")]
    pub flags: u64,
    /// How often a session has acquired it.
    #[serde(deserialize_with = "nullable")]
    pub lock_index: u64,
    /// The session that holds it; empty when none does.
    #[serde(deserialize_with = "nullable")]
    pub session: String,
    /// The index of its creation.
    #[serde(deserialize_with = "nullable")]
    pub create_index: u64,
    /// The index of its last change.
    #[serde(deserialize_with = "nullable")]
    pub modify_index: u64,
}

/// Under which condition a key is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KvPut {
    /// A number to keep with the value.
    pub flags: u64,
    /// Only if its modify index is this one; 0 means only if it does not exist.
    pub cas: Option<u64>,
    /// Only if no other session holds it, and then hold it by this session.
    pub acquire: Option<String>,
    /// Only if this session holds it, and then let go of it.
    pub release: Option<String>,
}

/// What a session should be: the body of `PUT /v1/session/create`.
///
/// No check of any node ends it; it lives as long as it is renewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SessionRequest {
    /// A name for people.
    pub name: String,
    /// From 10 s to 24 h, as text. Without renewal the session ends between one and two times this.
    #[serde(rename = "TTL")]
    pub ttl: String,
    /// After its end, keys it held cannot be acquired for so long, as text.
    pub lock_delay: String,
    /// What becomes of keys it holds when it ends.
    pub behavior: Behavior,
    /// Always empty: an absent list would mean the health of the agent that was asked.
    pub node_checks: [(); 0],
}

/// What becomes of a session's keys when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Behavior {
    /// They stay, held by none.
    Release,
    /// They are deleted.
    Delete,
}

/// One step of a transaction; all steps are carried out, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum TxnStep {
    /// Fails the transaction when the key exists.
    #[serde(rename = "KV")]
    KeyAbsent(KeyAbsent),
    /// Takes a node out of the catalog, with all its instances and checks.
    #[serde(rename = "Node")]
    DeleteNode(DeleteNode),
}

/// See [`TxnStep::key_absent`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyAbsent {
    verb: &'static str,
    key: String,
}

/// See [`TxnStep::delete_node`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteNode {
    verb: &'static str,
    node: NodeName,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct NodeName {
    node: String,
}

impl TxnStep {
    /// Fails the transaction when `key` exists.
    #[must_use]
    pub fn key_absent(key: impl Into<String>) -> Self {
        Self::KeyAbsent(KeyAbsent {
            verb: "check-not-exists",
            key: key.into(),
        })
    }

    /// Takes `node` out of the catalog.
    #[must_use]
    pub fn delete_node(node: impl Into<String>) -> Self {
        Self::DeleteNode(DeleteNode {
            verb: "delete",
            node: NodeName { node: node.into() },
        })
    }
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}
