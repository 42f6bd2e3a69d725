//! Putting a whole state in the place of another, as of now: deadlines keep their distance, checks run as they do there,
//! the index leaps beyond both, and whoever waits is woken. It does not know files.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::topic::Effects;
use super::{Catalog, CatalogError, Key, LocalNode};

/// A state, and the time it was taken at, by the clock of the registry it was taken from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    /// That time.
    pub at: Duration,
    /// The state.
    pub catalog: Catalog,
}

impl Catalog {
    /// Becomes what the snapshot says. Nothing of what was here stays.
    ///
    /// # Errors
    /// It was taken of another node or datacenter; nothing has changed then.
    pub fn restore(&mut self, now: Duration, snapshot: Snapshot) -> Result<Effects, CatalogError> {
        let Snapshot {
            at,
            catalog: mut next,
        } = snapshot;
        let (theirs, ours) = (next.local_node().clone(), self.local_node().clone());
        if next.local != self.local || next.datacenter != self.datacenter {
            return Err(CatalogError::Invalid(format!(
                "the snapshot is of the node {:?} of datacenter {:?}, and this is {:?} of {:?}; start the registry with \
                 --node and --datacenter as there",
                &*theirs.name, &*next.datacenter, &*ours.name, &*self.datacenter
            )));
        }
        let local = LocalNode {
            name: ours.name.to_string(),
            id: ours.id.to_string(),
            address: ours.address.to_string(),
            datacenter: self.datacenter.to_string(),
        };
        next.shift(at, now);
        next.index_at_least(self.index);
        // No reader may take what was written of the old state for the new one.
        next.revision = next.revision.max(self.revision) + 1;
        let run = |catalog: &Catalog| -> Vec<Key> {
            let checks = catalog.agent_checks.iter();
            let run = checks.filter(|(_, check)| check.spec.is_some());
            run.map(|(id, _)| id.clone()).collect()
        };
        let old = run(self);
        *self = next;
        let mut effects = self.resume(now, &local);
        // Those that go on are replaced by the start of the new ones.
        let starts = std::mem::take(&mut effects.start);
        effects.stop = old;
        effects.start = starts;
        effects.everything = true;
        Ok(effects)
    }

    /// Whether what is derived says the same as the rows it is derived from, and there is room to count on: a file can
    /// have its checksum and still not be one of ours.
    pub fn agrees(&self) -> bool {
        const MOST: u64 = u64::MAX / 2;
        let checks: usize = self.nodes.values().map(|row| row.owners.len()).sum();
        let listed = self.nodes.keys().map(|name| self.node_checks(name).len());
        let states = self.states.values().map(BTreeSet::len);
        let instances: usize = self.nodes.values().map(|row| row.instances.len()).sum();
        let members = self.services.values().map(|row| row.members.len());
        let names = self.services.values().flat_map(|row| row.names.values());
        let counted = names.fold(0_usize, |sum, name| sum.saturating_add(name.instances));
        let held = self.sessions.values().map(|live| live.keys.len());
        let locked = self.kv.values().filter(|entry| entry.session.is_some());
        let mut watched = self.agent_checks.keys();
        self.is_whole()
            && self.index < MOST
            && self.revision < MOST
            && checks == listed.sum::<usize>()
            && checks == states.sum::<usize>()
            && instances == members.sum::<usize>()
            && instances == counted
            && held.sum::<usize>() == locked.count()
            && watched.all(|id| self.check_row(&self.local, id).is_some())
    }

    /// Moves every moment from a clock that shows `from` to one that shows `to`.
    fn shift(&mut self, from: Duration, to: Duration) {
        let moved = |moment: Duration| match moment.checked_sub(from) {
            Some(ahead) => to.saturating_add(ahead),
            None => to.saturating_sub(from.saturating_sub(moment)),
        };
        let deadlines = std::mem::take(&mut self.deadlines);
        self.deadlines = deadlines
            .into_iter()
            .map(|(at, what)| (moved(at), what))
            .collect();
        for check in self.agent_checks.values_mut() {
            check.critical_since = check.critical_since.map(moved);
            if let Some(ttl) = &mut check.ttl {
                ttl.deadline = ttl.deadline.map(moved);
            }
        }
        for until in self.lock_delays.values_mut() {
            *until = moved(*until);
        }
        for live in self.sessions.values_mut() {
            live.ends = live.ends.map(moved);
        }
    }
}
