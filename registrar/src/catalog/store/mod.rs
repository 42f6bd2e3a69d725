//! Writing single rows, with the rules of what moves which index and touches which topic (measured on Consul 1.8.7).
//! An identical write does nothing. It does not know who writes or why, nor what a request looks like.

mod checks;

use std::sync::Arc;

pub(super) use self::checks::Output;
use super::model::{Instance, Key, Node, Stored, fold};
use super::topic::{Change, Topic};
use super::undo::Before;
use super::{Catalog, InstanceRow, NodeRow, ServiceRow};

impl Catalog {
    /// Makes or changes a node. Changing its record touches every service it carries.
    pub(super) fn put_node(&mut self, change: &mut Change, node: Node) {
        let key = fold(&node.name);
        let old = self.nodes.get(&key).map(|row| row.node.clone());
        if old.as_ref().is_some_and(|old| old.value == node) {
            return;
        }
        if let Some(old) = &old {
            self.node_ids.remove(&old.id);
        }
        if !node.id.is_empty() {
            self.node_ids.insert(node.id.clone(), key.clone());
        }
        change.note(|| Before::Node(key.clone(), old.clone()));
        let stored = Arc::new(Stored {
            create_index: old.map_or(change.index, |old| old.create_index),
            modify_index: change.index,
            value: node,
        });
        match self.nodes.get_mut(&key) {
            Some(row) => row.node = stored,
            None => {
                self.nodes.insert(key.clone(), NodeRow::empty(stored));
            }
        }
        self.tables.nodes = change.index;
        self.revision += 1;
        change.touch(Topic::Nodes);
        change.touch(Topic::NodeServices(key.clone()));
        for service in self.services_on(&key) {
            self.touch_service(change, &service);
            change.touch(Topic::ServiceInstances(service));
        }
    }

    /// Removes a node with all it carries. Nothing happens if there is none.
    pub(super) fn remove_node(&mut self, change: &mut Change, key: &Key) {
        let Some(row) = self.nodes.get(key) else {
            return;
        };
        let ids: Vec<Key> = row.instances.keys().cloned().collect();
        let checks: Vec<Key> = row.checks.iter().map(|check| check.id.clone()).collect();
        for id in ids {
            self.remove_instance(change, key, &id);
        }
        for id in checks {
            self.remove_check(change, key, &id);
        }
        self.end_sessions_on(change, key);
        if let Some(row) = self.nodes.remove(key) {
            self.node_ids.remove(&row.node.id);
            change.note(|| Before::Node(key.clone(), Some(row.node)));
        }
        self.tables.nodes = change.index;
        self.revision += 1;
        change.touch(Topic::Nodes);
        change.touch(Topic::NodeServices(key.clone()));
    }

    /// Makes or changes an instance of a node that exists.
    pub(super) fn put_instance(&mut self, change: &mut Change, node: &Key, mut instance: Instance) {
        let Some(row) = self.nodes.get_mut(node) else {
            return;
        };
        let id = instance.id.clone();
        let old = row.instances.get(&id).map(|row| row.instance.clone());
        if old.as_ref().is_some_and(|old| old.value == instance) {
            return;
        }
        self.texts.share_instance(&mut instance);
        let stored = Arc::new(Stored {
            create_index: old.as_ref().map_or(change.index, |old| old.create_index),
            modify_index: change.index,
            value: instance,
        });
        match row.instances.get_mut(&id) {
            Some(row) => row.instance = stored.clone(),
            None => {
                let fresh = InstanceRow {
                    instance: stored.clone(),
                    checks: Vec::new(),
                };
                row.instances.insert(id.clone(), fresh);
            }
        }
        if let Some(old) = &old {
            let renamed = fold(&old.name) != fold(&stored.name);
            self.leave_service(change, node, old, renamed);
        }
        change.note_instance(node, &id, old.as_ref());
        self.join_service(node, &stored);
        self.touch_instance(change, node, &stored);
        let service = fold(&stored.name);
        self.touch_service(change, &service);
        change.touch(Topic::ServiceInstances(service));
    }

    /// Removes an instance with its checks. Nothing happens if there is none.
    pub(super) fn remove_instance(&mut self, change: &mut Change, node: &Key, id: &str) {
        let Some(row) = self.nodes.get(node).and_then(|row| row.instances.get(id)) else {
            return;
        };
        let instance = row.instance.clone();
        let checks: Vec<Key> = row.checks.iter().map(|check| check.id.clone()).collect();
        for check in checks {
            self.remove_check(change, node, &check);
        }
        if let Some(row) = self.nodes.get_mut(node) {
            row.instances.remove(id);
        }
        self.leave_service(change, node, &instance, true);
        change.note_instance(node, &instance.id, Some(&instance));
        self.touch_instance(change, node, &instance);
        // Consul moves the index of all checks here, even if the instance had none; nobody is woken by that.
        self.tables.checks = change.index;
    }

    fn touch_instance(&mut self, change: &mut Change, node: &Key, instance: &Instance) {
        self.tables.services = change.index;
        self.revision += 1;
        change.touch(Topic::Services);
        change.touch(Topic::NodeServices(node.clone()));
        self.note_moved(change, node, &instance.id);
        if *node == self.local {
            change.touch(Topic::AgentService(instance.id.clone()));
        }
    }

    fn note_moved(&self, change: &mut Change, node: &Key, service_id: &Key) {
        if !self.aliases.is_empty() {
            change.moved.insert((node.clone(), service_id.clone()));
        }
    }

    /// Moves a service's own index. Nothing happens if it has no instance.
    fn touch_service(&mut self, change: &mut Change, service: &Key) {
        if let Some(row) = self.services.get_mut(service) {
            let was = std::mem::replace(&mut row.index, change.index);
            change.note(|| Before::Service(service.clone(), was));
        }
        change.touch(Topic::ServiceHealth(service.clone()));
    }

    pub(super) fn join_service(&mut self, node: &Key, instance: &Instance) {
        let row: &mut ServiceRow = self.services.entry(fold(&instance.name)).or_default();
        row.members.insert((node.clone(), instance.id.clone()));
        let count = row.names.entry(instance.name.clone()).or_default();
        count.instances += 1;
        for tag in instance.tags.iter() {
            *count.tags.entry(tag.clone()).or_default() += 1;
        }
    }

    /// Undoes `join_service` for the names and tags. With `gone`, the service loses a member; losing the last is its
    /// extinction.
    fn leave_service(&mut self, change: &mut Change, node: &Key, instance: &Instance, gone: bool) {
        let service = fold(&instance.name);
        let Some(row) = self.services.get(&service) else {
            return;
        };
        let index = row.index;
        if !gone {
            self.untag(&service, instance);
            return;
        }
        change.note(|| Before::Service(service.clone(), index));
        if self.uncount(node, instance) {
            self.tables.extinction = Some(change.index);
        }
        self.touch_service(change, &service);
        change.touch(Topic::ServiceInstances(service));
    }

    /// Undoes `join_service`; says whether that was the service's last member.
    pub(super) fn uncount(&mut self, node: &Key, instance: &Instance) -> bool {
        let service = fold(&instance.name);
        self.untag(&service, instance);
        let Some(row) = self.services.get_mut(&service) else {
            return false;
        };
        row.members.remove(&(node.clone(), instance.id.clone()));
        if !row.members.is_empty() {
            return false;
        }
        self.services.remove(&service);
        true
    }

    pub(super) fn untag(&mut self, service: &Key, instance: &Instance) {
        let Some(row) = self.services.get_mut(service) else {
            return;
        };
        let Some(count) = row.names.get_mut(&instance.name) else {
            return;
        };
        count.instances -= 1;
        for tag in instance.tags.iter() {
            if let Some(n) = count.tags.get_mut(tag) {
                *n -= 1;
                if *n == 0 {
                    count.tags.remove(tag);
                }
            }
        }
        if count.instances == 0 {
            row.names.remove(&instance.name);
        }
    }

    /// The services (folded names, each once) that a node carries instances of.
    fn services_on(&self, node: &str) -> Vec<Key> {
        let Some(row) = self.nodes.get(node) else {
            return Vec::new();
        };
        let mut names: Vec<Key> = row
            .instances
            .values()
            .map(|row| fold(&row.instance.name))
            .collect();
        names.sort();
        names.dedup();
        names
    }
}
