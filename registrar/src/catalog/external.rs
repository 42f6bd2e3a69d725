//! Writing as Consul's catalog endpoints do: any node, any instance, any check, only stored and never run.
//! Here a change of a check's output is a change like any other. The texts are Consul 1.8.7's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::model::{Check, Instance, Key, Node, Origin, Status, Stored, fold};
use super::store::Output;
use super::topic::{Change, Effects};
use super::{Catalog, CatalogError};

/// Length of a UUID's text.
const UUID_LENGTH: usize = 36;

/// A registration through the catalog endpoint.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Write {
    /// Name of the node; required.
    pub node: String,
    /// UUID of the node, or empty.
    pub node_id: String,
    /// Its address; required unless `skip_node_update`.
    pub address: String,
    /// Its other addresses.
    pub tagged_addresses: Option<BTreeMap<String, String>>,
    /// Free text pairs of the node.
    pub node_meta: Option<BTreeMap<String, String>>,
    /// The datacenter meant; empty or this one.
    pub datacenter: String,
    /// Leave the record of a node that is known as it is.
    pub skip_node_update: bool,
    /// An instance to store.
    pub service: Option<ExternalService>,
    /// Checks to store.
    pub checks: Vec<ExternalCheck>,
}

/// An instance in a [`Write`]; its id may be empty and then is its name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExternalService(pub Instance);

/// A check in a [`Write`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExternalCheck {
    /// The node it says it is on; empty or the one of the write.
    pub node: String,
    /// The check; its id may be empty and then is its name.
    pub check: Check,
}

/// A removal through the catalog endpoint: of a check, else of an instance, else of the whole node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Removal {
    /// Name of the node; required.
    pub node: String,
    /// The instance, or empty.
    pub service_id: String,
    /// The check, or empty.
    pub check_id: String,
    /// The datacenter meant; empty or this one.
    pub datacenter: String,
}

impl Catalog {
    /// Stores a node with an instance and checks, all under one index.
    ///
    /// # Errors
    /// In Consul's words, what is wrong with it; nothing has changed then.
    pub fn write(&mut self, now: Duration, write: Write) -> Result<Effects, CatalogError> {
        let mut change = self.begin(now);
        self.write_in(&mut change, write)?;
        Ok(self.commit(change))
    }

    /// As [`Catalog::write`], within a change.
    pub(super) fn write_in(
        &mut self,
        change: &mut Change,
        mut write: Write,
    ) -> Result<(), CatalogError> {
        self.vet(&mut write)?;
        let key = fold(&write.node);
        self.write_node(change, &key, &write)?;
        if let Some(ExternalService(instance)) = write.service {
            self.put_instance(change, &key, instance);
        }
        for ExternalCheck { mut check, .. } in write.checks {
            if let Some(row) = self
                .nodes
                .get(&key)
                .and_then(|row| row.instances.get(&check.service_id))
            {
                check.service_name = row.instance.name.clone();
                check.service_tags = row.instance.tags.clone();
            }
            self.put_check(change, &key, check, Output::Moves);
        }
        Ok(())
    }

    /// Removes what is named; naming something unknown is no error.
    ///
    /// The record of the local node itself is never removed: the registry would put it back at once.
    ///
    /// # Errors
    /// No node is named, or another datacenter.
    pub fn remove(&mut self, now: Duration, removal: &Removal) -> Result<Effects, CatalogError> {
        self.own_datacenter(&removal.datacenter)?;
        if removal.node.is_empty() {
            return Err(CatalogError::Failed("Must provide node".into()));
        }
        let mut change = self.begin(now);
        self.remove_in(&mut change, removal);
        Ok(self.commit(change))
    }

    /// As [`Catalog::remove`], within a change.
    pub(super) fn remove_in(&mut self, change: &mut Change, removal: &Removal) {
        let key = fold(&removal.node);
        if !removal.service_id.is_empty() {
            self.remove_service_of(change, &key, &removal.service_id);
        } else if !removal.check_id.is_empty() {
            if key == self.local {
                self.disarm(change, &removal.check_id);
            }
            self.remove_check(change, &key, &removal.check_id);
        } else if key != self.local {
            self.remove_node(change, &key);
        }
    }

    fn remove_service_of(&mut self, change: &mut Change, node: &Key, id: &str) {
        if *node == self.local {
            let checks: Vec<Key> = self
                .local_row()
                .instances
                .get(id)
                .into_iter()
                .flat_map(|row| row.checks.iter())
                .map(|check| check.id.clone())
                .collect();
            for check in checks {
                self.disarm(change, &check);
            }
        }
        self.remove_instance(change, node, id);
    }

    fn own_datacenter(&self, named: &str) -> Result<(), CatalogError> {
        if named.is_empty() || named == &*self.datacenter {
            return Ok(());
        }
        Err(CatalogError::Failed("No path to datacenter".into()))
    }

    /// Fills in what may be left out and refuses what cannot be stored.
    fn vet(&self, write: &mut Write) -> Result<(), CatalogError> {
        let failed = |text: &str| Err(CatalogError::Failed(text.to_owned()));
        self.own_datacenter(&write.datacenter)?;
        if write.node.is_empty() {
            return failed("Must provide node");
        }
        if write.address.is_empty() && !write.skip_node_update {
            return failed("Must provide address if SkipNodeUpdate is not set");
        }
        if !write.node_id.is_empty() && write.node_id.len() != UUID_LENGTH {
            return failed("Bad node ID: uuid string is wrong length");
        }
        if let Some(what) = bad_uuid(&write.node_id) {
            return Err(CatalogError::Failed(format!("Bad node ID: {what}")));
        }
        if let Some(ExternalService(instance)) = &mut write.service {
            if instance.name.is_empty() && !instance.id.is_empty() {
                return failed("Must provide service name with ID");
            }
            if instance.id.is_empty() {
                instance.id = instance.name.clone();
            }
        }
        let written = write.service.as_ref().map(|service| service.0.id.clone());
        let key = fold(&write.node);
        for ExternalCheck { node, check } in &mut write.checks {
            if check.id.is_empty() {
                check.id = check.name.clone();
            }
            if !node.is_empty() && fold(node) != key {
                return Err(CatalogError::Failed(format!(
                    "check node {node:?} does not match node {:?}",
                    write.node
                )));
            }
            let known = check.service_id.is_empty()
                || written.as_ref() == Some(&check.service_id)
                || self.has_instance(&key, &check.service_id);
            if !known {
                return Err(CatalogError::Failed(format!(
                    "failed inserting check: Missing service registration on node {:?}",
                    write.node
                )));
            }
            if check.status == Status::Other("".into()) {
                check.status = Status::Critical;
            }
        }
        Ok(())
    }

    fn has_instance(&self, node: &str, id: &str) -> bool {
        self.nodes
            .get(node)
            .is_some_and(|row| row.instances.contains_key(id))
    }

    fn write_node(
        &mut self,
        change: &mut Change,
        key: &Key,
        write: &Write,
    ) -> Result<(), CatalogError> {
        let known = self.nodes.get(key).map(|row| row.node.clone());
        if known.is_some() && write.skip_node_update {
            return Ok(());
        }
        let mut renamed = None;
        if let Some(old) = self.node_ids.get(write.node_id.as_str()).cloned() {
            if old != *key && old == self.local {
                return Err(CatalogError::Failed(format!(
                    "failed inserting node: Error while renaming Node ID: {:?}: Node name {} is reserved by node {}",
                    write.node_id, write.node, self.local
                )));
            }
            if old != *key {
                renamed = self.nodes.get(&old).map(|row| row.node.create_index);
                self.remove_node(change, &old);
            }
        }
        let node = Node {
            id: write.node_id.as_str().into(),
            name: write.node.as_str().into(),
            address: write.address.as_str().into(),
            datacenter: self.datacenter.clone(),
            tagged_addresses: write.tagged_addresses.clone(),
            meta: write.node_meta.clone(),
        };
        self.put_node(change, node);
        if let (Some(create_index), Some(row)) = (renamed, self.nodes.get_mut(key)) {
            // Under its new name it is as old as it was.
            row.node = Arc::new(Stored {
                create_index,
                ..(*row.node).clone()
            });
        }
        Ok(())
    }
}

/// What is wrong with the text of a UUID of the right length.
fn bad_uuid(text: &str) -> Option<String> {
    let dash = |at| matches!(at, 8 | 13 | 18 | 23);
    let mut bytes = text.bytes().enumerate();
    if bytes.any(|(at, byte)| dash(at) != (byte == b'-')) {
        return Some("uuid is improperly formatted".into());
    }
    let mut digits = text.chars().filter(|c| *c != '-');
    let odd = digits.find(|c| !c.is_ascii_hexdigit())?;
    Some(format!(
        "encoding/hex: invalid byte: U+{:04X} '{odd}'",
        u32::from(odd)
    ))
}

impl From<Instance> for ExternalService {
    fn from(mut instance: Instance) -> ExternalService {
        instance.origin = Origin::Catalog;
        ExternalService(instance)
    }
}
