//! What makes HAProxy read its file: starts and reloads. A candidate is judged by HAProxy itself, and what fails is taken back.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::HaproxyError;
use super::config::Config;
use super::driver::{Cause, Driver, Setup};
use super::plan::Reason;
use super::render::{Backends, is_weighted};
use super::slots::{Backend, assign, capacity};
use super::socket::SocketError;
use super::store::Note;
use crate::snapshot::{Service, Snapshot};
use crate::template::{Output, TemplateError};

/// From one reload to the next. Each leaves a worker behind until its clients are done.
const RELOADS_APART: Duration = Duration::from_secs(1);

impl Driver {
    /// A reload is needed; it waits for more of the kind.
    pub(super) fn ask_for_reload(&mut self, reason: Reason) {
        if self.reason.as_ref() != Some(&reason) {
            tracing::info!("a reload is needed: {reason}");
            self.status.pending(Some(reason.to_string()));
            self.reason = Some(reason);
        }
        if self.quiet.due().is_none() {
            self.quiet.change(Instant::now(), false);
        }
    }

    pub(super) fn reload_due(&self) -> Option<Instant> {
        self.reason.as_ref()?;
        let calm = self.reloaded.map(|at| at + RELOADS_APART);
        self.quiet.due().max(calm).max(self.not_before)
    }

    /// Renders the file anew, has it checked, and has HAProxy load it. What fails leaves file and HAProxy as they were, and
    /// is tried again.
    pub(super) async fn reload(&mut self) {
        self.quiet.acted();
        let Some(reason) = self.reason.take() else {
            return;
        };
        if !self.is_known() {
            // A new route's service has not been answered for: without its instances the route would answer 503.
            self.ask_for_reload(reason);
            return;
        }
        let outcome = self.load().await;
        self.reloaded = Some(Instant::now());
        match outcome {
            Ok(()) => {
                self.status.reloaded(&reason.to_string());
                self.status.pending(None);
                self.backoff.reset();
                self.not_before = None;
                tracing::info!("HAProxy has loaded a new file: {reason}");
                self.adjust(Cause::Change).await;
            }
            Err(error) => {
                self.status.reload_failed();
                let pause = self.backoff.next_delay();
                self.not_before = Some(Instant::now() + pause);
                let pause = pause.as_secs_f32();
                self.failed(&format!("{error}; HAProxy goes on with the file it has, and the reload is tried again in {pause:.1}s"));
                self.reason = Some(reason);
                self.quiet.change(Instant::now(), true);
            }
        }
    }

    /// Whether every service that is wanted has been answered for.
    fn is_known(&self) -> bool {
        let snapshot = self.snapshots.borrow();
        let wanted = self.wanted_config().discovered();
        wanted
            .iter()
            .all(|name| snapshot.services.contains_key(*name))
    }

    pub(super) async fn load(&mut self) -> Result<(), HaproxyError> {
        let snapshot = Arc::clone(&self.snapshots.borrow());
        let setup = self.next.as_ref().unwrap_or(&self.setup);
        let note = fresh(setup, &self.note.backends, &snapshot)?;
        let text = setup.page.text(&setup.config, &note.backends)?;
        let old = std::fs::read_to_string(&setup.config.file).ok();
        self.status.writes.inc();
        checked(&setup.config).write(&text).await?;
        match self.master.reload().await {
            Ok(processes) => {
                self.status.up(Some(&processes));
            }
            Err(error) => {
                if let Some(old) = old {
                    Output::plain(setup.config.file.clone()).write(&old).await?;
                }
                return Err(error);
            }
        }
        self.loaded(note, snapshot).await;
        Ok(())
    }

    /// HAProxy has loaded what is wanted.
    pub(super) async fn loaded(&mut self, note: Note, snapshot: Arc<Snapshot>) {
        if let Some(next) = self.next.take() {
            self.setup = next;
        }
        self.note = note;
        self.applied = snapshot;
        self.status.changed(&self.note.backends);
        if let Err(error) = self.note.save(&self.setup.config.file).await {
            self.failed(&error.to_string());
        }
    }

    /// Starts HAProxy with a file of the moment.
    pub(super) async fn start(&mut self) -> Result<(), HaproxyError> {
        let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
        let note = fresh(&self.setup, &self.note.backends, &snapshot)?;
        let text = self.setup.page.text(&self.setup.config, &note.backends)?;
        self.status.writes.inc();
        checked(&self.setup.config).write(&text).await?;
        let processes = self.master.start().await?;
        self.status.starts.inc();
        self.status.up(Some(&processes));
        self.loaded(note, snapshot).await;
        Ok(())
    }

    /// HAProxy does not answer: starts it, or waits for whoever does.
    pub(super) async fn revive(&mut self, error: &SocketError) {
        let pause = self.backoff.next_delay();
        self.not_before = Some(Instant::now() + pause);
        if self.setup.config.attach {
            self.failed(&format!("{error}; waiting for HAProxy to be started"));
            return;
        }
        match self.start().await {
            Ok(()) => {
                self.backoff.reset();
                self.not_before = None;
                tracing::info!("HAProxy was started again");
            }
            Err(error) => {
                let pause = pause.as_secs_f32();
                self.failed(&format!("{error}; tried again in {pause:.1}s"));
            }
        }
    }
}

/// The slots for a HAProxy that begins anew: all may be taken, and there are enough.
pub(super) fn fresh(
    setup: &Setup,
    before: &Backends,
    snapshot: &Snapshot,
) -> Result<Note, TemplateError> {
    let config = &setup.config;
    let mut backends = Backends::new();
    for (name, service, policy) in config.backends() {
        let nothing = Service::default();
        let service = snapshot.services.get(service).unwrap_or(&nothing);
        let mut slots = before
            .get(&name)
            .map(|b| b.slots.clone())
            .unwrap_or_default();
        // Room for those that are registered and out of rotation, too: they keep a slot while they are.
        let needed = service.endpoints.len() + slots.iter().flatten().filter(|o| o.drained).count();
        slots.resize(capacity(slots.len(), needed, config.slots), None);
        let weighted = is_weighted(policy);
        if assign(&mut slots, service, weighted, |_| true) > 0 {
            let needed = service.endpoints.len() + service.excluded.len();
            slots.resize(capacity(slots.len(), needed, config.slots), None);
            assign(&mut slots, service, weighted, |_| true);
        }
        backends.insert(name, Backend { slots, unplaced: 0 });
    }
    Ok(Note {
        loaded: Some(setup.page.skeleton(config, &backends)?),
        backends,
    })
}

/// The file, which HAProxy itself judges before it is put in place.
fn checked(config: &Config) -> Output {
    Output {
        check: Some(format!("{} -c -f {{candidate}}", quoted(&config.program))),
        ..Output::plain(config.file.clone())
    }
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
