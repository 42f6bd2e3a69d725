//! What a program sends to register an instance with the agent.
//!
//! Reading is as forgiving about names as Consul's own server; judging the contents (is the name given,
//! is the check complete) is left to the registry that receives them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::CheckDefinition;
use super::decode::{Fields, clamped, nullable};

/// A text that is not shown: its debug form is masked. It is serialized as it is, for the wire.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}

/// How much of the traffic an instance takes, by its status.
///
/// On the wire: an absent object means 1 and 1, an absent number within it 0, as Consul has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Weights {
    /// While all checks pass; Consul allows 1 to 65535.
    #[serde(default, alias = "passing", deserialize_with = "clamped")]
    pub passing: u32,
    /// While the worst check is at warning; Consul allows 0 to 65535.
    #[serde(default, alias = "warning", deserialize_with = "clamped")]
    pub warning: u32,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            passing: 1,
            warning: 1,
        }
    }
}

/// One more address of an instance, under a key such as `lan` or `wan_ipv4`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TaggedAddress {
    /// Name or IP address.
    #[serde(default, alias = "address", deserialize_with = "nullable")]
    pub address: String,
    /// Port; not validated by Consul.
    #[serde(default, alias = "port", deserialize_with = "nullable")]
    pub port: i64,
}

/// The body of `PUT /v1/agent/service/register`.
///
/// On the wire there may be one `Check` and a list of `Checks`; here they are one list, in that order.
/// Read under any capitalization and with or without underscores.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceRegistration {
    /// The instance's id, unique at its agent; empty means the name.
    #[serde(rename = "ID", skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The service's name.
    pub name: String,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Name or IP address; empty means the node's address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// More addresses.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tagged_addresses: BTreeMap<String, TaggedAddress>,
    /// Facts about the instance.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<String, String>,
    /// Port; 0 means none. Not validated by Consul, therefore wide.
    #[serde(skip_serializing_if = "is_no_port")]
    pub port: i64,
    /// Whether edits of the tags in the catalog are left alone by the agent.
    #[serde(skip_serializing_if = "is_false")]
    pub enable_tag_override: bool,
    /// Weights; absent means 1 and 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// The instance's checks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckDefinition>,
    /// The kind of service mesh proxy; empty for ordinary services.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Service mesh: the proxy's configuration, passed on unread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Value>,
    /// Service mesh: the connect block, passed on unread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Value>,
    /// The ACL token the agent is to use for this instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// Names of fields that were given but that nobody here knows; never sent.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

impl ServiceRegistration {
    /// An instance of service `name`, reachable at `address` and `port`; give it an [`id`](Self::id)
    /// when there may be more than one at the agent.
    #[must_use]
    pub fn new(name: impl Into<String>, address: impl Into<String>, port: u16) -> Self {
        let (name, address) = (name.into(), address.into());
        Self {
            name,
            address,
            port: port.into(),
            ..Self::default()
        }
    }

    /// The id the agent files it under: the id given, else the name.
    #[must_use]
    pub fn effective_id(&self) -> &str {
        if self.id.is_empty() {
            &self.name
        } else {
            &self.id
        }
    }

    /// The ids the checks will have at the agent, in the order of [`Self::checks`].
    ///
    /// Consul's rule: a check without an id gets `service:<ID>` when it is the only one,
    /// else `service:<ID>:<n>`, counted from 1.
    #[must_use]
    pub fn check_ids(&self) -> Vec<String> {
        let id = self.effective_id();
        let only_one = self.checks.len() == 1;
        let made = |place: usize| {
            if only_one {
                format!("service:{id}")
            } else {
                format!("service:{id}:{}", place + 1)
            }
        };
        self.checks
            .iter()
            .enumerate()
            .map(|(place, check)| check.check_id.clone().unwrap_or_else(|| made(place)))
            .collect()
    }
}

impl<'de> Deserialize<'de> for ServiceRegistration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        let first: Option<CheckDefinition> = fields.take("check")?;
        let more: Vec<CheckDefinition> = fields.take("checks")?;
        Ok(Self {
            id: fields.take("id")?,
            name: fields.take("name")?,
            tags: fields.take("tags")?,
            address: fields.take("address")?,
            tagged_addresses: fields.take("taggedaddresses")?,
            meta: fields.take("meta")?,
            port: fields.take("port")?,
            enable_tag_override: fields.take("enabletagoverride")?,
            weights: fields.take("weights")?,
            checks: first.into_iter().chain(more).collect(),
            kind: fields.take("kind")?,
            proxy: fields.take("proxy")?,
            connect: fields.take("connect")?,
            token: fields
                .take::<Option<Secret>, _>("token")?
                .filter(|token| !token.0.is_empty()),
            unknown: fields.left(),
        })
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_no_port(value: &i64) -> bool {
    *value == 0
}
