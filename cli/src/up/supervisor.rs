//! Keeps as many replicas as are wished for.
//!
//! Only the newest wish counts. It starts and stops replicas; what a replica is and how it dies, the
//! replica knows.

use std::collections::BTreeMap;

use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::replica::{Recipe, Replica};

/// How many replicas there should be.
#[derive(Clone, Debug)]
pub(super) struct Desired(watch::Sender<usize>);

impl Desired {
    pub(super) fn new(count: usize) -> Self {
        Self(watch::Sender::new(count))
    }

    /// The newest wish.
    pub(super) fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Wishes for another number; returns the one before.
    pub(super) fn set(&self, count: usize) -> usize {
        self.0.send_replace(count)
    }
}

/// A replica's task, and how to stop it.
#[derive(Debug)]
struct Slot {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The replicas there are, by number, from 1 without gaps.
#[derive(Debug)]
pub(super) struct Supervisor {
    recipe: Recipe,
    desired: Desired,
    slots: BTreeMap<usize, Slot>,
    /// Those on their way out. The next replica of the same number waits for them.
    leaving: BTreeMap<usize, JoinHandle<()>>,
}

impl Supervisor {
    pub(super) fn new(recipe: Recipe, desired: Desired) -> Self {
        Self {
            recipe,
            desired,
            slots: BTreeMap::new(),
            leaving: BTreeMap::new(),
        }
    }

    /// Follows the wishes until `shutdown`, then stops all replicas and waits for their end.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let mut wishes = self.desired.0.subscribe();
        loop {
            let count = *wishes.borrow_and_update();
            self.adjust(count);
            tokio::select! {
                changed = wishes.changed() => changed.expect("we hold the sender"),
                () = shutdown.cancelled() => break,
            }
        }
        self.adjust(0);
        for (number, task) in self.leaving {
            if let Err(error) = task.await {
                error!(number, %error, "a replica's task failed");
            }
        }
    }

    fn adjust(&mut self, count: usize) {
        for number in self.slots.len() + 1..=count {
            let stop = CancellationToken::new();
            let before = self.leaving.remove(&number);
            let replica = Replica::new(number, self.recipe.clone());
            let life = replica.run(stop.clone());
            let task = tokio::spawn(async move {
                if let Some(before) = before {
                    // It has the same id: its deregistration must not undo our registration.
                    let _ = before.await;
                }
                life.await;
            });
            self.slots.insert(number, Slot { stop, task });
        }
        for (number, slot) in self.slots.split_off(&(count + 1)) {
            slot.stop.cancel();
            self.leaving.insert(number, slot.task);
        }
    }
}
