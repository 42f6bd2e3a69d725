//! Keys and values: set, compare-and-set, locks held by sessions, deletion with tombstones so that the index of a
//! prefix does not go back. The rules are Consul 1.8.7's, with its quirk that a plain set of a locked key forgets how
//! often it was locked. It does not know encodings or limits of requests.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::clock::Deadline;
use super::model::{Key, Shared, Stored};
use super::topic::{Change, Effects, Topic};
use super::undo::Before;
use super::{Catalog, CatalogError};

/// How long the index of a deleted key is remembered by name; after that one number stands for all that were forgotten.
pub(super) const TOMBSTONE_TIME: Duration = Duration::from_secs(15 * 60);

/// A value under a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The key, any text that is not empty.
    pub key: Key,
    /// The value, any bytes.
    pub value: Bytes,
    /// A number that means something to the writer.
    pub flags: u64,
    /// The session that holds the lock.
    pub session: Option<Key>,
    /// How often it was locked.
    pub lock_index: u64,
}

/// How a value is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set<'a> {
    /// In any case.
    Plain,
    /// If the modify index is still this; 0: if there is no such key.
    If(u64),
    /// If the session gets (or has) the lock.
    Acquire(&'a str),
    /// If the session holds the lock, which it then gives up.
    Release(&'a str),
}

impl Catalog {
    /// Sets a value; the answer is whether the condition held.
    ///
    /// # Errors
    /// There is no session of that id.
    pub fn kv_set(
        &mut self,
        now: Duration,
        key: &str,
        value: Bytes,
        flags: u64,
        how: Set<'_>,
    ) -> Result<(bool, Effects), CatalogError> {
        let mut change = self.begin(now);
        let done = self.kv_set_in(&mut change, key, value, flags, how, true)?;
        Ok((done, self.commit(change)))
    }

    /// As [`Catalog::kv_set`], within a change. A lock delay is minded only where `delays` says so.
    pub(super) fn kv_set_in(
        &mut self,
        change: &mut Change,
        key: &str,
        value: Bytes,
        flags: u64,
        how: Set<'_>,
        delays: bool,
    ) -> Result<bool, CatalogError> {
        let old = self.kv.get(key).cloned();
        let held = old.as_ref().and_then(|old| old.session.clone());
        let locked = old.as_ref().map_or(0, |old| old.lock_index);
        let modified = old.as_ref().map_or(0, |old| old.modify_index);
        let (session, lock_index) = match how {
            Set::Plain => (held, 0),
            Set::If(index) if index != modified => return Ok(false),
            Set::If(_) => (held, 0),
            Set::Acquire(session) => {
                let session = self.session_id(session)?;
                if delays && self.is_delayed(change.now, key) {
                    return Ok(false);
                }
                match held {
                    Some(holder) if holder == session => (Some(session), locked),
                    Some(_) => return Ok(false),
                    None => (Some(session), locked + 1),
                }
            }
            Set::Release("") => return Err(CatalogError::Failed("missing session".into())),
            Set::Release(session) if held.as_deref() != Some(session) => return Ok(false),
            Set::Release(_) => (None, locked),
        };
        let entry = Entry {
            key: key.into(),
            value,
            flags,
            session,
            lock_index,
        };
        self.kv_write(change, entry);
        Ok(true)
    }

    /// Deletes a key; with `index`, only if that is still its modify index. A key that is not there is gone already.
    pub fn kv_delete(&mut self, now: Duration, key: &str, index: Option<u64>) -> (bool, Effects) {
        let mut change = self.begin(now);
        let done = self.kv_delete_in(&mut change, key, index);
        (done, self.commit(change))
    }

    pub(super) fn kv_delete_in(
        &mut self,
        change: &mut Change,
        key: &str,
        index: Option<u64>,
    ) -> bool {
        match (self.kv.get(key), index) {
            (None, _) => true,
            (Some(entry), Some(index)) if entry.modify_index != index => false,
            (Some(_), _) => {
                self.kv_remove(change, key);
                true
            }
        }
    }

    /// Deletes every key that begins with `prefix`.
    pub fn kv_delete_tree(&mut self, now: Duration, prefix: &str) -> Effects {
        let mut change = self.begin(now);
        self.kv_delete_tree_in(&mut change, prefix);
        self.commit(change)
    }

    pub(super) fn kv_delete_tree_in(&mut self, change: &mut Change, prefix: &str) {
        let keys: Vec<Key> = self
            .kv_below(prefix)
            .map(|entry| entry.key.clone())
            .collect();
        for key in keys {
            self.kv_remove(change, &key);
        }
    }

    /// One value.
    pub fn kv_get(&self, key: &str) -> Option<&Shared<Entry>> {
        self.kv.get(key)
    }

    /// Every value whose key begins with `prefix`, by key.
    pub fn kv_below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Shared<Entry>> {
        self.kv
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(_, entry)| entry)
    }

    /// The index of one key; of one that is not there, the table's.
    pub(super) fn kv_index(&self, key: &str) -> u64 {
        let table = self.tables.kv;
        self.kv.get(key).map_or(table, |entry| entry.modify_index)
    }

    /// The index of a prefix: the newest change or deletion below it.
    pub(super) fn kv_prefix_index(&self, prefix: &str) -> u64 {
        if prefix.is_empty() {
            return self.tables.kv;
        }
        let entries = self.kv_below(prefix).map(|entry| entry.modify_index);
        let gone = self
            .tombstones
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(_, index)| *index);
        match entries.chain(gone).max() {
            Some(index) => index.max(self.forgotten),
            None => self.tables.kv,
        }
    }

    pub(super) fn is_delayed(&self, now: Duration, key: &str) -> bool {
        self.lock_delays.get(key).is_some_and(|until| *until > now)
    }

    /// Stores an entry unless it is the same as before.
    pub(super) fn kv_write(&mut self, change: &mut Change, entry: Entry) {
        let old = self.kv.get(&entry.key).cloned();
        if old.as_ref().is_some_and(|old| old.value == entry) {
            return;
        }
        let stored = Arc::new(Stored {
            create_index: old.as_ref().map_or(change.index, |old| old.create_index),
            modify_index: change.index,
            value: entry,
        });
        let key = stored.key.clone();
        self.remember(change, &key);
        self.kv_replace(&key, Some(stored));
        self.touch_key(change, key);
    }

    fn kv_remove(&mut self, change: &mut Change, key: &str) {
        let key: Key = key.into();
        self.remember(change, &key);
        self.kv_replace(&key, None);
        self.tombstones.insert(key.clone(), change.index);
        self.deadlines.insert((
            change.now.saturating_add(TOMBSTONE_TIME),
            Deadline::Tombstone(key.clone(), change.index),
        ));
        self.touch_key(change, key);
    }

    /// Swaps an entry for another (or none), keeping track of which keys each session holds.
    pub(super) fn kv_replace(&mut self, key: &Key, entry: Option<Shared<Entry>>) {
        let holder = entry.as_ref().and_then(|entry| entry.session.clone());
        let old = match entry {
            Some(entry) => self.kv.insert(key.clone(), entry),
            None => self.kv.remove(key),
        };
        let left = old.and_then(|old| old.session.clone());
        if let Some(session) = left.and_then(|left| self.sessions.get_mut(&left)) {
            session.keys.remove(key);
        }
        if let Some(session) = holder.and_then(|holder| self.sessions.get_mut(&holder)) {
            session.keys.insert(key.clone());
        }
    }

    fn touch_key(&mut self, change: &mut Change, key: Key) {
        self.tables.kv = change.index;
        self.revision += 1;
        change.touch(Topic::Key(key));
    }

    fn remember(&self, change: &mut Change, key: &Key) {
        change.note(|| {
            let tombstone = self.tombstones.get(key).copied();
            Before::Key(key.clone(), self.kv.get(key).cloned(), tombstone)
        });
    }

    /// Forgets that a key was deleted at `index`, unless it was deleted again since.
    pub(super) fn bury(&mut self, key: &Key, index: u64) {
        if self.tombstones.get(key) == Some(&index) {
            self.tombstones.remove(key);
            self.forgotten = self.forgotten.max(index);
        }
    }
}
