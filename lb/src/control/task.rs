//! The task that publishes tables: at each new snapshot, when an upstream cannot be reached, and when one may come back.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Change, ChangeKind, Control};
use crate::config::RouteConfig;
use crate::pool::Upstream;
use crate::routing::RouteTable;
use crate::snapshot::{Snapshot, diff};
use crate::until::until;

/// What the task listens to.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) routes: watch::Receiver<Vec<RouteConfig>>,
    pub(crate) failures: mpsc::Receiver<Arc<Upstream>>,
}

/// What the task tells.
#[derive(Debug)]
pub(crate) struct Outputs {
    pub(crate) table: watch::Sender<Arc<RouteTable>>,
    pub(crate) changes: broadcast::Sender<Change>,
}

/// Publishes tables until `shutdown`. The first one is published before this waits for anything.
pub(crate) async fn run(
    mut control: Control,
    mut inputs: Inputs,
    outputs: Outputs,
    shutdown: CancellationToken,
) {
    let mut current = Arc::new(Snapshot::default());
    loop {
        let next = Arc::clone(&inputs.snapshots.borrow_and_update());
        outputs
            .table
            .send_replace(Arc::new(control.table(&next, Instant::now())));
        // Told after the table is out: who hears that an instance has left will see no new request go to it.
        tell_differences(&current, &next, &outputs.changes);
        current = next;
        let now = Instant::now();
        let comes_back = control.next_return(now);
        tokio::select! {
            changed = inputs.snapshots.changed() => if changed.is_err() { return },
            changed = inputs.routes.changed() => match changed {
                Ok(()) => control.set_routes(inputs.routes.borrow_and_update().clone()),
                Err(_) => return,
            },
            Some(upstream) = inputs.failures.recv() => {
                if let Some(service) = control.eject(&upstream, Instant::now()) {
                    tell(&outputs.changes, Change {
                        service,
                        instance: Arc::clone(&upstream.id().instance),
                        address: upstream.address(),
                        kind: ChangeKind::Ejected,
                    });
                }
            }
            () = until(comes_back) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

fn tell_differences(old: &Snapshot, new: &Snapshot, changes: &broadcast::Sender<Change>) {
    let nothing = crate::snapshot::Service::default();
    for (name, service) in &new.services {
        for difference in diff(old.services.get(name).unwrap_or(&nothing), service) {
            tell(changes, Change::new(name, difference));
        }
    }
    for (name, service) in &old.services {
        if !new.services.contains_key(name) {
            for difference in diff(service, &nothing) {
                tell(changes, Change::new(name, difference));
            }
        }
    }
}

fn tell(changes: &broadcast::Sender<Change>, change: Change) {
    tracing::info!(target: "turno::rotation", "{change}");
    // Nobody listening is fine: the log has it.
    let _ = changes.send(change);
}
