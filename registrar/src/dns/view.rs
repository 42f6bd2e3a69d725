//! What DNS asks of the catalog.
//!
//! A seam, so that answers can be tested with a few made-up rows, and so that names of prepared queries can be answered
//! by whoever knows them.

use std::net::IpAddr;

use crate::catalog::{Catalog, Health, Key, Node, Shared};

/// The catalog as it was at one moment.
pub trait View {
    /// The datacenter everything is in.
    fn datacenter(&self) -> Key;

    /// A node by its name, whatever its case.
    fn node(&self, name: &str) -> Option<Shared<Node>>;

    /// Every instance of a service, whatever its case, healthy or not.
    fn service(&self, name: &str) -> Vec<Health>;

    /// The instances that the prepared query of this name (or id) gives, in its order, and for how many seconds the answer
    /// may be kept; `None` if there is no such query.
    fn prepared(&self, name: &str) -> Option<(Vec<Health>, u32)> {
        let _ = name;
        None
    }

    /// A node with this address.
    fn node_at(&self, address: IpAddr) -> Option<Key>;

    /// The service of an instance with this address.
    fn service_at(&self, address: IpAddr) -> Option<Key>;
}

impl View for Catalog {
    fn datacenter(&self) -> Key {
        Catalog::datacenter(self).clone()
    }

    fn node(&self, name: &str) -> Option<Shared<Node>> {
        Catalog::node(self, name).map(|(node, _)| node)
    }

    fn service(&self, name: &str) -> Vec<Health> {
        self.health_of(name)
    }

    fn node_at(&self, address: IpAddr) -> Option<Key> {
        Catalog::node_at(self, address, |_| true).map(|node| node.name.clone())
    }

    fn service_at(&self, address: IpAddr) -> Option<Key> {
        self.instance_at(address, |_, _| true)
            .map(|instance| instance.name.clone())
    }
}
