//! Who waits for what: a waiting query is one entry here and a sleeping task, and is gone when the query ends.
//! It knows topics, not what they mean, and holds no data.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::catalog::Topic;

/// All waiting queries.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    slots: Mutex<HashMap<Topic, Slot>>,
    waiting: AtomicUsize,
    woken: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    notify: Arc<Notify>,
    waiting: usize,
}

/// A place among the waiters of a topic. A wake that comes after it was taken is never missed.
#[derive(Debug)]
pub(super) struct Ticket {
    waiters: Arc<Waiters>,
    topic: Topic,
    woken: Option<OwnedNotified>,
}

impl Waiters {
    /// Takes a place. Take it before (or under the same lock as) looking at what is waited for.
    pub(super) fn wait_on(self: &Arc<Self>, topic: Topic) -> Ticket {
        let mut slots = self.slots();
        let slot = slots.entry(topic.clone()).or_default();
        slot.waiting += 1;
        let woken = Arc::clone(&slot.notify).notified_owned();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Ticket {
            waiters: Arc::clone(self),
            topic,
            woken: Some(woken),
        }
    }

    /// Wakes everybody who waits on any of the topics.
    pub(super) fn wake(&self, topics: &BTreeSet<Topic>) {
        if topics.is_empty() || self.waiting() == 0 {
            return;
        }
        let notifies: Vec<Arc<Notify>> = {
            let slots = self.slots();
            let all = topics.iter().cloned();
            let all = all.chain(topics.iter().flat_map(Topic::wider));
            all.filter_map(|topic| {
                let slot = slots.get(&topic)?;
                let waiting = slot.waiting as u64;
                self.woken.fetch_add(waiting, Ordering::Relaxed);
                Some(Arc::clone(&slot.notify))
            })
            .collect()
        };
        for notify in notifies {
            notify.notify_waiters();
        }
    }

    /// Wakes everybody.
    pub(super) fn wake_all(&self) {
        let notifies: Vec<Arc<Notify>> = {
            let slots = self.slots();
            let waiting = slots.values().map(|slot| slot.waiting as u64).sum();
            self.woken.fetch_add(waiting, Ordering::Relaxed);
            slots
                .values()
                .map(|slot| Arc::clone(&slot.notify))
                .collect()
        };
        for notify in notifies {
            notify.notify_waiters();
        }
    }

    /// How many queries are waiting now.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many waiting queries a change has woken so far.
    pub(super) fn woken(&self) -> u64 {
        self.woken.load(Ordering::Relaxed)
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Topic, Slot>> {
        // The map is whole between any two statements here, so a panic elsewhere cannot have torn it.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Returns once the topic was touched after the ticket was taken.
    pub(super) async fn woken(mut self) {
        if let Some(woken) = self.woken.take() {
            woken.await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.waiters.waiting.fetch_sub(1, Ordering::Relaxed);
        let mut slots = self.waiters.slots();
        if let Some(slot) = slots.get_mut(&self.topic) {
            slot.waiting -= 1;
            if slot.waiting == 0 {
                slots.remove(&self.topic);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wake_between_taking_the_place_and_waiting_is_not_missed() {
        let waiters = Arc::new(Waiters::default());
        let ticket = waiters.wait_on(Topic::Services);
        let other = waiters.wait_on(Topic::Nodes);
        waiters.wake(&[Topic::Services].into());
        ticket.woken().await;
        assert_eq!(waiters.waiting(), 1);
        drop(other);
        assert_eq!(waiters.waiting(), 0);
        assert!(waiters.slots().is_empty(), "nobody waits: no entry is left");
    }
}
