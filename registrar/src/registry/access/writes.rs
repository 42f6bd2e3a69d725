//! Which changes the rights allow: decided from the change and the catalog it would change, under the catalog's lock,
//! so that nothing moves in between. The texts are Consul's, measured.

use super::super::answer::Failure;
use super::{Kind, Rights};
use crate::catalog::{
    Catalog, Check, Command, Faults, Instance, Operation, Prepared, Removal, Shared, Write, fold,
};

type Result = std::result::Result<(), Failure>;

const DENIED: &str = "Permission denied";

fn denied<T>() -> std::result::Result<T, Failure> {
    Err(Failure::denied())
}

/// Whether the change may be made.
///
/// # Errors
/// 403, or 500 where Consul says instead that what would be changed is not there.
pub(in super::super) fn permit(rights: &Rights, catalog: &Catalog, command: &Command) -> Result {
    if rights.is_everything() {
        return Ok(());
    }
    let judge = Judge { rights, catalog };
    match command {
        Command::RegisterService { definition, .. } => {
            // Without a name it is refused anyway, in words that help.
            let instance = &definition.instance;
            if instance.name.is_empty() {
                return Ok(());
            }
            let checks = std::iter::once(&definition.check).chain(&definition.checks);
            let checks = checks.map(|check| check.id.as_str());
            judge.register_service(&instance.id, &instance.name, checks)
        }
        Command::RegisterCheck(check) => {
            let id = if check.id.is_empty() {
                &check.name
            } else {
                &check.id
            };
            judge.register_check(id, &check.service_id)
        }
        Command::DeregisterService(id) | Command::ServiceMaintenance { id, .. } => {
            judge.own_service(id)
        }
        Command::DeregisterCheck(id) | Command::ReportTtl { id, .. } => judge.own_check(id),
        Command::NodeMaintenance { .. } => judge.plain(rights.write(Kind::Node, judge.local())),
        Command::Write(write) => judge.write(write),
        Command::Remove(removal) => judge.remove(removal),
        Command::KvSet { key, .. } | Command::KvDelete { key, .. } => {
            judge.plain(rights.write(Kind::Key, key))
        }
        Command::KvDeleteTree(prefix) => judge.plain(rights.write_below(Kind::Key, prefix)),
        Command::SessionCreate(session) => judge.plain(rights.write(Kind::Session, &session.node)),
        Command::SessionDestroy(id) | Command::SessionRenew(id) => judge.session(id),
        Command::PreparedSet { query, .. } => judge.prepared(&query.id, Some(query)),
        Command::PreparedDelete(id) => judge.prepared(id, None),
        Command::Transact(operations) => {
            judge.plain(faults(rights, catalog, operations).is_empty())
        }
        // Only with a token for everything, which has been let through above.
        Command::Restore(_) => denied(),
        // The registry's own; nobody asks for them.
        Command::ReportRun { .. } | Command::Tick | Command::Resume(_) => denied(),
    }
}

/// What the rights do not allow of a transaction. Reading is allowed: what may not be seen is left out of the answer.
pub(in super::super) fn faults(
    rights: &Rights,
    catalog: &Catalog,
    operations: &[Operation],
) -> Faults {
    if rights.is_everything() {
        // Not even what a row that is not there yet would belong to has to be known.
        return Faults::new();
    }
    let judge = Judge { rights, catalog };
    let mut faults = Faults::new();
    for (at, operation) in operations.iter().enumerate() {
        if !judge.operation(operation) {
            faults.push((at, DENIED.to_owned()));
        }
    }
    faults
}

struct Judge<'a> {
    rights: &'a Rights,
    catalog: &'a Catalog,
}

impl Judge<'_> {
    fn local(&self) -> &str {
        &self.catalog.local_node().name
    }

    #[allow(clippy::unused_self)] // reads as a sentence with the others
    fn plain(&self, allowed: bool) -> Result {
        if allowed { Ok(()) } else { denied() }
    }

    fn node(&self, name: &str) -> bool {
        self.rights.write(Kind::Node, name)
    }

    fn service(&self, name: &str) -> bool {
        self.rights.write(Kind::Service, name)
    }

    fn need_service(&self, name: &str) -> Result {
        if self.service(name) {
            return Ok(());
        }
        Err(Failure::missing("service:write", name))
    }

    fn need_local_node(&self) -> Result {
        if self.node(self.local()) {
            return Ok(());
        }
        Err(Failure::missing("node:write", self.local()))
    }

    /// Instances on a node with an id that is this one but for its case: the catalog has room for one of them.
    fn instances(&self, node: &str, id: &str) -> Vec<Shared<Instance>> {
        let id = fold(id);
        let on_node = self.catalog.node(node).map(|(_, instances)| instances);
        let mut instances = on_node.unwrap_or_default();
        instances.retain(|instance| fold(&instance.id) == id);
        instances
    }

    /// The check of that id on a node.
    fn check(&self, node: &str, id: &str) -> Option<Shared<Check>> {
        let checks = self.catalog.node_checks(node).into_iter();
        let mut checks = checks.map(|(_, check)| check);
        checks.find(|check| *check.id == *id)
    }

    /// Whether what belongs to this check may be written.
    fn owns(&self, node: &str, check: &Check) -> bool {
        if check.service_id.is_empty() {
            self.node(node)
        } else {
            self.service(&check.service_name)
        }
    }

    fn register_service<'b>(
        &self,
        id: &str,
        name: &str,
        checks: impl Iterator<Item = &'b str>,
    ) -> Result {
        self.need_service(name)?;
        let id = if id.is_empty() { name } else { id };
        for old in self.instances(self.local(), id) {
            if !self.service(&old.name) {
                return Err(Failure::missing("service:write", name));
            }
        }
        // Consul does not look at these: a check of another service could be taken over.
        for check in checks.filter(|id| !id.is_empty()) {
            let old = self.check(self.local(), check);
            if old.is_some_and(|old| !self.owns(self.local(), &old)) {
                return Err(Failure::missing("service:write", name));
            }
        }
        Ok(())
    }

    fn register_check(&self, id: &str, service_id: &str) -> Result {
        if id.is_empty() {
            return Ok(()); // refused anyway: a check needs a name
        }
        match self.catalog.agent_instance(service_id) {
            Some(instance) => self.need_service(&instance.name)?,
            None => self.need_local_node()?,
        }
        match self.check(self.local(), id) {
            Some(old) => self.need_owned(&old),
            None => Ok(()),
        }
    }

    fn need_owned(&self, check: &Check) -> Result {
        if check.service_id.is_empty() {
            self.need_local_node()
        } else {
            self.need_service(&check.service_name)
        }
    }

    fn own_service(&self, id: &str) -> Result {
        match self.catalog.agent_instance(id) {
            Some(instance) => self.need_service(&instance.name),
            None => Err(Failure::failed(format!("Unknown service {{{id:?} {{}}}}"))),
        }
    }

    fn own_check(&self, id: &str) -> Result {
        match self.check(self.local(), id) {
            Some(check) => self.need_owned(&check),
            None => Err(Failure::failed(format!("Unknown check {id:?}"))),
        }
    }

    /// What belongs to a node that stays as it is needs no right on the node. A write of nothing else needs it, though
    /// it changes nothing; Consul answers `true` to everybody then.
    fn write(&self, write: &Write) -> Result {
        let name = write.service.as_ref().map(|service| &*service.0.name);
        if write.node.is_empty() || name.is_some_and(str::is_empty) {
            return Ok(()); // refused anyway
        }
        let alone = write.service.is_none() && write.checks.is_empty();
        if (alone || self.changes_node(write)) && !self.node(&write.node) {
            return denied();
        }
        if let Some(service) = &write.service {
            let id = if service.0.id.is_empty() {
                &service.0.name
            } else {
                &service.0.id
            };
            let old = self.instances(&write.node, id);
            let allowed = self.service(&service.0.name)
                && old.iter().all(|instance| self.service(&instance.name));
            self.plain(allowed)?;
        }
        for check in &write.checks {
            self.written_check(write, &check.check)?;
        }
        Ok(())
    }

    fn written_check(&self, write: &Write, check: &Check) -> Result {
        let id = if check.id.is_empty() {
            &check.name
        } else {
            &check.id
        };
        if let Some(old) = self.check(&write.node, id)
            && !self.owns(&write.node, &old)
        {
            return denied();
        }
        if check.service_id.is_empty() {
            return self.plain(self.node(&write.node));
        }
        let new = write.service.as_ref().map(|service| &service.0);
        if let Some(new) = new {
            let id = if new.id.is_empty() {
                &new.name
            } else {
                &new.id
            };
            if *id == check.service_id {
                return self.plain(self.service(&new.name));
            }
        }
        let instances = self.instances(&write.node, &check.service_id);
        if instances.is_empty() {
            return Err(Failure::failed(format!(
                "Unknown service ID '{}' for check ID '{id}'",
                check.service_id
            )));
        }
        self.plain(
            instances
                .iter()
                .all(|instance| self.service(&instance.name)),
        )
    }

    fn changes_node(&self, write: &Write) -> bool {
        let Some((node, _)) = self.catalog.node(&write.node) else {
            return true;
        };
        // The id may rename another node.
        let renames = !write.node_id.is_empty() && *node.id != *write.node_id;
        renames
            || (!write.skip_node_update
                && (*node.name != *write.node
                    || *node.id != *write.node_id
                    || *node.address != *write.address
                    || node.tagged_addresses != write.tagged_addresses
                    || node.meta != write.node_meta))
    }

    fn remove(&self, removal: &Removal) -> Result {
        if removal.node.is_empty() || self.node(&removal.node) {
            return Ok(());
        }
        if !removal.service_id.is_empty() {
            let instances = self.instances(&removal.node, &removal.service_id);
            if instances.is_empty() {
                let text = format!("Unknown service '{}'", removal.service_id);
                return Err(Failure::failed(text));
            }
            return self.plain(
                instances
                    .iter()
                    .all(|instance| self.service(&instance.name)),
            );
        }
        if !removal.check_id.is_empty() {
            let Some(check) = self.check(&removal.node, &removal.check_id) else {
                let text = format!("Unknown check '{}'", removal.check_id);
                return Err(Failure::failed(text));
            };
            return self.plain(self.owns(&removal.node, &check));
        }
        denied()
    }

    fn session(&self, id: &str) -> Result {
        // One that is not there, or an id that is none, gets the answer it gets from everybody.
        match self.catalog.session(id) {
            Ok(Some(session)) => self.plain(self.rights.write(Kind::Session, &session.node)),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// A query may be written by who may write both the name it has and the one it gets. One without a name is found
    /// by its id only; Consul lets everybody write those, here it takes a rule for all names.
    fn prepared(&self, id: &str, new: Option<&Prepared>) -> Result {
        let named = |name: &str| match name {
            "" => self.rights.write_below(Kind::Query, ""),
            name => self.rights.write(Kind::Query, name),
        };
        let old = self.catalog.prepared_of(id);
        let allowed = old.is_none_or(|query| named(&query.name))
            && new.is_none_or(|query| named(&query.name));
        self.plain(allowed)
    }

    fn operation(&self, operation: &Operation) -> bool {
        match operation {
            Operation::Key(op) => match op.verb.as_str() {
                "get" | "get-tree" => true,
                "delete-tree" => self.rights.write_below(Kind::Key, &op.key),
                "check-index" | "check-session" | "check-not-exists" => {
                    self.rights.read(Kind::Key, &op.key)
                }
                _ => self.rights.write(Kind::Key, &op.key),
            },
            _ if !operation.is_write() => true,
            Operation::Node(_, write, _) => self.node(&write.node),
            Operation::Service(_, write, instance, _) => {
                let id = if instance.id.is_empty() {
                    &instance.name
                } else {
                    &instance.id
                };
                let old = self.instances(&write.node, id);
                let named = !instance.name.is_empty() || !old.is_empty();
                named
                    && (instance.name.is_empty() || self.service(&instance.name))
                    && old.iter().all(|old| self.service(&old.name))
            }
            Operation::Check(_, write, check, _) => {
                let id = if check.id.is_empty() {
                    &check.name
                } else {
                    &check.id
                };
                let old = self.check(&write.node, id);
                old.is_none_or(|old| self.owns(&write.node, &old))
                    && self.written_check(write, check).is_ok()
            }
        }
    }
}
