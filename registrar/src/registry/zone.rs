//! The registry as DNS sees it: the catalog, and the names of prepared queries.

use std::net::IpAddr;

use super::access::{Access, Sight};
use super::{duration, prepared};
use crate::catalog::{Health, Key, Node, Shared};
use crate::dns::View;

/// The catalog, held for one answer.
pub(super) struct Zone<'a> {
    pub(super) catalog: &'a Sight<'a>,
    pub(super) access: &'a Access,
    /// Name of the local node.
    pub(super) local: &'a str,
}

impl View for Zone<'_> {
    fn datacenter(&self) -> Key {
        self.catalog.datacenter().clone()
    }

    fn node(&self, name: &str) -> Option<Shared<Node>> {
        self.catalog.node(name).map(|(node, _)| node)
    }

    fn service(&self, name: &str) -> Vec<Health> {
        self.catalog.health_of(name)
    }

    fn prepared(&self, name: &str) -> Option<(Vec<Health>, u32)> {
        let found = prepared::carry_out(self.catalog, self.access, self.local, name);
        let (query, rows) = found.ok()??;
        let ttl = duration::parse(&query.ttl).unwrap_or_default() / 1_000_000_000;
        Some((rows, u32::try_from(ttl).unwrap_or_default()))
    }

    fn node_at(&self, address: IpAddr) -> Option<Key> {
        self.catalog.node_at(address)
    }

    fn service_at(&self, address: IpAddr) -> Option<Key> {
        self.catalog.service_at(address)
    }
}
