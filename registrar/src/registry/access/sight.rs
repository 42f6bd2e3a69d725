//! The catalog as one asker sees it: every look at rows goes through here, and rows that the asker may not read are
//! left out, as Consul leaves them out. It decides nothing itself; the rights do.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::RwLockReadGuard;

use super::{Kind, Rights};
use crate::catalog::{
    Catalog, Check, Entry, Health, Instance, Key, Node, OnNode, Prepared, Question, Session,
    Shared, Watch,
};

/// The catalog, held for one look. Keep it only while taking rows out.
pub(in super::super) struct Sight<'a> {
    catalog: RwLockReadGuard<'a, Catalog>,
    rights: &'a Rights,
}

impl<'a> Sight<'a> {
    pub(in super::super) fn new(
        catalog: RwLockReadGuard<'a, Catalog>,
        rights: &'a Rights,
    ) -> Sight<'a> {
        Sight { catalog, rights }
    }

    pub(in super::super) fn rights(&self) -> &Rights {
        self.rights
    }

    pub(in super::super) fn revision(&self) -> u64 {
        self.catalog.revision()
    }

    pub(in super::super) fn datacenter(&self) -> &Key {
        self.catalog.datacenter()
    }

    pub(in super::super) fn watch(&self, question: &Question) -> Watch {
        self.catalog.watch(question)
    }

    fn sees(&self, node: &Node, instance: &Instance) -> bool {
        self.rights.read(Kind::Node, &node.name) && self.rights.read(Kind::Service, &instance.name)
    }

    pub(in super::super) fn nodes(&self) -> Vec<Shared<Node>> {
        let mut rows = self.catalog.nodes();
        if !self.rights.see_everything() {
            rows.retain(|node| self.rights.read(Kind::Node, &node.name));
        }
        rows
    }

    pub(in super::super) fn health_of(&self, service: &str) -> Vec<Health> {
        self.health_as(self.rights, service)
    }

    /// As another asker sees it: a prepared query may have a token of its own.
    pub(in super::super) fn health_as(&self, rights: &Rights, service: &str) -> Vec<Health> {
        let mut rows = self.catalog.health_of(service);
        if !rights.see_everything() {
            rows.retain(|row| {
                rights.read(Kind::Node, &row.node.name)
                    && rights.read(Kind::Service, &row.instance.name)
            });
        }
        rows
    }

    pub(in super::super) fn instances_of(&self, service: &str) -> Vec<OnNode<Instance>> {
        let mut rows = self.catalog.instances_of(service);
        if !self.rights.see_everything() {
            rows.retain(|(node, instance)| self.sees(node, instance));
        }
        rows
    }

    /// Who may read a service may see its name and tags, whatever nodes it is on.
    pub(in super::super) fn service_tags(&self) -> BTreeMap<Key, Vec<Key>> {
        let mut tags = self.catalog.service_tags();
        if !self.rights.see_everything() {
            tags.retain(|name, _| self.rights.read(Kind::Service, name));
        }
        tags
    }

    pub(in super::super) fn service_tags_where(
        &self,
        takes: impl Fn(&OnNode<Instance>) -> bool,
    ) -> BTreeMap<Key, Vec<Key>> {
        let sees = |row: &OnNode<Instance>| self.rights.read(Kind::Service, &row.1.name);
        self.catalog
            .service_tags_where(|row| sees(row) && takes(row))
    }

    pub(in super::super) fn node(
        &self,
        name: &str,
    ) -> Option<(Shared<Node>, Vec<Shared<Instance>>)> {
        let (node, mut instances) = self.catalog.node(name)?;
        if !self.rights.read(Kind::Node, &node.name) {
            return None;
        }
        instances.retain(|instance| self.rights.read(Kind::Service, &instance.name));
        Some((node, instances))
    }

    fn checks(&self, mut rows: Vec<OnNode<Check>>) -> Vec<OnNode<Check>> {
        if !self.rights.see_everything() {
            rows.retain(|(node, check)| self.rights.read_check(&node.name, check));
        }
        rows
    }

    pub(in super::super) fn node_checks(&self, name: &str) -> Vec<OnNode<Check>> {
        self.checks(self.catalog.node_checks(name))
    }

    pub(in super::super) fn service_checks(&self, service: &str) -> Vec<OnNode<Check>> {
        self.checks(self.catalog.service_checks(service))
    }

    pub(in super::super) fn checks_in_state(&self, word: &str) -> Vec<OnNode<Check>> {
        self.checks(self.catalog.checks_in_state(word))
    }

    /// What the agent has of its own is seen by who may read the service, whatever the node.
    pub(in super::super) fn agent_services(&self) -> Vec<Shared<Instance>> {
        let mut rows = self.catalog.agent_services();
        rows.retain(|row| self.rights.read(Kind::Service, &row.name));
        rows
    }

    pub(in super::super) fn agent_checks(&self) -> Vec<Shared<Check>> {
        let local = &self.catalog.local_node().name;
        let mut rows = self.catalog.agent_checks();
        rows.retain(|row| match row.service_name.is_empty() {
            true => self.rights.read(Kind::Node, local),
            false => self.rights.read(Kind::Service, &row.service_name),
        });
        rows
    }

    /// The checks of an instance whose service may be read.
    pub(in super::super) fn agent_checks_of(&self, service_id: &str) -> Vec<Shared<Check>> {
        self.catalog.agent_checks_of(service_id)
    }

    pub(in super::super) fn kv_get(&self, key: &str) -> Option<&Shared<Entry>> {
        let row = self.catalog.kv_get(key)?;
        self.rights.read(Kind::Key, &row.key).then_some(row)
    }

    pub(in super::super) fn kv_below<'b>(
        &'b self,
        prefix: &'b str,
    ) -> impl Iterator<Item = &'b Shared<Entry>> {
        let rows = self.catalog.kv_below(prefix);
        rows.filter(|row| self.rights.read(Kind::Key, &row.key))
    }

    pub(in super::super) fn session(
        &self,
        id: &str,
    ) -> Result<Option<&Shared<Session>>, crate::catalog::CatalogError> {
        let row = self.catalog.session(id)?;
        Ok(row.filter(|row| self.rights.read(Kind::Session, &row.node)))
    }

    pub(in super::super) fn sessions(&self, node: Option<&str>) -> Vec<Shared<Session>> {
        let mut rows = self.catalog.sessions(node);
        rows.retain(|row| self.rights.read(Kind::Session, &row.node));
        rows
    }

    /// A query without a name is shown by its id to those who may do everything.
    pub(in super::super) fn may_read_query(&self, query: &Prepared) -> bool {
        if query.name.is_empty() && query.template.is_empty() {
            return self.rights.is_everything();
        }
        self.rights.read(Kind::Query, &query.name)
    }

    pub(in super::super) fn prepared(&self) -> Vec<Shared<Prepared>> {
        let mut rows = self.catalog.prepared();
        rows.retain(|row| self.may_read_query(row));
        rows
    }

    /// The query of that id, seen or not: ask [`Sight::may_read_query`].
    pub(in super::super) fn prepared_of(&self, id: &str) -> Option<&Shared<Prepared>> {
        self.catalog.prepared_of(id)
    }

    /// Queries may be carried out by everybody: it is their rows that are not shown to everybody.
    pub(in super::super) fn prepared_find(&self, id_or_name: &str) -> Option<&Shared<Prepared>> {
        self.catalog.prepared_find(id_or_name)
    }

    pub(in super::super) fn node_at(&self, address: IpAddr) -> Option<Key> {
        let seen = |node: &Node| self.rights.read(Kind::Node, &node.name);
        let found = self.catalog.node_at(address, seen);
        found.map(|node| node.name.clone())
    }

    pub(in super::super) fn service_at(&self, address: IpAddr) -> Option<Key> {
        let seen = |node: &Node, instance: &Instance| {
            self.rights.read(Kind::Node, &node.name)
                && self.rights.read(Kind::Service, &instance.name)
        };
        let found = self.catalog.instance_at(address, seen);
        found.map(|instance| instance.name.clone())
    }

    /// An instance of the agent's own, as [`Sight::agent_services`] has them, or whether it is only hidden.
    pub(in super::super) fn agent_instance(&self, id: &str) -> Own<'_> {
        match self.catalog.agent_instance(id) {
            None => Own::Unknown,
            Some(row) if self.rights.read(Kind::Service, &row.name) => Own::Known(row),
            Some(_) => Own::Hidden,
        }
    }
}

/// One of the agent's own instances.
pub(in super::super) enum Own<'a> {
    Known(&'a crate::catalog::Stored<Instance>),
    /// There is one, which the asker may not read.
    Hidden,
    Unknown,
}
