//! The JSON shapes of rows, exactly as Consul 1.8.7 gives them: which keys there are, what is `[]`, `{}` or `null`.
//! They borrow from rows that were taken out of the catalog; nothing is looked up or decided here.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value, json};

use crate::catalog::{Check, Health, Instance, Key, Node, OnNode, Pairs, Shared, Stored, Weights};

/// A list of texts.
pub(super) struct Texts<'a>(pub(super) &'a [Key]);

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|text| &**text))
    }
}

struct Addresses<'a>(&'a Pairs<(Key, i64)>);

impl Serialize for Addresses<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, (address, port))| {
            (
                name,
                Address {
                    address,
                    port: *port,
                },
            )
        }))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Address<'a> {
    address: &'a str,
    port: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WeightsView {
    passing: i64,
    warning: i64,
}

impl From<Weights> for WeightsView {
    fn from(weights: Weights) -> WeightsView {
        WeightsView {
            passing: weights.passing,
            warning: weights.warning,
        }
    }
}

/// A node as `catalog/nodes` and `health/service` show it.
pub(super) struct NodeView<'a>(pub(super) &'a Stored<Node>);

impl Serialize for NodeView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let node = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("ID", &*node.id)?;
        map.serialize_entry("Node", &*node.name)?;
        map.serialize_entry("Address", &*node.address)?;
        map.serialize_entry("Datacenter", &*node.datacenter)?;
        map.serialize_entry("TaggedAddresses", &node.tagged_addresses)?;
        map.serialize_entry("Meta", &node.meta)?;
        map.serialize_entry("CreateIndex", &node.create_index)?;
        map.serialize_entry("ModifyIndex", &node.modify_index)?;
        map.end()
    }
}

/// Consul's empty proxy block.
fn no_proxy() -> Value {
    json!({"MeshGateway": {}, "Expose": {}})
}

/// An instance as `health/service` and `catalog/node` show it.
pub(super) struct ServiceView<'a>(pub(super) &'a Stored<Instance>);

impl Serialize for ServiceView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = self.0;
        let mut map = serializer.serialize_map(None)?;
        if !row.kind.is_empty() {
            map.serialize_entry("Kind", &*row.kind)?;
        }
        map.serialize_entry("ID", &*row.id)?;
        map.serialize_entry("Service", &*row.name)?;
        map.serialize_entry("Tags", &Texts(&row.tags))?;
        map.serialize_entry("Address", &*row.address)?;
        if !row.tagged_addresses.is_empty() {
            map.serialize_entry("TaggedAddresses", &Addresses(&row.tagged_addresses))?;
        }
        map.serialize_entry("Meta", &row.meta)?;
        map.serialize_entry("Port", &row.port)?;
        map.serialize_entry("Weights", &WeightsView::from(row.weights))?;
        map.serialize_entry("EnableTagOverride", &row.enable_tag_override)?;
        match &row.proxy {
            Some(proxy) => map.serialize_entry("Proxy", &**proxy)?,
            None => map.serialize_entry("Proxy", &no_proxy())?,
        }
        match &row.connect {
            Some(connect) => map.serialize_entry("Connect", &**connect)?,
            None => map.serialize_entry("Connect", &json!({}))?,
        }
        map.serialize_entry("CreateIndex", &row.create_index)?;
        map.serialize_entry("ModifyIndex", &row.modify_index)?;
        map.end()
    }
}

/// An instance as the agent endpoints show it, there with the hash of its contents.
pub(super) struct AgentServiceView<'a> {
    pub(super) row: &'a Instance,
    pub(super) hash: Option<&'a str>,
}

impl Serialize for AgentServiceView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = self.row;
        let mut map = serializer.serialize_map(None)?;
        if !row.kind.is_empty() {
            map.serialize_entry("Kind", &*row.kind)?;
        }
        map.serialize_entry("ID", &*row.id)?;
        map.serialize_entry("Service", &*row.name)?;
        map.serialize_entry("Tags", &Texts(&row.tags))?;
        map.serialize_entry("Meta", &row.meta.clone().unwrap_or_default())?;
        map.serialize_entry("Port", &row.port)?;
        map.serialize_entry("Address", &*row.address)?;
        if !row.tagged_addresses.is_empty() {
            map.serialize_entry("TaggedAddresses", &Addresses(&row.tagged_addresses))?;
        }
        map.serialize_entry("Weights", &WeightsView::from(row.weights))?;
        map.serialize_entry("EnableTagOverride", &row.enable_tag_override)?;
        if let Some(proxy) = &row.proxy {
            map.serialize_entry("Proxy", &**proxy)?;
        }
        if let Some(connect) = &row.connect {
            map.serialize_entry("Connect", &**connect)?;
        }
        if let Some(hash) = self.hash {
            map.serialize_entry("ContentHash", hash)?;
        }
        map.end()
    }
}

/// An instance as `catalog/service` shows it.
pub(super) struct CatalogServiceView<'a>(pub(super) &'a OnNode<Instance>);

impl Serialize for CatalogServiceView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (node, row) = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("ID", &*node.id)?;
        map.serialize_entry("Node", &*node.name)?;
        map.serialize_entry("Address", &*node.address)?;
        map.serialize_entry("Datacenter", &*node.datacenter)?;
        map.serialize_entry("TaggedAddresses", &node.tagged_addresses)?;
        map.serialize_entry("NodeMeta", &node.meta)?;
        map.serialize_entry("ServiceKind", &*row.kind)?;
        map.serialize_entry("ServiceID", &*row.id)?;
        map.serialize_entry("ServiceName", &*row.name)?;
        map.serialize_entry("ServiceTags", &Texts(&row.tags))?;
        map.serialize_entry("ServiceAddress", &*row.address)?;
        if !row.tagged_addresses.is_empty() {
            map.serialize_entry("ServiceTaggedAddresses", &Addresses(&row.tagged_addresses))?;
        }
        map.serialize_entry("ServiceWeights", &WeightsView::from(row.weights))?;
        map.serialize_entry("ServiceMeta", &row.meta.clone().unwrap_or_default())?;
        map.serialize_entry("ServicePort", &row.port)?;
        map.serialize_entry("ServiceEnableTagOverride", &row.enable_tag_override)?;
        match &row.proxy {
            Some(proxy) => map.serialize_entry("ServiceProxy", &**proxy)?,
            None => map.serialize_entry("ServiceProxy", &no_proxy())?,
        }
        match &row.connect {
            Some(connect) => map.serialize_entry("ServiceConnect", &**connect)?,
            None => map.serialize_entry("ServiceConnect", &json!({}))?,
        }
        map.serialize_entry("CreateIndex", &row.create_index)?;
        map.serialize_entry("ModifyIndex", &row.modify_index)?;
        map.end()
    }
}

/// How much of a check is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckShape {
    /// As `health/…` shows it.
    Catalog,
    /// As `agent/checks` shows it: without indexes.
    Agent,
    /// As `agent/health/…` shows it: the old shape with every field of the definition.
    Old,
}

/// A check.
pub(super) struct CheckView<'a> {
    pub(super) node: &'a str,
    pub(super) row: &'a Stored<Check>,
    pub(super) shape: CheckShape,
}

impl Serialize for CheckView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = self.row;
        let catalog = self.shape == CheckShape::Catalog;
        let old = self.shape == CheckShape::Old;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("Node", self.node)?;
        map.serialize_entry("CheckID", &*row.id)?;
        map.serialize_entry("Name", &*row.name)?;
        map.serialize_entry("Status", row.status.as_str())?;
        map.serialize_entry("Notes", &*row.notes)?;
        map.serialize_entry("Output", &*row.output)?;
        map.serialize_entry("ServiceID", &*row.service_id)?;
        map.serialize_entry("ServiceName", &*row.service_name)?;
        if old && row.service_tags.is_empty() {
            map.serialize_entry("ServiceTags", &())?;
        } else {
            map.serialize_entry("ServiceTags", &Texts(&row.service_tags))?;
        }
        map.serialize_entry("Type", if old { "" } else { &*row.kind })?;
        match &row.definition {
            _ if old => map.serialize_entry("Definition", &old_definition())?,
            Some(definition) => map.serialize_entry("Definition", &**definition)?,
            None => map.serialize_entry("Definition", &json!({}))?,
        }
        let (create, modify) = (row.create_index, row.modify_index);
        map.serialize_entry("CreateIndex", &if catalog { create } else { 0 })?;
        map.serialize_entry("ModifyIndex", &if catalog { modify } else { 0 })?;
        map.end()
    }
}

fn old_definition() -> Value {
    json!({
        "Interval": "0s", "Timeout": "0s", "DeregisterCriticalServiceAfter": "0s", "HTTP": "", "Header": null,
        "Method": "", "Body": "", "TLSSkipVerify": false, "TCP": "",
    })
}

/// Checks with their nodes, as lists of checks are shown.
pub(super) struct Checks(pub(super) Vec<OnNode<Check>>);

impl Serialize for Checks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(node, row)| CheckView {
            node: &node.name,
            row,
            shape: CheckShape::Catalog,
        }))
    }
}

/// Instances with their nodes, as `catalog/service` shows them.
pub(super) struct CatalogServices(pub(super) Vec<OnNode<Instance>>);

impl Serialize for CatalogServices {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(CatalogServiceView))
    }
}

/// Nodes, as `catalog/nodes` shows them.
pub(super) struct Nodes(pub(super) Vec<Shared<Node>>);

impl Serialize for Nodes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|node| NodeView(node)))
    }
}

/// Instances with their health, as `health/service` shows them.
pub(super) struct Healths(pub(super) Vec<Health>);

impl Serialize for Healths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(HealthView))
    }
}

/// One instance with its health.
pub(super) struct HealthView<'a>(pub(super) &'a Health);

impl Serialize for HealthView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let health = self.0;
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("Node", &NodeView(&health.node))?;
        map.serialize_entry("Service", &ServiceView(&health.instance))?;
        map.serialize_entry("Checks", &OfNode(&health.node.name, &health.checks))?;
        map.end()
    }
}

/// Lists as transactions and prepared queries show them: `null` where there is nothing in them.
pub(super) fn null_lists(mut row: Value) -> Value {
    match &mut row {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                let list = matches!(key.as_str(), "Tags" | "ServiceTags" | "Checks");
                let empty = value.as_array().is_some_and(Vec::is_empty);
                *value = if list && empty {
                    Value::Null
                } else {
                    null_lists(value.take())
                };
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = null_lists(item.take());
            }
        }
        _ => {}
    }
    row
}

/// Checks that are all on one node.
pub(super) struct OfNode<'a>(pub(super) &'a str, pub(super) &'a [Shared<Check>]);

impl Serialize for OfNode<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.1.iter().map(|row| CheckView {
            node: self.0,
            row,
            shape: CheckShape::Catalog,
        }))
    }
}
