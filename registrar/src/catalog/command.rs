//! Every change there is, as a value: what was asked, with all that was decided about it (ids, nothing random, no time).
//! Applying the same commands at the same times to the same catalog gives the same catalog, which is what lets a
//! registry write them down and do them again. It does not know whether anybody writes them down.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    Catalog, CatalogError, CheckDefinition, Effects, Faults, LocalNode, Operation, Prepared,
    Removal, ServiceDefinition, Session, Set, Shared, Shown, Snapshot, Status, Write,
};

/// A change of the catalog.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)] // each is the catalog's function of that name with its arguments
pub enum Command {
    RegisterService {
        definition: Box<ServiceDefinition>,
        replace_checks: bool,
    },
    RegisterCheck(Box<CheckDefinition>),
    DeregisterService(String),
    DeregisterCheck(String),
    ReportTtl {
        id: String,
        status: Status,
        output: String,
    },
    ReportRun {
        id: String,
        status: Status,
        output: String,
    },
    ServiceMaintenance {
        id: String,
        enable: bool,
        reason: String,
    },
    NodeMaintenance {
        enable: bool,
        reason: String,
    },
    Write(Box<Write>),
    Remove(Removal),
    KvSet {
        key: String,
        value: Bytes,
        flags: u64,
        how: HowToSet,
    },
    KvDelete {
        key: String,
        index: Option<u64>,
    },
    KvDeleteTree(String),
    SessionCreate(Box<Session>),
    SessionDestroy(String),
    SessionRenew(String),
    /// With `update`, only if there is a query of that id.
    PreparedSet {
        query: Box<Prepared>,
        update: bool,
    },
    PreparedDelete(String),
    Transact(Vec<Operation>),
    /// Everything is replaced.
    Restore(Box<Snapshot>),
    Tick,
    Resume(LocalNode),
}

/// [`Set`] with texts of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // as there
pub enum HowToSet {
    Plain,
    If(u64),
    Acquire(String),
    Release(String),
}

impl HowToSet {
    fn as_set(&self) -> Set<'_> {
        match self {
            HowToSet::Plain => Set::Plain,
            HowToSet::If(index) => Set::If(*index),
            HowToSet::Acquire(session) => Set::Acquire(session),
            HowToSet::Release(session) => Set::Release(session),
        }
    }
}

/// What a command came to, beyond its effects.
#[derive(Debug)]
pub enum Done {
    /// It was done.
    Plain,
    /// Whether its condition held.
    Held(bool),
    /// The session.
    Session(Shared<Session>),
    /// What a transaction shows, or what was wrong with it.
    Transaction(Result<Vec<Shown>, Faults>),
}

type Outcome = Result<(Done, Effects), CatalogError>;

impl Command {
    /// Whether doing it again changes something that no row shows: a timer starts anew.
    pub fn moves_time(&self) -> bool {
        matches!(
            self,
            Command::RegisterService { .. }
                | Command::RegisterCheck(_)
                | Command::ReportTtl { .. }
                | Command::SessionRenew(_)
                | Command::Restore(_)
                | Command::Tick
                | Command::Resume(_)
        )
    }
}

impl Catalog {
    /// Does a command at the time `now`.
    ///
    /// # Errors
    /// Those of the command; nothing has changed then.
    pub fn apply(&mut self, now: Duration, command: Command) -> Outcome {
        let effects = match command {
            Command::RegisterService {
                definition,
                replace_checks,
            } => self.register_service(now, *definition, replace_checks)?,
            Command::RegisterCheck(check) => self.register_check(now, *check)?,
            Command::DeregisterService(id) => self.deregister_service(now, &id),
            Command::DeregisterCheck(id) => self.deregister_check(now, &id),
            Command::ReportTtl { id, status, output } => {
                self.report_ttl(now, &id, status, &output)?
            }
            Command::ReportRun { id, status, output } => self.report_run(now, &id, status, &output),
            Command::ServiceMaintenance { id, enable, reason } => {
                self.service_maintenance(now, &id, enable, &reason)?
            }
            Command::NodeMaintenance { enable, reason } => {
                self.node_maintenance(now, enable, &reason)
            }
            Command::Write(write) => self.write(now, *write)?,
            Command::Remove(removal) => self.remove(now, &removal)?,
            Command::Restore(snapshot) => self.restore(now, *snapshot)?,
            Command::Tick => self.tick(now),
            Command::Resume(local) => self.resume(now, &local),
            other => return self.apply_to_keys(now, other),
        };
        Ok((Done::Plain, effects))
    }

    /// The commands on keys, sessions and queries.
    fn apply_to_keys(&mut self, now: Duration, command: Command) -> Outcome {
        let effects = match command {
            Command::KvSet {
                key,
                value,
                flags,
                how,
            } => {
                let (held, effects) = self.kv_set(now, &key, value, flags, how.as_set())?;
                return Ok((Done::Held(held), effects));
            }
            Command::KvDelete { key, index } => {
                let (held, effects) = self.kv_delete(now, &key, index);
                return Ok((Done::Held(held), effects));
            }
            Command::SessionRenew(id) => {
                let session = self.session_renew(now, &id)?;
                return Ok((Done::Session(session), Effects::default()));
            }
            Command::Transact(operations) => {
                return Ok(match self.transact(now, &operations) {
                    Ok((shown, effects)) => (Done::Transaction(Ok(shown)), effects),
                    Err(faults) => (Done::Transaction(Err(faults)), Effects::default()),
                });
            }
            Command::KvDeleteTree(prefix) => {
                let effects = self.kv_delete_tree(now, &prefix);
                return Ok((Done::Held(true), effects));
            }
            Command::SessionCreate(session) => self.session_create(now, *session)?,
            Command::SessionDestroy(id) => self.session_destroy(now, &id)?,
            Command::PreparedSet { query, update } => {
                if update && !self.prepared.contains_key(query.id.as_str()) {
                    return Err(no_query(&query.id));
                }
                self.prepared_set(now, *query)?
            }
            Command::PreparedDelete(id) => self
                .prepared_delete(now, &id)
                .ok_or_else(|| no_query(&id))?,
            // `apply` does all others itself.
            _ => Effects::default(),
        };
        Ok((Done::Plain, effects))
    }
}

fn no_query(id: &str) -> CatalogError {
    CatalogError::Failed(format!("Cannot modify non-existent prepared query: '{id}'"))
}
