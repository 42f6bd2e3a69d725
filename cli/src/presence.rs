//! An instance's presence in the registry while something runs, and its orderly end.
//!
//! The registrar keeps it registered; here stands the order of leaving that keeps requests from
//! failing: deregister, give balancers time to notice, and only then stop what serves.

use std::time::Duration;

use consul::{Client, types::ServiceRegistration};
use registrar::register::{Registrar, State};
use tokio::{sync::watch, task::JoinHandle, time};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// After deregistering, what serves keeps serving this long. Balancers that follow the registry by
/// blocking queries notice within 250 ms; this is twice that.
pub(crate) const ROTATION_LAG: Duration = Duration::from_millis(500);

/// Deregistering may take this long; a registry that is away must not keep a program from stopping. The
/// registrar gives up after four seconds by itself.
const LEAVE: Duration = Duration::from_secs(5);

/// An instance that is registered, and is kept so.
#[derive(Debug)]
pub(crate) struct Presence {
    stop: CancellationToken,
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
}

impl Presence {
    /// Registers `service` and keeps it registered. Returns at once.
    pub(crate) fn start(client: Client, service: ServiceRegistration) -> Self {
        let stop = CancellationToken::new();
        let registrar = Registrar::new(client, service);
        let state = registrar.state();
        let task = tokio::spawn(registrar.run(stop.clone()));
        Self { stop, state, task }
    }

    /// Waits until the registry has the instance. Cancel-safe.
    pub(crate) async fn registered(&mut self) {
        if self
            .state
            .wait_for(|state| matches!(state, State::Registered))
            .await
            .is_err()
        {
            // The registrar's task is gone, which only `leave` ends: there is nothing to wait for.
            std::future::pending::<()>().await;
        }
    }

    /// Whether the registry has the instance, as far as we know.
    fn is_registered(&self) -> bool {
        matches!(*self.state.borrow(), State::Registered)
    }

    /// Deregisters. Returns whether balancers may still send requests for a moment.
    pub(crate) async fn leave(mut self) -> bool {
        let was_registered = self.is_registered();
        self.stop.cancel();
        if time::timeout(LEAVE, &mut self.task).await.is_err() {
            warn!(limit = ?LEAVE, "the registry did not take the deregistration in time: it has to find out by its checks");
            self.task.abort();
        }
        was_registered
    }

    /// Deregisters, and waits until balancers have noticed.
    pub(crate) async fn leave_rotation(self) {
        if self.leave().await {
            time::sleep(ROTATION_LAG).await;
        }
    }
}
