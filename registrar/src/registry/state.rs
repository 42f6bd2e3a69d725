//! The running registry's shared state: the catalog under its lock, the waiters, the check runner, the clock.
//!
//! Every change goes through [`State::change`]: short work under the lock, checks started and stopped in the order of
//! the changes, then, without the lock, exactly the readers concerned are woken. No I/O happens under the lock.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::event::Events;
use super::rendered::Rendered;
use super::waiters::Waiters;
use crate::catalog::{Catalog, Effects, LocalNode, Status};
use crate::check::{Report, Runner, Scripts};

/// What every request has at hand.
pub(super) struct State {
    catalog: RwLock<Catalog>,
    pub(super) waiters: Arc<Waiters>,
    pub(super) rendered: Rendered,
    pub(super) events: Events,
    runner: Runner,
    started: Instant,
    /// Told when the next deadline may have come nearer.
    nearer: Notify,
    pub(super) stopping: CancellationToken,
    pub(super) local: LocalNode,
    pub(super) scripts: Scripts,
}

impl State {
    /// Runs the script checks that `scripts` allows.
    pub(super) fn new(local: LocalNode, scripts: Scripts) -> Arc<State> {
        Arc::new_cyclic(|state: &Weak<State>| State {
            catalog: RwLock::new(Catalog::new(&local)),
            waiters: Arc::default(),
            rendered: Rendered::default(),
            events: Events::default(),
            runner: Runner::with_scripts(Arc::new(Reporter(state.clone())), scripts),
            started: Instant::now(),
            nearer: Notify::new(),
            stopping: CancellationToken::new(),
            local,
            scripts,
        })
    }

    /// Looks at the catalog. Keep the guard only while taking rows out.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Catalog> {
        // A panic under the lock is a bug in the catalog; what it holds is still the best there is.
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the catalog and does what follows from it.
    pub(super) fn change<E>(
        &self,
        change: impl FnOnce(&mut Catalog, Duration) -> Result<Effects, E>,
    ) -> Result<(), E> {
        let (topics, nearer) = {
            let mut catalog = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
            let before = catalog.next_deadline();
            let effects = change(&mut catalog, self.started.elapsed())?;
            // Under the lock, so that a stop cannot overtake the start it belongs to.
            for id in effects.stop {
                self.runner.remove(&id);
            }
            for (spec, status) in effects.start {
                self.runner.set(spec, to_wire(&status));
            }
            let after = catalog.next_deadline();
            (
                effects.topics,
                after.is_some() && (before.is_none() || after < before),
            )
        };
        if nearer {
            self.nearer.notify_one();
        }
        self.waiters.wake(&topics);
        Ok(())
    }

    /// Does what falls due by itself (TTL checks, long-critical instances) until the registry stops.
    pub(super) async fn keep_time(&self) {
        loop {
            let next = self.read().next_deadline();
            let nearer = self.nearer.notified();
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = nearer => {}
                () = sleep_until(next.map(|at| self.started + at)) => {
                    let done = self.change(|catalog, now| Ok::<_, ()>(catalog.tick(now)));
                    debug_assert!(done.is_ok(), "the closure returns Ok");
                }
            }
        }
    }

    /// Ends the checks and the waiting queries.
    pub(super) fn stop(&self) {
        self.stopping.cancel();
        self.runner.stop();
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Takes results of checks to the catalog; does not keep the registry alive.
struct Reporter(Weak<State>);

impl Report for Reporter {
    fn report(&self, check_id: &str, status: consul::types::Status, output: String) {
        if let Some(state) = self.0.upgrade() {
            let status = from_wire(status);
            let done = state.change(|catalog, now| {
                Ok::<_, ()>(catalog.report_run(now, check_id, status, &output))
            });
            debug_assert!(done.is_ok(), "the closure returns Ok");
        }
    }
}

fn from_wire(status: consul::types::Status) -> Status {
    match status {
        consul::types::Status::Passing => Status::Passing,
        consul::types::Status::Warning => Status::Warning,
        consul::types::Status::Critical | consul::types::Status::Maintenance => Status::Critical,
    }
}

fn to_wire(status: &Status) -> consul::types::Status {
    match status {
        Status::Passing => consul::types::Status::Passing,
        Status::Warning => consul::types::Status::Warning,
        Status::Critical | Status::Other(_) => consul::types::Status::Critical,
    }
}
