//! The running registry's shared state: the catalog under its lock, the waiters, the check runner, the clock.
//!
//! Every change goes through [`State::change`]: short work under the lock, checks started and stopped in the order of
//! the changes, then, without the lock, exactly the readers concerned are woken. No I/O happens under the lock: where
//! changes are kept on disk, they are put in line there, and whoever asked waits until they are written.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::{Duration, Instant};

use daemon::http::Tls;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::access::{Access, Rights, Sight, permit};
use super::answer::Failure;
use super::event::Events;
use super::joining::Joining;
use super::metrics::Metrics;
use super::rendered::Rendered;
use super::request::Call;
use super::waiters::Waiters;
use crate::catalog::{Catalog, CatalogError, Command, Done, LocalNode, Status};
use crate::check::{Report, Runner, Scripts};
use crate::durable::{Journal, Opened, Source};

/// What every request has at hand.
pub(super) struct State {
    catalog: RwLock<Catalog>,
    journal: Option<Journal>,
    pub(super) waiters: Arc<Waiters>,
    pub(super) rendered: Rendered,
    pub(super) events: Events,
    pub(super) metrics: Metrics,
    runner: Runner,
    /// The catalog's time at `started`: since 1970 where it is kept on disk, since the start where it is not.
    epoch: Duration,
    started: Instant,
    /// Told when the next deadline may have come nearer.
    nearer: Notify,
    pub(super) stopping: CancellationToken,
    pub(super) joining: Joining,
    pub(super) local: LocalNode,
    pub(super) scripts: Scripts,
    pub(super) access: Access,
    pub(super) tls: Option<Arc<Tls>>,
}

impl State {
    /// Runs the script checks that `scripts` allows. Goes on with what was `opened`, if anything was.
    ///
    /// # Errors
    /// The thread that writes to the disk cannot be started.
    pub(super) fn new(
        local: LocalNode,
        scripts: Scripts,
        access: Access,
        tls: Option<Arc<Tls>>,
        opened: Option<Opened>,
        joining: Joining,
    ) -> std::io::Result<Arc<State>> {
        let going_on = opened.is_some();
        let (journal, catalog, epoch) = match opened {
            Some(opened) => (Some(opened.journal), opened.catalog, opened.now),
            None => (None, Catalog::new(&local), Duration::ZERO),
        };
        let state = Arc::new_cyclic(|state: &Weak<State>| State {
            catalog: RwLock::new(catalog),
            journal,
            waiters: Arc::default(),
            rendered: Rendered::default(),
            events: Events::default(),
            metrics: Metrics::default(),
            runner: Runner::with_scripts(Arc::new(Reporter(state.clone())), scripts),
            epoch,
            started: Instant::now(),
            nearer: Notify::new(),
            stopping: CancellationToken::new(),
            joining,
            local: local.clone(),
            scripts,
            access,
            tls,
        });
        if let Some(journal) = &state.journal {
            journal.start(Copier(Arc::downgrade(&state)))?;
        }
        if going_on {
            state.change_unasked(Command::Resume(local));
        }
        Ok(state)
    }

    /// What the sender of a request may do.
    ///
    /// # Errors
    /// It was sent with a token that nobody has.
    pub(super) fn rights(&self, call: &Call) -> Result<Arc<Rights>, Failure> {
        let rights = self.access.rights(call.token());
        rights.map_err(|_| Failure::unknown_token())
    }

    /// What those may do who send no token: DNS has none.
    pub(super) fn anonymous(&self) -> Arc<Rights> {
        // Without a token there is none that could be unknown.
        self.access
            .rights(None)
            .unwrap_or_else(|_| Rights::nothing())
    }

    /// Reads again what can be read again. An error changes nothing.
    pub(super) async fn reload(self: &Arc<Self>) -> Result<(), String> {
        let state = Arc::clone(self);
        let reloaded = tokio::task::spawn_blocking(move || {
            let tls = state.tls.as_ref().map_or(Ok(()), |tls| tls.reload());
            tls.map_err(|error| error.to_string())?;
            state.access.reload().map_err(|error| error.to_string())
        });
        reloaded.await.map_err(|error| error.to_string())?
    }

    /// Looks at what these rights allow to see of the catalog. Keep it only while taking rows out.
    pub(super) fn see<'a>(&'a self, rights: &'a Rights) -> Sight<'a> {
        Sight::new(self.read(), rights)
    }

    /// Looks at the whole catalog, whoever asks: not for answers. Keep the guard only while taking rows out.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Catalog> {
        // A panic under the lock is a bug in the catalog; what it holds is still the best there is.
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.epoch + self.started.elapsed()
    }

    /// A copy of everything there is, and its time.
    pub(super) fn copy(&self) -> (Duration, Catalog) {
        let catalog = self.read();
        (self.now(), catalog.clone())
    }

    /// Changes the catalog as a request wants, does what follows from it, and returns when the change is on disk, if
    /// there is a disk.
    ///
    /// # Errors
    /// The sender may not make the change, which is not made then; those of the command, which has changed nothing then; or the disk does not take it. In that case it may have
    /// been done, and may stay done, but nobody is told that it was.
    pub(super) async fn change(&self, call: &Call, command: Command) -> Result<Done, Failure> {
        let rights = self.rights(call)?;
        let Some(journal) = &self.journal else {
            return Ok(self.apply(command, &rights)?.0);
        };
        journal.ready()?;
        let (done, number) = self.apply(command, &rights)?;
        journal.kept(number).await?;
        Ok(done)
    }

    /// A change that nobody waits for: a check's result, something that fell due.
    fn change_unasked(&self, command: Command) {
        if let Err(failure) = self.apply(command, &Rights::everything()) {
            tracing::error!(
                error = failure.text,
                "the registry could not make a change of its own"
            );
        }
    }

    /// Makes a change and puts it in line for the disk. Returns the number of the last change it rests on.
    fn apply(&self, command: Command, rights: &Rights) -> Result<(Done, u64), Failure> {
        let encoded = self.journal.as_ref().map(|_| Journal::encode(&command));
        let encoded = encoded
            .transpose()
            .map_err(|error| CatalogError::Failed(error.to_string()))?;
        let moves_time = command.moves_time();
        let (done, number, whom, nearer) = {
            let mut catalog = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
            permit(rights, &catalog, &command)?;
            let (before, revision) = (catalog.next_deadline(), catalog.revision());
            let now = self.now();
            let (done, effects) = catalog.apply(now, command)?;
            // Under the lock, so that a stop cannot overtake the start it belongs to.
            for id in effects.stop {
                self.runner.remove(&id);
            }
            for (spec, status) in effects.start {
                self.runner.set(spec, to_wire(&status));
            }
            let number = match (&self.journal, encoded) {
                (Some(journal), Some(encoded)) if moves_time || catalog.revision() != revision => {
                    journal.append(now, catalog.index(), encoded)
                }
                // What it found to be so already may be on its way still.
                (Some(journal), _) => journal.last(),
                (None, _) => 0,
            };
            let after = catalog.next_deadline();
            let nearer = after.is_some() && (before.is_none() || after < before);
            let whom = if effects.everything {
                None
            } else {
                Some(effects.topics)
            };
            (done, number, whom, nearer)
        };
        if nearer {
            self.nearer.notify_one();
        }
        match whom {
            Some(topics) => self.waiters.wake(&topics),
            None => self.waiters.wake_all(),
        }
        Ok((done, number))
    }

    /// Does what falls due by itself (TTL checks, long-critical instances) until the registry stops.
    pub(super) async fn keep_time(&self) {
        loop {
            let next = self.read().next_deadline();
            let nearer = self.nearer.notified();
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = self.joining.token().cancelled() => return,
                () = nearer => {}
                () = sleep_until(next.map(|at| self.started + at.saturating_sub(self.epoch))) => {
                    self.change_unasked(Command::Tick);
                }
            }
        }
    }

    /// Ends the checks: another registry runs them.
    pub(super) fn stop_checks(&self) {
        self.runner.stop();
    }

    /// Ends the checks and the waiting queries.
    pub(super) fn stop(&self) {
        self.stopping.cancel();
        self.runner.stop();
    }

    /// Waits until all changes are on disk, and gives the folder up.
    pub(super) async fn close(self: Arc<State>) {
        // It blocks, and the runtime may have one thread only.
        let closed = tokio::task::spawn_blocking(move || {
            if let Some(journal) = &self.journal {
                journal.close();
            }
        });
        if closed.await.is_err() {
            tracing::error!("closing the registry's folder has failed");
        }
    }
}

/// Lets the writer copy the catalog; does not keep the registry alive.
struct Copier(Weak<State>);

impl Source for Copier {
    fn copy(&self, cover: &mut dyn FnMut()) -> Option<(Duration, Catalog)> {
        let state = self.0.upgrade()?;
        let catalog = state.read();
        cover();
        Some((state.now(), catalog.clone()))
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
            state.change_unasked(Command::ReportRun {
                id: check_id.to_owned(),
                status: from_wire(status),
                output,
            });
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
