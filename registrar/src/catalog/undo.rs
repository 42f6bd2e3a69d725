//! Taking a transaction back: what each row was before the change, noted as the change goes, and put back newest first.
//! It costs as much as the change did, however large the catalog is. It does not know why a change is taken back.

use std::sync::Arc;
use std::time::Duration;

use super::agent::AgentCheck;
use super::clock::Deadline;
use super::kv::{Entry, TOMBSTONE_TIME};
use super::model::{Check, Instance, Key, Node, Shared, fold};
use super::prepared::Prepared;
use super::session::Live;
use super::topic::Change;
use super::{Catalog, InstanceRow, NodeRow};

/// What something was before a change; `None` where it was not there.
#[derive(Debug)]
pub(super) enum Before {
    Node(Key, Option<Shared<Node>>),
    /// Of a node, by id. Its checks are noted by themselves.
    Instance(Key, Key, Option<Shared<Instance>>),
    /// Of a node, by id.
    Check(Key, Key, Option<Shared<Check>>),
    /// A service's own index.
    Service(Key, u64),
    /// The agent's side of a check that was disarmed.
    Agent(Key, Box<AgentCheck>),
    /// A session that ended, with the keys it held.
    Session(Box<Live>),
    LockDelay(Key, Option<Duration>),
    Prepared(Shared<Prepared>),
    /// A key, and its tombstone.
    Key(Key, Option<Shared<Entry>>, Option<u64>),
}

impl Catalog {
    /// Takes back everything that a change did to rows. The tables' indexes are not rows.
    pub(super) fn take_back(&mut self, change: &mut Change) {
        let undo = change.undo.take().unwrap_or_default();
        for before in undo.into_iter().rev() {
            match before {
                Before::Node(key, was) => self.node_back(&key, was),
                Before::Instance(node, id, was) => self.instance_back(&node, &id, was),
                Before::Check(node, id, was) => self.check_back(&node, &id, was),
                Before::Service(service, index) => {
                    if let Some(row) = self.services.get_mut(&service) {
                        row.index = index;
                    }
                }
                Before::Agent(id, check) => self.agent_back(id, check),
                Before::Session(live) => self.session_back(*live),
                Before::LockDelay(key, was) => self.lock_delay_back(key, was),
                Before::Prepared(query) => {
                    self.prepared.insert(query.id.as_str().into(), query);
                }
                Before::Key(key, entry, tombstone) => {
                    self.key_back(change, &key, entry, tombstone);
                }
            }
        }
    }

    fn node_back(&mut self, key: &Key, was: Option<Shared<Node>>) {
        if let Some(row) = self.nodes.get(key) {
            self.node_ids.remove(&row.node.id);
        }
        let Some(node) = was else {
            self.nodes.remove(key);
            return;
        };
        if !node.id.is_empty() {
            self.node_ids.insert(node.id.clone(), key.clone());
        }
        match self.nodes.get_mut(key) {
            Some(row) => row.node = node,
            None => {
                self.nodes.insert(key.clone(), NodeRow::empty(node));
            }
        }
    }

    fn instance_back(&mut self, node: &Key, id: &Key, was: Option<Shared<Instance>>) {
        let Some(row) = self.nodes.get_mut(node) else {
            return;
        };
        let now = match (&was, row.instances.get_mut(id)) {
            (Some(was), Some(row)) => Some(std::mem::replace(&mut row.instance, was.clone())),
            (Some(was), None) => {
                let row_was = InstanceRow {
                    instance: was.clone(),
                    checks: Vec::new(),
                };
                row.instances.insert(id.clone(), row_was);
                None
            }
            (None, _) => row.instances.remove(id).map(|row| row.instance),
        };
        if let Some(now) = now {
            let service = fold(&now.name);
            // The last member may go and come back; the service's row must not.
            if was.as_ref().is_some_and(|was| fold(&was.name) == service) {
                self.untag(&service, &now);
            } else {
                self.uncount(node, &now);
            }
        }
        if let Some(was) = was {
            self.join_service(node, &was);
        }
    }

    fn check_back(&mut self, node: &Key, id: &Key, was: Option<Shared<Check>>) {
        if let Some(now) = self.check_row(node, id).cloned() {
            self.unlist_check(node, &now);
        }
        if let Some(was) = was {
            self.list_check(node, was);
        }
    }

    fn agent_back(&mut self, id: Key, check: Box<AgentCheck>) {
        if let Some(alias) = &check.alias {
            let key = self.alias_key(alias, &id);
            self.aliases.insert(key);
        }
        if let Some(at) = check.ttl.as_ref().and_then(|ttl| ttl.deadline) {
            self.deadlines.insert((at, Deadline::Ttl(id.clone())));
        }
        if let (Some(since), Some(after)) = (check.critical_since, check.deregister_after) {
            let at = since.saturating_add(after);
            self.deadlines.insert((at, Deadline::Reap(id.clone())));
        }
        self.agent_checks.insert(id, check);
    }

    fn session_back(&mut self, live: Live) {
        let session = &live.session;
        if let Some(at) = live.ends {
            let due = Deadline::Session(session.id.clone());
            self.deadlines.insert((at, due));
        }
        let node = fold(&session.node);
        for check in session.all_checks() {
            let bound = self
                .session_checks
                .entry((node.clone(), check))
                .or_default();
            bound.insert(session.id.clone());
        }
        self.sessions.insert(session.id.clone(), live);
    }

    fn lock_delay_back(&mut self, key: Key, was: Option<Duration>) {
        if let Some(until) = self.lock_delays.remove(&key)
            && was != Some(until)
        {
            self.deadlines
                .remove(&(until, Deadline::LockDelay(key.clone())));
        }
        if let Some(until) = was {
            self.lock_delays.insert(key, until);
        }
    }

    fn key_back(
        &mut self,
        change: &Change,
        key: &Key,
        entry: Option<Shared<Entry>>,
        tombstone: Option<u64>,
    ) {
        self.kv_replace(key, entry);
        match tombstone {
            Some(index) => self.tombstones.insert(key.clone(), index),
            None => self.tombstones.remove(key),
        };
        if tombstone != Some(change.index) {
            let at = change.now.saturating_add(TOMBSTONE_TIME);
            let due = Deadline::Tombstone(key.clone(), change.index);
            self.deadlines.remove(&(at, due));
        }
    }
}

impl NodeRow {
    /// A node that carries nothing yet.
    pub(super) fn empty(node: Shared<Node>) -> NodeRow {
        NodeRow {
            node,
            instances: Default::default(),
            checks: Vec::new(),
            owners: Default::default(),
        }
    }
}

impl Change {
    /// Notes what something was, if this change may be taken back.
    pub(super) fn note(&mut self, before: impl FnOnce() -> Before) {
        if let Some(undo) = &mut self.undo {
            undo.push(before());
        }
    }

    /// As [`Change::note`] for an instance.
    pub(super) fn note_instance(&mut self, node: &Key, id: &Key, was: Option<&Shared<Instance>>) {
        self.note(|| Before::Instance(node.clone(), id.clone(), was.map(Arc::clone)));
    }

    /// As [`Change::note`] for a check.
    pub(super) fn note_check(&mut self, node: &Key, id: &Key, was: Option<&Shared<Check>>) {
        self.note(|| Before::Check(node.clone(), id.clone(), was.map(Arc::clone)));
    }
}
