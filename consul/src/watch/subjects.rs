//! What can be watched, and when two answers mean the same.

use std::collections::BTreeMap;
use std::time::Duration;

use super::pace::Pace;
use super::{Answering, Watch};
use crate::types::{CatalogNode, KvEntry, Node, ServiceEntry, same_in_any_order};
use crate::{Client, Error, Query};

/// The list of datacenters cannot be waited for, and hardly ever changes.
const DATACENTERS_INTERVAL: Duration = Duration::from_secs(15);

impl Watch<Vec<ServiceEntry>> {
    /// Watches the instances of service `name`. The query's `index` is ignored.
    #[must_use]
    pub fn health_service(client: Client, name: impl Into<String>, query: Query) -> Self {
        let name = name.into();
        let what = format!("health of service {name}");
        let ask = move |query: Query| -> Answering<Vec<ServiceEntry>> {
            let (client, name) = (client.clone(), name.clone());
            Box::pin(async move { client.health_service(&name, &query).await })
        };
        Self::new(what, query, Box::new(ask), |one, other| {
            // Lists sorted by distance (`near`) change their order without anything having changed.
            same_in_any_order(one, other, |entry| (&entry.node.node, &entry.service.id))
        })
    }
}

impl Watch<BTreeMap<String, Vec<String>>> {
    /// Watches the names of the services and their tags. The query's `index` is ignored.
    #[must_use]
    pub fn catalog_services(client: Client, query: Query) -> Self {
        let ask = move |query: Query| -> Answering<BTreeMap<String, Vec<String>>> {
            let client = client.clone();
            Box::pin(async move { client.catalog_services(&query).await })
        };
        let what = "list of services".to_owned();
        Self::new(what, query, Box::new(ask), PartialEq::eq)
    }
}

impl Watch<Vec<Node>> {
    /// Watches the nodes of the catalog. The query's `index` is ignored.
    #[must_use]
    pub fn catalog_nodes(client: Client, query: Query) -> Self {
        let ask = move |query: Query| -> Answering<Vec<Node>> {
            let client = client.clone();
            Box::pin(async move { client.catalog_nodes(&query).await })
        };
        let what = "list of nodes".to_owned();
        Self::new(what, query, Box::new(ask), |one, other| {
            same_in_any_order(one, other, |node| &node.node)
        })
    }
}

impl Watch<Option<CatalogNode>> {
    /// Watches a node with its instances; `None` while the catalog does not have it. The query's `index` is ignored.
    #[must_use]
    pub fn catalog_node(client: Client, node: impl Into<String>, query: Query) -> Self {
        let node = node.into();
        let what = format!("node {node}");
        let ask = move |query: Query| -> Answering<Option<CatalogNode>> {
            let (client, node) = (client.clone(), node.clone());
            Box::pin(async move { client.find_node(&node, &query).await })
        };
        Self::new(what, query, Box::new(ask), PartialEq::eq)
    }
}

impl Watch<Vec<String>> {
    /// Watches the list of datacenters, by asking again every 15 s.
    #[must_use]
    pub fn catalog_datacenters(client: Client) -> Self {
        let ask = move |_: Query| -> Answering<Vec<String>> {
            let client = client.clone();
            Box::pin(async move { client.catalog_datacenters().await })
        };
        let what = "list of datacenters".to_owned();
        let watch = Self::new(what, Query::default(), Box::new(ask), |one, other| {
            // They are sorted by distance.
            same_in_any_order(one, other, |name| name)
        });
        Self {
            pace: Pace::every(DATACENTERS_INTERVAL),
            ..watch
        }
    }
}

impl Watch<Option<KvEntry>> {
    /// Watches a key; `None` while it does not exist. The query's `index` is ignored.
    #[must_use]
    pub fn key(client: Client, key: impl Into<String>, query: Query) -> Self {
        let key = key.into();
        let what = format!("key {key}");
        let ask = move |query: Query| -> Answering<Option<KvEntry>> {
            let (client, key) = (client.clone(), key.clone());
            Box::pin(async move {
                let answer = client.kv_find(&key, &query).await?;
                believed(answer.value.is_none(), answer.index, &key)?;
                Ok(answer)
            })
        };
        Self::new(what, query, Box::new(ask), PartialEq::eq)
    }
}

impl Watch<Vec<KvEntry>> {
    /// Watches all keys that begin with `prefix`. The query's `index` is ignored.
    #[must_use]
    pub fn keys(client: Client, prefix: impl Into<String>, query: Query) -> Self {
        let prefix = prefix.into();
        let what = format!("keys below {prefix}");
        let ask = move |query: Query| -> Answering<Vec<KvEntry>> {
            let (client, prefix) = (client.clone(), prefix.clone());
            Box::pin(async move {
                let answer = client.kv_list(&prefix, &query).await?;
                believed(answer.value.is_empty(), answer.index, &prefix)?;
                Ok(answer)
            })
        };
        Self::new(what, query, Box::new(ask), PartialEq::eq)
    }
}

/// Consul's 404 for a key brings an index. One without comes from somebody else, who knows nothing about keys.
fn believed(absent: bool, index: u64, key: &str) -> Result<(), Error> {
    if absent && index == 0 {
        return Err(Error::Status {
            method: "GET".to_owned(),
            path: format!("/v1/kv/{key}"),
            code: 404,
            text: "without an index: is this address really Consul's?".to_owned(),
        });
    }
    Ok(())
}
