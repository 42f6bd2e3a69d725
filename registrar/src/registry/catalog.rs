//! `/v1/catalog`: nodes and instances as stored, and storing them from outside.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::answer::{Answer, Failure};
use super::blocking::{Cached, query};
use super::request::Call;
use super::select::{Selection, near_first};
use super::state::State;
use super::view::{CatalogServiceView, NodeView, ServiceView, Texts};
use super::{agent, body, filtered};
use crate::catalog::{Command, Instance, Key, Node, Question, Shared};

type Result = std::result::Result<Answer, Failure>;

pub(super) async fn register(state: &State, call: &Call) -> Result {
    let write = body::registration(&call.body)?;
    state.change(call, Command::Write(Box::new(write))).await?;
    agent::answer(call, &true)
}

pub(super) async fn deregister(state: &State, call: &Call) -> Result {
    let removal = body::removal(&call.body)?;
    state.change(call, Command::Remove(removal)).await?;
    agent::answer(call, &true)
}

pub(super) fn datacenters(state: &State, call: &Call) -> Result {
    let answer = agent::answer(call, &[&state.local.datacenter])?;
    Ok(if call.has("cached") {
        answer.header("x-cache", "MISS")
    } else {
        answer
    })
}

pub(super) async fn nodes(state: &State, call: &Call) -> Result {
    let filter = filtered::Filter::of(call, filtered::Shape::Node)?;
    let selection = Selection::of(call)?;
    let near = state.local.name.as_str();
    query(state, call, Question::Nodes, Cached::No, |catalog| {
        let mut rows = catalog.nodes();
        rows.retain(|node| selection.takes_node(node) && filter.takes(&NodeView(node)));
        near_first(call, near, &mut rows, |node| &node.name);
        super::view::Nodes(rows)
    })
    .await
}

/// All services with their tags.
struct ServiceTags(BTreeMap<Key, Vec<Key>>);

impl Serialize for ServiceTags {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, tags)| (&**name, Texts(tags))))
    }
}

pub(super) async fn services(state: &State, call: &Call) -> Result {
    // Consul 1.8 ignores a filter here; newer ones, and clients such as Prometheus, take it to be about instances.
    let filter = filtered::Filter::of(call, filtered::Shape::CatalogService)?;
    let selection = Selection::of(call)?;
    query(state, call, Question::Services, Cached::Yes, |catalog| {
        ServiceTags(if selection.any_node() && filter.is_any() {
            catalog.service_tags()
        } else {
            catalog.service_tags_where(|row| {
                selection.takes_node(&row.0) && filter.takes(&CatalogServiceView(row))
            })
        })
    })
    .await
}

pub(super) async fn service(state: &State, call: &Call, connect: bool) -> Result {
    if call.rest.is_empty() {
        return Err(Failure::invalid("Missing service name"));
    }
    let filter = filtered::Filter::of(call, filtered::Shape::CatalogService)?;
    let selection = Selection::of(call)?;
    let near = state.local.name.as_str();
    let question = Question::ServiceInstances(call.rest.clone());
    query(state, call, question, Cached::Yes, |catalog| {
        let mut rows = catalog.instances_of(&call.rest);
        rows.retain(|row| {
            selection.takes_node(&row.0)
                && selection.takes_tags(&row.1.tags)
                && (!connect || row.1.connect.is_some())
                && filter.takes(&CatalogServiceView(row))
        });
        near_first(call, near, &mut rows, |row| &row.0.name);
        super::view::CatalogServices(rows)
    })
    .await
}

/// A node with its instances: by id in `catalog/node`, as a list in `catalog/node-services`.
struct NodeWithServices {
    found: Option<(Shared<Node>, Vec<Shared<Instance>>)>,
    list: bool,
    /// A list that a filter left nothing of is empty; one that was empty is none.
    filtered: bool,
}

impl Serialize for NodeWithServices {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Some((node, instances)) = &self.found else {
            if !self.list {
                return serializer.serialize_unit();
            }
            let mut map = serializer.serialize_map(Some(2))?;
            map.serialize_entry("Node", &())?;
            map.serialize_entry("Services", &())?;
            return map.end();
        };
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("Node", &NodeView(node))?;
        let views = instances.iter().map(|row| ServiceView(row));
        if self.list {
            let views: Vec<_> = views.collect();
            let views = (self.filtered || !views.is_empty()).then_some(views);
            map.serialize_entry("Services", &views)?;
        } else {
            let by_id: BTreeMap<&str, ServiceView<'_>> =
                views.map(|view| (&*view.0.id, view)).collect();
            map.serialize_entry("Services", &by_id)?;
        }
        map.end()
    }
}

pub(super) async fn node(state: &State, call: &Call, list: bool) -> Result {
    if call.rest.is_empty() {
        return Err(Failure::invalid("Missing node name"));
    }
    let filter = filtered::Filter::of(call, filtered::Shape::NodeService)?;
    let question = Question::Node(call.rest.clone());
    query(state, call, question, Cached::No, |catalog| {
        let mut found = catalog.node(&call.rest);
        if let Some((_, rows)) = &mut found {
            rows.retain(|row| filter.takes(&ServiceView(row)));
        }
        NodeWithServices {
            found,
            list,
            filtered: !filter.is_any(),
        }
    })
    .await
}
