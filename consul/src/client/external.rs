//! Writing to the catalog directly, and reading back what stands there of one node.

use std::collections::BTreeMap;

use super::{Client, segment};
use crate::error::Error;
use crate::query::{Answer, Query};
use crate::types::{CatalogDeregistration, CatalogNode, CatalogRegistration, HealthCheck, Node};

impl Client {
    /// Writes a node, an instance on it and checks to the catalog, as no agent will ever take them out again.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn catalog_register(&self, entry: &CatalogRegistration) -> Result<(), Error> {
        self.put(
            &["v1", "catalog", "register"],
            &self.in_datacenter(),
            Some(entry),
        )
        .await
    }

    /// Takes an entry out of the catalog. One that is not there is no error.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn catalog_deregister(&self, entry: &CatalogDeregistration) -> Result<(), Error> {
        self.put(
            &["v1", "catalog", "deregister"],
            &self.in_datacenter(),
            Some(entry),
        )
        .await
    }

    /// The nodes of the catalog; [`Query::node_meta`] picks among them.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn catalog_nodes(&self, query: &Query) -> Result<Answer<Vec<Node>>, Error> {
        let answer = self
            .ask::<Option<Vec<_>>>(&["v1", "catalog", "nodes"], query)
            .await?;
        Ok(answer.map(Option::unwrap_or_default))
    }

    /// A node with its instances, `None` when the catalog does not have it.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn catalog_node(&self, node: &str) -> Result<Option<CatalogNode>, Error> {
        Ok(self.find_node(node, &Query::default()).await?.value)
    }

    /// [`Client::catalog_node`] with an index to block on.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn find_node(
        &self,
        node: &str,
        query: &Query,
    ) -> Result<Answer<Option<CatalogNode>>, Error> {
        let node = segment("node name", node)?;
        self.ask(&["v1", "catalog", "node", node], query).await
    }

    /// The datacenters that are known, the nearest first. The answer has no index: it cannot be waited for.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn catalog_datacenters(&self) -> Result<Answer<Vec<String>>, Error> {
        let answer = self
            .ask::<Option<Vec<_>>>(&["v1", "catalog", "datacenters"], &Query::default())
            .await?;
        Ok(answer.map(Option::unwrap_or_default))
    }

    /// The checks of a node and of all instances on it, by id.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn health_node(&self, node: &str) -> Result<BTreeMap<String, HealthCheck>, Error> {
        let node = segment("node name", node)?;
        let answer = self
            .ask::<Option<Vec<HealthCheck>>>(&["v1", "health", "node", node], &Query::default())
            .await?;
        let checks = answer.value.unwrap_or_default();
        Ok(checks
            .into_iter()
            .map(|check| (check.check_id.clone(), check))
            .collect())
    }
}
