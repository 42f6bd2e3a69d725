//! Transactions: several operations on keys, nodes, instances and checks that all happen under one index, or none of
//! which happens. Every operation is tried, so that all that is wrong is said at once; then, if anything was, the
//! catalog is as it was before.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::external::{ExternalCheck, ExternalService, Removal, Write};
use super::kv::{Entry, Set};
use super::model::{Check, Instance, Key, Node, Shared, fold};
use super::topic::{Change, Effects};
use super::{Catalog, CatalogError};

/// One operation. Verbs are Consul's words; an unknown one is an error of its operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Operation {
    /// On a key.
    Key(KeyOperation),
    /// On a node's record; the index is for the conditional verbs.
    Node(String, Box<Write>, u64),
    /// On an instance of the node named by the write.
    Service(String, Box<Write>, Box<Instance>, u64),
    /// On a check of the node named by the write.
    Check(String, Box<Write>, Box<Check>, u64),
}

/// An operation on a key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct KeyOperation {
    /// What to do.
    pub verb: String,
    /// Which key, or prefix.
    pub key: String,
    /// What to set.
    pub value: Bytes,
    /// What to set.
    pub flags: u64,
    /// For the conditional verbs.
    pub index: u64,
    /// For the verbs about locks.
    pub session: String,
}

/// What an operation shows.
#[derive(Debug, Clone)]
pub enum Shown {
    /// A key; with its value only if it was read.
    Key(Shared<Entry>, bool),
    /// A node.
    Node(Shared<Node>),
    /// An instance.
    Service(Shared<Instance>),
    /// A check and the name of its node.
    Check(Key, Shared<Check>),
}

/// What is wrong with which operation, counted from 0.
pub type Faults = Vec<(usize, String)>;

/// What one operation came to.
type Outcome = Result<Vec<Shown>, String>;

impl Operation {
    /// Whether it can change anything. Of a verb that is not known Consul thinks so, except on keys.
    pub fn is_write(&self) -> bool {
        match self {
            Operation::Key(operation) => matches!(
                operation.verb.as_str(),
                "set" | "cas" | "lock" | "unlock" | "delete" | "delete-cas" | "delete-tree"
            ),
            Operation::Node(verb, ..)
            | Operation::Service(verb, ..)
            | Operation::Check(verb, ..) => verb != "get",
        }
    }
}

impl Catalog {
    /// Does all operations, or none.
    ///
    /// # Errors
    /// What is wrong with which operation; nothing has changed then.
    pub fn transact(
        &mut self,
        now: Duration,
        operations: &[Operation],
    ) -> Result<(Vec<Shown>, Effects), Faults> {
        let writes = operations.iter().any(Operation::is_write);
        let early = self.vet_operations(now, operations, writes);
        if !early.is_empty() {
            return Err(early);
        }
        let (tables, revision) = (self.tables, self.revision);
        let mut change = self.begin(now);
        change.undo = Some(Vec::new());
        let mut shown = Vec::new();
        let mut faults = Faults::new();
        for (at, operation) in operations.iter().enumerate() {
            match self.operate(&mut change, operation) {
                Ok(rows) => shown.extend(rows),
                Err(fault) => faults.push((at, fault)),
            }
        }
        if faults.is_empty() {
            return Ok((shown, self.commit(change)));
        }
        self.take_back(&mut change);
        self.tables = tables;
        self.revision = revision;
        Err(faults)
    }

    /// What Consul finds wrong before it tries anything.
    fn vet_operations(&self, now: Duration, operations: &[Operation], writes: bool) -> Faults {
        let fault = |operation: &Operation| match operation {
            Operation::Key(op) if op.key.is_empty() && op.verb != "delete-tree" => {
                Some("Must provide key".to_owned())
            }
            Operation::Key(op) if op.verb == "lock" && self.is_delayed(now, &op.key) => {
                Some(format!("failed to lock key {:?} due to lock delay", op.key))
            }
            Operation::Service(_, _, instance, _)
                if writes && instance.name.is_empty() && !instance.id.is_empty() =>
            {
                Some("Must provide service name with ID".to_owned())
            }
            _ => None,
        };
        let each = operations.iter().enumerate();
        each.filter_map(|(at, operation)| Some((at, fault(operation)?)))
            .collect()
    }

    fn operate(&mut self, change: &mut Change, operation: &Operation) -> Outcome {
        match operation {
            Operation::Key(operation) => self.operate_key(change, operation),
            Operation::Node(verb, write, index) => self.operate_node(change, verb, write, *index),
            Operation::Service(verb, write, instance, index) => {
                self.operate_service(change, verb, write, instance, *index)
            }
            Operation::Check(verb, write, check, index) => {
                self.operate_check(change, verb, write, check, *index)
            }
        }
    }

    fn operate_key(&mut self, change: &mut Change, op: &KeyOperation) -> Outcome {
        let key = op.key.as_str();
        let entry = self.kv_get(key).cloned();
        let how = match op.verb.as_str() {
            "set" => Set::Plain,
            "cas" => Set::If(op.index),
            "lock" => Set::Acquire(&op.session),
            "unlock" => Set::Release(&op.session),
            "get" => {
                let found = entry.ok_or_else(|| format!("key {key:?} doesn't exist"))?;
                return Ok(vec![Shown::Key(found, true)]);
            }
            "get-tree" => {
                return Ok(self
                    .kv_below(key)
                    .map(|row| Shown::Key(row.clone(), true))
                    .collect());
            }
            "check-session" | "check-index" | "check-not-exists" => return check_key(entry, op),
            "delete" | "delete-cas" => {
                let index = (op.verb == "delete-cas").then_some(op.index);
                if !self.kv_delete_in(change, key, index) {
                    return Err(format!("failed to delete key {key:?}, index is stale"));
                }
                return Ok(Vec::new());
            }
            "delete-tree" => {
                self.kv_delete_tree_in(change, key);
                return Ok(Vec::new());
            }
            verb => return Err(format!("unknown KV verb {verb:?}")),
        };
        let done = self.kv_set_in(change, key, op.value.clone(), op.flags, how, false);
        if done.map_err(|error| error.to_string())? {
            let row = self.kv_get(key).cloned();
            return Ok(row.map(|row| Shown::Key(row, false)).into_iter().collect());
        }
        Err(match how {
            Set::Acquire(_) => format!("failed to lock key {key:?}, lock is already held"),
            Set::Release(_) => {
                format!(
                    "failed to unlock key {key:?}, lock isn't held, or is held by another session"
                )
            }
            Set::Plain | Set::If(_) => format!("failed to set key {key:?}, index is stale"),
        })
    }

    fn operate_node(
        &mut self,
        change: &mut Change,
        verb: &str,
        write: &Write,
        index: u64,
    ) -> Outcome {
        let key = fold(&write.node);
        let name = &write.node;
        let found = |catalog: &Catalog| catalog.nodes.get(&key).map(|row| row.node.clone());
        let current = found(self);
        let stale = current.as_ref().map_or(0, |row| row.modify_index) != index;
        match verb {
            "get" => {
                let row = current.ok_or_else(|| format!("node {name:?} doesn't exist"))?;
                return Ok(vec![Shown::Node(row)]);
            }
            "cas" if stale => return Err(format!("failed to set node {name:?}, index is stale")),
            "delete-cas" if stale => {
                return Err(format!("failed to delete node {name:?}, index is stale"));
            }
            "set" | "cas" => self.write_in(change, write.clone()).map_err(text)?,
            "delete" | "delete-cas" => {
                self.remove_in(change, &removal(write, "", ""));
                return Ok(Vec::new());
            }
            verb => return Err(format!("unknown Node verb {verb:?}")),
        }
        Ok(found(self).map(Shown::Node).into_iter().collect())
    }

    fn operate_service(
        &mut self,
        change: &mut Change,
        verb: &str,
        write: &Write,
        instance: &Instance,
        index: u64,
    ) -> Outcome {
        let key = fold(&write.node);
        let id = if instance.id.is_empty() {
            &instance.name
        } else {
            &instance.id
        };
        let place = format!("service {:?} on node {:?}", &**id, write.node);
        let found = |catalog: &Catalog| {
            let row = catalog.nodes.get(&key)?.instances.get(id)?;
            Some(row.instance.clone())
        };
        let current = found(self);
        let stale = current.as_ref().map_or(0, |row| row.modify_index) != index;
        match verb {
            "get" => {
                let row = current.ok_or_else(|| format!("{place} doesn't exist"))?;
                return Ok(vec![Shown::Service(row)]);
            }
            "cas" if stale => return Err(format!("failed to set {place}, index is stale")),
            "delete-cas" if stale => {
                return Err(format!("failed to delete {place}, index is stale"));
            }
            "set" | "cas" => {
                self.known_node(&key)?;
                let write = Write {
                    service: Some(ExternalService(instance.clone())),
                    ..only_node(write)
                };
                self.write_in(change, write).map_err(text)?;
            }
            "delete" | "delete-cas" => {
                self.remove_in(change, &removal(write, id, ""));
                return Ok(Vec::new());
            }
            verb => return Err(format!("unknown Service verb {verb:?}")),
        }
        Ok(found(self).map(Shown::Service).into_iter().collect())
    }

    fn operate_check(
        &mut self,
        change: &mut Change,
        verb: &str,
        write: &Write,
        check: &Check,
        index: u64,
    ) -> Outcome {
        let key = fold(&write.node);
        let id = if check.id.is_empty() {
            &check.name
        } else {
            &check.id
        };
        let place = format!("check {:?} on node {:?}", &**id, write.node);
        let current = self.check_row(&key, id).cloned();
        let stale = current.as_ref().map_or(0, |row| row.modify_index) != index;
        match verb {
            "get" => {
                let row = current.ok_or_else(|| format!("{place} doesn't exist"))?;
                return Ok(vec![Shown::Check(write.node.as_str().into(), row)]);
            }
            "cas" if stale => return Err(format!("failed to set {place}, index is stale")),
            "delete-cas" if stale => {
                return Err(format!("failed to delete {place}, index is stale"));
            }
            "set" | "cas" => {
                self.known_node(&key)?;
                let check = ExternalCheck {
                    node: String::new(),
                    check: check.clone(),
                };
                let write = Write {
                    checks: vec![check],
                    ..only_node(write)
                };
                self.write_in(change, write).map_err(text)?;
            }
            "delete" | "delete-cas" => {
                self.remove_in(change, &removal(write, "", id));
                return Ok(Vec::new());
            }
            verb => return Err(format!("unknown Check verb {verb:?}")),
        }
        let row = self.check_row(&key, id).cloned();
        let node: Key = write.node.as_str().into();
        Ok(row.map(|row| Shown::Check(node, row)).into_iter().collect())
    }

    fn known_node(&self, key: &Key) -> Result<(), String> {
        if self.nodes.contains_key(key) {
            return Ok(());
        }
        Err("Missing node registration".to_owned())
    }
}

fn check_key(entry: Option<Shared<Entry>>, op: &KeyOperation) -> Outcome {
    let key = op.key.as_str();
    let what = match op.verb.as_str() {
        "check-not-exists" if entry.is_some() => return Err(format!("key {key:?} exists")),
        "check-not-exists" => return Ok(Vec::new()),
        "check-session" => "session",
        _ => "index",
    };
    let entry =
        entry.ok_or_else(|| format!("failed to check {what}, key {key:?} doesn't exist"))?;
    let session = entry.session.as_deref().unwrap_or_default();
    if what == "session" && session != op.session {
        return Err(format!(
            "failed session check for key {key:?}, current session {session:?} != {:?}",
            op.session
        ));
    }
    if what == "index" && entry.modify_index != op.index {
        return Err(format!(
            "failed index check for key {key:?}, current modify index {} != {}",
            entry.modify_index, op.index
        ));
    }
    Ok(vec![Shown::Key(entry, false)])
}

fn text(error: CatalogError) -> String {
    error.to_string()
}

/// A write to the same node that leaves its record alone.
fn only_node(write: &Write) -> Write {
    Write {
        node: write.node.clone(),
        skip_node_update: true,
        ..Write::default()
    }
}

fn removal(write: &Write, service_id: &str, check_id: &str) -> Removal {
    Removal {
        node: write.node.clone(),
        service_id: service_id.to_owned(),
        check_id: check_id.to_owned(),
        datacenter: String::new(),
    }
}
