//! What the catalog does by itself as time goes by: TTL checks that expire, instances that are removed for having been
//! critical too long. Deadlines are data; somebody outside sleeps until the next one and calls `tick`. It reads no clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Catalog;
use super::agent::AgentCheck;
use super::model::{Key, Status};
use super::topic::Effects;

/// Something that falls due. Holds the id of the check.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Deadline {
    /// A TTL check expires.
    Ttl(Key),
    /// An instance is removed for a check that stayed critical.
    Reap(Key),
    /// A session runs out.
    Session(Key),
    /// A key may be locked again.
    LockDelay(Key),
    /// The deletion of a key at an index need not be remembered by name any more.
    Tombstone(Key, u64),
}

impl Catalog {
    /// When `tick` next has something to do, if ever. It may be in the past.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Does everything that is due at `now`.
    ///
    /// Unlike Consul, an instance is removed exactly when its time is up: no least time of one minute, no sweep every
    /// thirty seconds.
    pub fn tick(&mut self, now: Duration) -> Effects {
        let mut change = self.begin(now);
        while let Some((at, _)) = self.deadlines.first() {
            if *at > now {
                break;
            }
            match self.deadlines.pop_first() {
                Some((_, Deadline::Ttl(id))) => {
                    let output = self.expire_ttl(&id);
                    self.set_status(&mut change, now, &id, Status::Critical, &output);
                }
                Some((_, Deadline::Reap(id))) => {
                    let local = self.local.clone();
                    let owner = self
                        .check_row(&local, &id)
                        .map(|row| row.service_id.clone());
                    if let Some(service) = owner.filter(|service| !service.is_empty()) {
                        self.drop_service(&mut change, &service);
                    }
                }
                Some((_, Deadline::Session(id))) => self.end_session(&mut change, &id),
                Some((_, Deadline::LockDelay(key))) => {
                    if self
                        .lock_delays
                        .get(&key)
                        .is_some_and(|until| *until <= now)
                    {
                        self.lock_delays.remove(&key);
                    }
                }
                Some((_, Deadline::Tombstone(key, index))) => self.bury(&key, index),
                None => break,
            }
        }
        self.commit(change)
    }

    /// Notes that a TTL check has run out; returns the output it gets.
    fn expire_ttl(&mut self, id: &Key) -> String {
        const EXPIRED: &str = "TTL expired";
        let ttl = self
            .agent_checks
            .get_mut(id)
            .and_then(|check| check.ttl.as_mut());
        let Some(ttl) = ttl else {
            return EXPIRED.to_owned();
        };
        ttl.deadline = None;
        if ttl.last_output.is_empty() {
            return EXPIRED.to_owned();
        }
        format!(
            "{EXPIRED} (last output before timeout follows): {}",
            ttl.last_output
        )
    }

    /// Moves a TTL check's deadline and notes the output it would be quoted with. Nothing happens to other checks.
    pub(super) fn set_ttl_deadline(&mut self, id: &Key, at: Option<Duration>, output: String) {
        let check = self.agent_checks.get_mut(id);
        let Some(ttl) = check.and_then(|check| check.ttl.as_mut()) else {
            return;
        };
        ttl.last_output = output;
        if let Some(old) = std::mem::replace(&mut ttl.deadline, at) {
            self.deadlines.remove(&(old, Deadline::Ttl(id.clone())));
        }
        if let Some(at) = at {
            self.deadlines.insert((at, Deadline::Ttl(id.clone())));
        }
    }

    /// Starts the clock of a check that was reported critical, or stops it.
    pub(super) fn mark_critical(&mut self, now: Duration, id: &Key, critical: bool) {
        let Some(check) = self.agent_checks.get_mut(id) else {
            return;
        };
        match (check.critical_since, critical) {
            (None, true) => {
                self.revision += 1;
                check.critical_since = Some(now);
                if let Some(after) = check.deregister_after {
                    let at = now.saturating_add(after);
                    self.deadlines.insert((at, Deadline::Reap(id.clone())));
                }
            }
            (Some(since), false) => {
                self.revision += 1;
                check.critical_since = None;
                if let Some(after) = check.deregister_after {
                    let at = since.saturating_add(after);
                    self.deadlines.remove(&(at, Deadline::Reap(id.clone())));
                }
            }
            _ => {}
        }
    }

    /// Takes a check's agent side out, with its deadlines.
    pub(super) fn forget_deadlines(&mut self, id: &Key) -> Option<Box<AgentCheck>> {
        let check = self.agent_checks.remove(id)?;
        if let Some(alias) = &check.alias {
            let key = self.alias_key(alias, id);
            self.aliases.remove(&key);
        }
        if let Some(at) = check.ttl.as_ref().and_then(|ttl| ttl.deadline) {
            self.deadlines.remove(&(at, Deadline::Ttl(id.clone())));
        }
        if let (Some(since), Some(after)) = (check.critical_since, check.deregister_after) {
            let at = since.saturating_add(after);
            self.deadlines.remove(&(at, Deadline::Reap(id.clone())));
        }
        Some(check)
    }
}
