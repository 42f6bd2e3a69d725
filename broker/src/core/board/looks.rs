//! How often the board looks at a service or a lane: a measure of its work that no busy machine disturbs.
//!
//! Only tests count; elsewhere it is nothing.

#[cfg(test)]
use std::cell::Cell;

/// A counter.
#[derive(Debug, Default)]
pub(super) struct Looks {
    #[cfg(test)]
    count: Cell<u64>,
}

impl Looks {
    /// One look more.
    #[inline]
    pub(super) fn note(&self) {
        #[cfg(test)]
        self.set(self.count() + 1);
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> u64 {
        self.count.get()
    }

    #[cfg(test)]
    pub(super) fn set(&self, count: u64) {
        self.count.set(count);
    }
}
