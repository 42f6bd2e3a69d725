//! Writing checks: whom they belong to, which sets name them, and whom a change of one wakes.

use std::sync::Arc;

use super::super::Catalog;
use super::super::model::{Check, Key, Shared, Status, Stored, fold};
use super::super::topic::{Change, Topic};

/// What a change of nothing but a check's output does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::catalog) enum Output {
    /// It is a change like any other (the catalog endpoints).
    Moves,
    /// It is stored and readable, but moves no index and wakes nobody (the agent's own checks).
    Silent,
}

impl Catalog {
    /// Makes or changes a check of a node that exists; its instance, if it names one, must exist too.
    pub(in crate::catalog) fn put_check(
        &mut self,
        change: &mut Change,
        node: &Key,
        mut check: Check,
        output: Output,
    ) {
        let old = self.check_row(node, &check.id).cloned();
        if let Some(old) = &old {
            if old.value == check {
                return;
            }
            if output == Output::Silent && old.same_but_output(&check) {
                self.texts.share_check(&mut check);
                let stored = Stored {
                    value: check,
                    ..**old
                };
                self.note_moved(change, node, &stored.service_id);
                change.note_check(node, &stored.id, Some(old));
                self.set_check_row(node, Arc::new(stored));
                self.revision += 1;
                return;
            }
            if old.service_id != check.service_id {
                self.touch_check(change, node, old);
            }
            self.unlink_check(change, node, old);
        }
        self.texts.share_check(&mut check);
        let stored = Arc::new(Stored {
            create_index: old.as_ref().map_or(change.index, |old| old.create_index),
            modify_index: change.index,
            value: check,
        });
        change.note_check(node, &stored.id, old.as_ref());
        self.list_check(node, stored.clone());
        self.touch_check(change, node, &stored);
        if stored.status == Status::Critical {
            self.end_sessions_of(change, &(node.clone(), stored.id.clone()));
        }
    }

    /// Removes a check. Nothing happens if there is none.
    pub(in crate::catalog) fn remove_check(&mut self, change: &mut Change, node: &Key, id: &str) {
        let Some(check) = self.check_row(node, id).cloned() else {
            return;
        };
        self.touch_check(change, node, &check);
        self.unlink_check(change, node, &check);
        change.note_check(node, &check.id, Some(&check));
        self.end_sessions_of(change, &(node.clone(), check.id.clone()));
        if check.service_id.is_empty() {
            // Consul moves the index of all services here; nobody is woken by that.
            self.tables.services = change.index;
        }
    }

    /// The check of that id on that node, whomever it belongs to.
    pub(in crate::catalog) fn check_row(&self, node: &str, id: &str) -> Option<&Shared<Check>> {
        let row = self.nodes.get(node)?;
        let owner = row.owners.get(id)?;
        let checks = match row.instances.get(owner) {
            Some(instance) => &instance.checks,
            None => &row.checks,
        };
        let at = checks.binary_search_by(|check| (*check.id).cmp(id)).ok()?;
        checks.get(at)
    }

    /// Stores the row in its owner's list, which must exist.
    fn set_check_row(&mut self, node: &Key, check: Shared<Check>) {
        let Some(row) = self.nodes.get_mut(node) else {
            return;
        };
        row.owners
            .insert(check.id.clone(), check.service_id.clone());
        let checks = match row.instances.get_mut(&check.service_id) {
            Some(instance) => &mut instance.checks,
            None => &mut row.checks,
        };
        match checks.binary_search_by(|other| other.id.cmp(&check.id)) {
            Ok(at) => checks[at] = check,
            Err(at) => checks.insert(at, check),
        }
    }

    /// Stores a check in its owner's list and in every set that names it.
    pub(in crate::catalog) fn list_check(&mut self, node: &Key, check: Shared<Check>) {
        let reference = (node.clone(), check.id.clone());
        self.states
            .entry(check.status.clone())
            .or_default()
            .insert(reference.clone());
        if !check.service_name.is_empty() {
            self.named_checks
                .entry(fold(&check.service_name))
                .or_default()
                .insert(reference);
        }
        self.set_check_row(node, check);
    }

    fn unlink_check(&mut self, change: &mut Change, node: &Key, check: &Stored<Check>) {
        change.touch(Topic::State(check.status.clone()));
        let service = fold(&check.service_name);
        if self.named_checks.contains_key(&service) {
            change.touch(Topic::ServiceChecks(service));
        }
        self.unlist_check(node, check);
    }

    /// Undoes `list_check`.
    pub(in crate::catalog) fn unlist_check(&mut self, node: &Key, check: &Stored<Check>) {
        let reference = (node.clone(), check.id.clone());
        if let Some(set) = self.states.get_mut(&check.status) {
            set.remove(&reference);
            if set.is_empty() {
                self.states.remove(&check.status);
            }
        }
        let service = fold(&check.service_name);
        if let Some(set) = self.named_checks.get_mut(&service) {
            set.remove(&reference);
            if set.is_empty() {
                self.named_checks.remove(&service);
            }
        }
        let Some(row) = self.nodes.get_mut(node) else {
            return;
        };
        row.owners.remove(&check.id);
        let checks = match row.instances.get_mut(&check.service_id) {
            Some(instance) => &mut instance.checks,
            None => &mut row.checks,
        };
        if let Ok(at) = checks.binary_search_by(|other| other.id.cmp(&check.id)) {
            checks.remove(at);
        }
    }

    fn touch_check(&mut self, change: &mut Change, node: &Key, check: &Check) {
        self.tables.checks = change.index;
        self.revision += 1;
        change.touch(Topic::AnyCheck);
        change.touch(Topic::NodeChecks(node.clone()));
        change.touch(Topic::State(check.status.clone()));
        self.note_moved(change, node, &check.service_id);
        if check.service_id.is_empty() {
            for service in self.services_on(node) {
                self.touch_service(change, &service);
            }
            return;
        }
        change.touch(Topic::AnyServiceCheck);
        change.touch(Topic::ServiceChecks(fold(&check.service_name)));
        let owner = self
            .nodes
            .get(node)
            .and_then(|row| row.instances.get(&check.service_id))
            .map(|row| fold(&row.instance.name));
        if let Some(service) = owner {
            self.touch_service(change, &service);
        }
    }
}
