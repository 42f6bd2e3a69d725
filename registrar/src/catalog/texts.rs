//! Texts that many rows have in common (names of services, tags, keys of metadata, the empty text) are kept once.
//! It does not know which those are; what nobody has any more is forgotten when the set has doubled since it last looked.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use super::model::{Check, Instance, Key};

/// Below this many it is not worth looking for what nobody has any more.
const SWEEP_LEAST: usize = 1024;
/// Longer texts, in bytes, are hardly the same twice, and would be kept until the next look after they are gone.
const SHARED_MOST: usize = 64;

/// The texts and the lists of tags in use.
#[derive(Debug, Default)]
pub(super) struct Texts {
    single: Singles,
    lists: Set<[Key]>,
}

#[derive(Debug, Default)]
struct Singles(Set<str>);

impl Singles {
    fn share(&mut self, text: &mut Key) {
        if text.len() <= SHARED_MOST {
            self.0.share(text);
        }
    }
}

#[derive(Debug)]
struct Set<T: ?Sized> {
    known: HashSet<Arc<T>>,
    sweep_at: usize,
}

impl<T: ?Sized> Default for Set<T> {
    fn default() -> Set<T> {
        Set {
            known: HashSet::new(),
            sweep_at: SWEEP_LEAST,
        }
    }
}

impl<T: ?Sized + Hash + Eq> Set<T> {
    /// Replaces a value by an equal one that is known, or makes it known.
    fn share(&mut self, value: &mut Arc<T>) {
        if let Some(known) = self.known.get(&**value) {
            *value = Arc::clone(known);
            return;
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.sweep_at = SWEEP_LEAST.max(2 * self.known.len());
        }
        self.known.insert(Arc::clone(value));
    }
}

impl Texts {
    /// Shares what an instance is likely to have in common with others.
    pub(super) fn share_instance(&mut self, row: &mut Instance) {
        let texts = &mut self.single;
        texts.share(&mut row.name);
        texts.share(&mut row.kind);
        if row.address.is_empty() {
            texts.share(&mut row.address);
        }
        let own = row.address.clone();
        row.tagged_addresses.share(|name, (address, _)| {
            texts.share(name);
            if *address == own {
                *address = own.clone();
            }
        });
        if let Some(meta) = &mut row.meta {
            meta.share(|name, value| {
                texts.share(name);
                texts.share(value);
            });
        }
        self.share_tags(&mut row.tags);
    }

    /// Shares what a check is likely to have in common with others.
    pub(super) fn share_check(&mut self, row: &mut Check) {
        let texts = &mut self.single;
        for text in [
            &mut row.name,
            &mut row.notes,
            &mut row.output,
            &mut row.service_name,
            &mut row.kind,
        ] {
            texts.share(text);
        }
        if row.service_id.is_empty() {
            texts.share(&mut row.service_id);
        }
        self.share_tags(&mut row.service_tags);
    }

    fn share_tags(&mut self, tags: &mut Arc<[Key]>) {
        if self.lists.known.contains(&**tags) {
            return self.lists.share(tags);
        }
        let mut own: Vec<Key> = tags.to_vec();
        for tag in &mut own {
            self.single.share(tag);
        }
        *tags = own.into();
        self.lists.share(tags);
    }
}

/// A copy of a catalog shares already, and its own texts count as in use only while it has them.
impl Clone for Texts {
    fn clone(&self) -> Texts {
        Texts::default()
    }
}

/// What is shared is not what a catalog says.
#[cfg(test)]
impl PartialEq for Texts {
    fn eq(&self, _: &Texts) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_become_one_and_unused_ones_go() {
        let mut set = Set::<str>::default();
        let (mut a, mut b): (Key, Key) = ("x".into(), "x".into());
        set.share(&mut a);
        set.share(&mut b);
        assert!(Arc::ptr_eq(&a, &b));
        for n in 0..10 * SWEEP_LEAST {
            set.share(&mut n.to_string().into());
        }
        assert!(set.known.len() <= SWEEP_LEAST);
        assert!(set.known.contains("x"), "it is in use");
    }
}
