//! What is known of each replica, for whoever wants to show it.
//!
//! Each replica's task writes its own row; readers see whole states. Nothing is decided here.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Where a replica is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// Its process runs, or is about to, and has not said where it listens.
    Starting,
    /// It listens, and is registered or about to be.
    Running,
    /// The registry has it.
    Registered,
    /// It died, and waits for its next start.
    Restarting,
    /// It is on its way out.
    Stopping,
}

/// One replica as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplicaView {
    /// Its instance id, which a restart keeps.
    pub(crate) id: String,
    /// Where it listens; a restart changes it.
    pub(crate) address: Option<SocketAddr>,
    /// Its process, while one runs.
    pub(crate) pid: Option<u32>,
    /// How often it was started again.
    pub(crate) restarts: u32,
    /// Where it is in its life.
    pub(crate) phase: Phase,
}

/// All replicas, by number.
pub(crate) type Replicas = BTreeMap<usize, ReplicaView>;

/// The rows, shared by those who write them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(watch::Sender<Replicas>);

impl Board {
    /// Changes the row of replica `number`, which is made if it is missing.
    pub(super) fn update(&self, number: usize, id: &str, change: impl FnOnce(&mut ReplicaView)) {
        self.0.send_modify(|rows| {
            change(rows.entry(number).or_insert_with(|| ReplicaView {
                id: id.to_owned(),
                address: None,
                pid: None,
                restarts: 0,
                phase: Phase::Starting,
            }));
        });
    }

    /// Takes the row of a replica away.
    pub(super) fn remove(&self, number: usize) {
        self.0.send_modify(|rows| {
            rows.remove(&number);
        });
    }

    /// The replicas as they are now.
    pub(super) fn replicas(&self) -> Vec<ReplicaView> {
        self.0.borrow().values().cloned().collect()
    }

    /// Waits until `count` replicas are in the registry.
    pub(super) async fn registered(&self, count: usize) {
        let there = |rows: &Replicas| {
            rows.values()
                .filter(|row| row.phase == Phase::Registered)
                .count()
                >= count
        };
        let mut rows = self.0.subscribe();
        rows.wait_for(there).await.expect("the sender is ours");
    }
}
