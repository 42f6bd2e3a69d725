//! Sessions: who holds locks, for how long, and what ends them: their own end, their time, a check of theirs that turns
//! critical or goes, their node. What ends a session releases or deletes its keys under the same index.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::Deadline;
use super::kv::Entry;
use super::model::{Key, Shared, Status, Stored, fold};
use super::topic::{Change, Effects, Topic};
use super::undo::Before;
use super::{Catalog, CatalogError, CheckRef};

/// A session without renewal lives this many times its TTL, as in Consul.
const TTL_FACTOR: u32 = 2;
/// Length of a UUID's text.
const UUID_LENGTH: usize = 36;

/// What becomes of its keys when a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Behavior {
    /// They stay, unlocked.
    Release,
    /// They are deleted.
    Delete,
}

/// A session as somebody asked for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// A UUID, chosen by the caller.
    pub id: Key,
    /// For people.
    pub name: Key,
    /// The node it lives on.
    pub node: Key,
    /// How long its keys cannot be locked after its end.
    pub lock_delay: Duration,
    /// What becomes of its keys.
    pub behavior: Behavior,
    /// As written, with its length; `None` lives until it is ended.
    pub ttl: Option<(Key, Duration)>,
    /// Checks of the node it depends on.
    pub node_checks: Vec<Key>,
    /// Checks of services it depends on, by id and namespace; `None` where none were written.
    pub service_checks: Option<Vec<(Key, Key)>>,
    /// The old way to write checks.
    pub checks: Vec<Key>,
}

impl Session {
    pub(super) fn all_checks(&self) -> BTreeSet<Key> {
        let services = self.service_checks.iter().flatten().map(|(id, _)| id);
        let all = self.checks.iter().chain(&self.node_checks).chain(services);
        all.cloned().collect()
    }
}

/// A session as kept: with the keys it holds and when it ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(PartialEq))]
pub(super) struct Live {
    pub(super) session: Shared<Session>,
    pub(super) keys: BTreeSet<Key>,
    pub(super) ends: Option<Duration>,
}

fn bad_uuid() -> CatalogError {
    CatalogError::Failed("failed session lookup: index error: UUID must be 36 characters".into())
}

impl Catalog {
    /// Starts a session.
    ///
    /// # Errors
    /// In Consul's words: its node or one of its checks is not there, or a check is critical.
    pub fn session_create(
        &mut self,
        now: Duration,
        session: Session,
    ) -> Result<Effects, CatalogError> {
        let node = fold(&session.node);
        if !self.nodes.contains_key(&node) {
            return Err(CatalogError::Failed("Missing node registration".into()));
        }
        if self.sessions.contains_key(&session.id) {
            return Err(CatalogError::Failed(format!(
                "there is a session {:?} already",
                &*session.id
            )));
        }
        let checks = session.all_checks();
        for id in &checks {
            match self.check_row(&node, id) {
                None => {
                    return Err(CatalogError::Failed(format!(
                        "Missing check '{id}' registration"
                    )));
                }
                Some(check) if check.status == Status::Critical => {
                    return Err(CatalogError::Failed(format!(
                        "Check '{id}' is in critical state"
                    )));
                }
                Some(_) => {}
            }
        }
        let mut change = self.begin(now);
        for id in checks {
            let bound = self.session_checks.entry((node.clone(), id)).or_default();
            bound.insert(session.id.clone());
        }
        let id = session.id.clone();
        let live = Live {
            session: Arc::new(Stored {
                create_index: change.index,
                modify_index: change.index,
                value: session,
            }),
            keys: BTreeSet::new(),
            ends: None,
        };
        self.sessions.insert(id.clone(), live);
        self.set_session_end(now, &id);
        self.touch_session(&mut change, &id, &node);
        Ok(self.commit(change))
    }

    /// Ends a session; one that is not there has ended already.
    ///
    /// # Errors
    /// The id is no UUID.
    pub fn session_destroy(&mut self, now: Duration, id: &str) -> Result<Effects, CatalogError> {
        if id.len() != UUID_LENGTH {
            return Err(bad_uuid());
        }
        let mut change = self.begin(now);
        self.end_session(&mut change, id);
        Ok(self.commit(change))
    }

    /// Puts off the end of a session with a TTL.
    ///
    /// # Errors
    /// The id is no UUID, or there is no such session.
    pub fn session_renew(
        &mut self,
        now: Duration,
        id: &str,
    ) -> Result<Shared<Session>, CatalogError> {
        let found = self.session(id)?.cloned();
        let Some(session) = found else {
            return Err(CatalogError::NotFound(format!(
                "Session id '{id}' not found"
            )));
        };
        self.set_session_end(now, &session.id);
        Ok(session)
    }

    /// One session.
    ///
    /// # Errors
    /// The id is no UUID.
    pub fn session(&self, id: &str) -> Result<Option<&Shared<Session>>, CatalogError> {
        if id.len() != UUID_LENGTH {
            return Err(bad_uuid());
        }
        Ok(self.sessions.get(id).map(|live| &live.session))
    }

    /// All sessions, by id; of one node if it is named.
    pub fn sessions(&self, node: Option<&str>) -> Vec<Shared<Session>> {
        let node = node.map(fold);
        self.sessions
            .values()
            .map(|live| &live.session)
            .filter(|session| {
                node.as_ref()
                    .is_none_or(|node| fold(&session.node) == *node)
            })
            .cloned()
            .collect()
    }

    /// The session of that id, for taking a lock.
    pub(super) fn session_id(&self, id: &str) -> Result<Key, CatalogError> {
        if id.is_empty() {
            return Err(CatalogError::Failed("missing session".into()));
        }
        match self.session(id)? {
            Some(session) => Ok(session.id.clone()),
            None => Err(CatalogError::Failed(format!("invalid session {id:?}"))),
        }
    }

    pub(super) fn set_session_end(&mut self, now: Duration, id: &Key) {
        let Some(live) = self.sessions.get_mut(id) else {
            return;
        };
        if let Some(old) = live.ends.take() {
            self.deadlines.remove(&(old, Deadline::Session(id.clone())));
        }
        if let Some((_, ttl)) = &live.session.ttl {
            let at = now.saturating_add(ttl.saturating_mul(TTL_FACTOR));
            live.ends = Some(at);
            self.deadlines.insert((at, Deadline::Session(id.clone())));
        }
    }

    /// Ends a session: its keys are released or deleted, and cannot be locked for its lock delay.
    pub(super) fn end_session(&mut self, change: &mut Change, id: &str) {
        let Some(live) = self.sessions.remove(id) else {
            return;
        };
        let noted = change.undo.is_some().then(|| Box::new(live.clone()));
        let session = live.session;
        if let Some(at) = live.ends {
            self.deadlines
                .remove(&(at, Deadline::Session(session.id.clone())));
        }
        let node = fold(&session.node);
        for check in session.all_checks() {
            let reference = (node.clone(), check);
            if let Some(bound) = self.session_checks.get_mut(&reference) {
                bound.remove(&session.id);
                if bound.is_empty() {
                    self.session_checks.remove(&reference);
                }
            }
        }
        for key in live.keys {
            self.free_key(change, &session, &key);
        }
        self.end_prepared_of(change, &session.id);
        if let Some(live) = noted {
            change.note(|| Before::Session(live));
        }
        self.touch_session(change, &session.id, &node);
    }

    fn free_key(&mut self, change: &mut Change, session: &Session, key: &Key) {
        let Some(entry) = self.kv_get(key).map(|entry| entry.value.clone()) else {
            return;
        };
        if !session.lock_delay.is_zero() {
            let until = change.now.saturating_add(session.lock_delay);
            let was = self.lock_delays.insert(key.clone(), until);
            change.note(|| Before::LockDelay(key.clone(), was));
            self.deadlines
                .insert((until, Deadline::LockDelay(key.clone())));
        }
        match session.behavior {
            Behavior::Release => self.kv_write(
                change,
                Entry {
                    session: None,
                    ..entry
                },
            ),
            Behavior::Delete => {
                self.kv_delete_in(change, key, None);
            }
        }
    }

    /// Ends the sessions that depend on a check which turned critical or went.
    pub(super) fn end_sessions_of(&mut self, change: &mut Change, check: &CheckRef) {
        let bound = self.session_checks.get(check).cloned().unwrap_or_default();
        for id in bound {
            self.end_session(change, &id);
        }
    }

    /// Ends the sessions of a node that went.
    pub(super) fn end_sessions_on(&mut self, change: &mut Change, node: &Key) {
        for session in self.sessions(Some(node)) {
            self.end_session(change, &session.id);
        }
    }

    fn touch_session(&mut self, change: &mut Change, id: &Key, node: &Key) {
        self.tables.sessions = change.index;
        self.revision += 1;
        change.touch(Topic::Session(id.clone()));
        change.touch(Topic::NodeSessions(node.clone()));
        change.touch(Topic::Sessions);
    }
}
