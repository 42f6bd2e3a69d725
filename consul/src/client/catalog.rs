//! The catalog's and health endpoints: what is registered anywhere, and how it is doing.

use std::collections::BTreeMap;

use super::{Client, segment};
use crate::error::Error;
use crate::query::{Answer, Query};
use crate::types::{HealthCheck, ServiceEntry};

impl Client {
    /// The names of all services, each with the tags any of its instances has, sorted.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn catalog_services(
        &self,
        query: &Query,
    ) -> Result<Answer<BTreeMap<String, Vec<String>>>, Error> {
        let answer = self
            .ask::<BTreeMap<String, Option<Vec<String>>>>(&["v1", "catalog", "services"], query);
        Ok(answer.await?.map(|services| {
            services
                .into_iter()
                .map(|(name, tags)| {
                    // Consul sends the tags in another order each time.
                    let mut tags = tags.unwrap_or_default();
                    tags.sort();
                    (name, tags)
                })
                .collect()
        }))
    }

    /// The instances of a service with their nodes and checks; none for a service nobody knows.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn health_service(
        &self,
        name: &str,
        query: &Query,
    ) -> Result<Answer<Vec<ServiceEntry>>, Error> {
        let name = segment("service name", name)?;
        Ok(self
            .ask::<Option<Vec<_>>>(&["v1", "health", "service", name], query)
            .await?
            .map(Option::unwrap_or_default))
    }

    /// The checks in a state: `any`, `passing`, `warning` or `critical`.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn health_state(
        &self,
        state: &str,
        query: &Query,
    ) -> Result<Answer<Vec<HealthCheck>>, Error> {
        let state = segment("check state", state)?;
        Ok(self
            .ask::<Option<Vec<_>>>(&["v1", "health", "state", state], query)
            .await?
            .map(Option::unwrap_or_default))
    }
}
