//! Going on after a restart: checks run again, sessions get their whole time once more, as they do from a new leader of
//! Consul's, and the index leaps, so that whoever waits with an index that was shown but not kept is answered.
//! It does not know where the catalog was in the meantime.

use std::time::Duration;

use super::model::{Key, Node, Status};
use super::topic::Effects;
use super::{Catalog, LocalNode};

/// How far the index leaps. More than what can have been shown to readers without being kept: one change for each
/// connection, and results of checks while the disk was full.
const LEAP: u64 = 1 << 20;

impl Catalog {
    /// Goes on at `now` as the node `local`, whose address and id may have changed since.
    ///
    /// TTL checks keep their deadlines: one that passed in the meantime expires with the next tick. How long a check
    /// has been critical is counted anew, since nobody looked.
    pub fn resume(&mut self, now: Duration, local: &LocalNode) -> Effects {
        let mut change = self.begin(now);
        change.index += LEAP;
        self.floor = change.index;
        let old = self.local_row().node.value.clone();
        if *old.address != *local.address || *old.id != *local.id {
            self.put_node(
                &mut change,
                Node {
                    tagged_addresses: Some(super::tagged(&local.address)),
                    id: local.id.as_str().into(),
                    address: local.address.as_str().into(),
                    ..old
                },
            );
        }
        let sessions: Vec<Key> = self.sessions.keys().cloned().collect();
        for id in sessions {
            self.set_session_end(now, &id);
        }
        let checks: Vec<Key> = self.agent_checks.keys().cloned().collect();
        for id in checks {
            let was_critical = self
                .agent_checks
                .get(&id)
                .is_some_and(|check| check.critical_since.is_some());
            self.mark_critical(now, &id, false);
            self.mark_critical(now, &id, was_critical);
            let status = self
                .check_row(&self.local, &id)
                .map_or(Status::Critical, |row| row.status.clone());
            if let Some(spec) = self.agent_checks.get(&id).and_then(|row| row.spec.clone()) {
                change.effects.start_check(*spec, status);
            }
        }
        let index = change.index;
        let effects = self.commit(change);
        self.index = index;
        self.revision += 1;
        effects
    }

    /// Whether the catalog is one that `new` could have begun, which whatever reads one from a file must ask.
    pub fn is_whole(&self) -> bool {
        self.nodes.contains_key(&self.local)
    }

    /// Lifts the index, for whoever replays commands that led further than they do now.
    pub fn index_at_least(&mut self, index: u64) {
        self.index = self.index.max(index);
    }
}
