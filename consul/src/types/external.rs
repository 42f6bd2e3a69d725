//! Entries of the catalog that no agent keeps: what is written there directly.
//!
//! Consul repairs nothing of this and runs no check of it; whoever writes it must take it out again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::decode::nullable;
use super::{HealthCheck, Node, Service};

/// The body of `PUT /v1/catalog/register`: a node, and perhaps one instance and checks on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CatalogRegistration {
    /// The node's name.
    pub node: String,
    /// The node's address.
    pub address: String,
    /// Facts about the node; they replace those it had.
    pub node_meta: BTreeMap<String, String>,
    /// An instance on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// Checks with their present status, of the node or of instances on it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<HealthCheck>,
}

/// The body of `PUT /v1/catalog/deregister`: one instance, one check, or the whole node when neither is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CatalogDeregistration {
    /// The node's name.
    pub node: String,
    /// The instance to take out, with its checks.
    #[serde(rename = "ServiceID", skip_serializing_if = "Option::is_none")]
    pub service_id: Option<String>,
    /// The check to take out.
    #[serde(rename = "CheckID", skip_serializing_if = "Option::is_none")]
    pub check_id: Option<String>,
}

/// A node with its instances, as `/v1/catalog/node/<name>` sends it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CatalogNode {
    /// The node.
    pub node: Node,
    /// Its instances by id.
    #[serde(deserialize_with = "nullable")]
    pub services: BTreeMap<String, Service>,
}
