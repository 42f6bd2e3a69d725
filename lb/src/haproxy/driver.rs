//! The loop that keeps HAProxy at what is wanted. It decides by `plan` and `slots`, and never gives up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use daemon::backoff::Backoff;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::HaproxyError;
use super::command::{Command, lines, refused};
use super::config::Config;
use super::observed::{Observed, servers};
use super::plan::{Plan, Reason, plan};
use super::process::Master;
use super::render::{Backends, Page, is_weighted};
use super::slots::assign;
use super::socket::{Socket, SocketError};
use super::status::Status;
use super::store::Note;
use super::word::Word;
use crate::config::WatchedFile;
use crate::discovery::Discovery;
use crate::snapshot::{Service, Snapshot};
use crate::template::{Output, QuietPeriod};
use crate::until::until;

/// How often HAProxy is compared with what is wanted though nothing is known to have changed: somebody may have typed a
/// command, or reloaded it. Asking costs about 10 microseconds for each server.
const COMPARE_EVERY: Duration = Duration::from_secs(2);

/// How long the file may be behind HAProxy: a burst of changes writes it once.
const WRITE_AFTER: Duration = Duration::from_millis(200);

/// The first pause after a failure, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// What HAProxy is to be: what a person wrote, read.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) config: Config,
    pub(super) page: Page,
}

/// The driver of one HAProxy.
#[derive(Debug)]
pub(super) struct Driver {
    /// What HAProxy has loaded.
    pub(super) setup: Setup,
    /// What it is to load.
    pub(super) next: Option<Setup>,
    /// What was asked for last, if its template is no good: it is taken when that has been mended.
    pub(super) rejected: Option<Config>,
    pub(super) master: Master,
    pub(super) socket: Socket,
    pub(super) note: Note,
    pub(super) discovery: Discovery,
    pub(super) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(super) applied: Arc<Snapshot>,
    pub(super) status: Arc<Status>,
    pub(super) quiet: QuietPeriod,
    pub(super) reason: Option<Reason>,
    pub(super) reloaded: Option<Instant>,
    pub(super) write_due: Option<Instant>,
    pub(super) not_before: Option<Instant>,
    pub(super) backoff: Backoff,
}

/// Why HAProxy is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Some services differ.
    Change,
    /// Nothing is known to differ.
    Look,
}

impl Driver {
    /// A driver that has done nothing yet.
    pub(super) fn new(setup: Setup, discovery: Discovery, status: Arc<Status>) -> Self {
        let config = &setup.config;
        Self {
            master: Master::new(config),
            socket: Socket::new(&config.socket),
            note: Note::load(&config.file).unwrap_or_default(),
            snapshots: discovery.snapshots(),
            quiet: QuietPeriod::new(config.wait),
            discovery,
            status,
            setup,
            next: None,
            rejected: None,
            applied: Arc::default(),
            reason: None,
            reloaded: None,
            write_due: None,
            not_before: None,
            backoff: Backoff::new(RETRY.0, RETRY.1),
        }
    }

    /// Follows until `shutdown`.
    pub(super) async fn run(
        mut self,
        mut configs: watch::Receiver<Config>,
        shutdown: CancellationToken,
    ) {
        let mut template = self.watched();
        let mut look = tokio::time::interval(COMPARE_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let reload_due = self.reload_due();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                changed = self.snapshots.changed() => match changed {
                    Ok(()) => self.adjust(Cause::Change).await,
                    Err(_) => break,
                },
                status = self.master.ends() => {
                    self.failed(&format!("HAProxy has ended ({status}); it is started again"));
                    self.look().await;
                }
                () = until(reload_due) => self.reload().await,
                () = until(self.write_due) => self.write().await,
                Ok(()) = configs.changed() => {
                    let config = configs.borrow_and_update().clone();
                    let moved = config.template != self.asked_config().template;
                    self.configure(config, &shutdown);
                    if moved {
                        template = self.watched();
                    }
                }
                () = edited(&mut template) => {
                    let config = self.asked_config().clone();
                    self.configure(config, &shutdown);
                }
                _ = look.tick() => self.look().await,
            }
        }
        self.write().await;
        let config = &self.setup.config;
        if !config.attach && !config.keep {
            self.master.stop(config.drain).await;
        }
    }

    fn wanted(&self) -> &Setup {
        self.next.as_ref().unwrap_or(&self.setup)
    }

    pub(super) fn wanted_config(&self) -> &Config {
        &self.wanted().config
    }

    fn asked_config(&self) -> &Config {
        self.rejected.as_ref().unwrap_or(self.wanted_config())
    }

    /// The template's file from now on, if it has one; what was written to it after it was read is a change as well.
    fn watched(&self) -> Option<WatchedFile> {
        let path = self.asked_config().template.clone()?;
        let watched = match self.rejected {
            Some(_) => WatchedFile::watch(path.clone()),
            None => WatchedFile::watch_since(path.clone(), self.wanted().page.source()),
        };
        match watched {
            Ok(file) => Some(file),
            Err(error) => {
                tracing::warn!("cannot watch {}: {error}", path.display());
                None
            }
        }
    }

    /// Takes a new configuration, or a new text of the template. A broken one changes nothing.
    fn configure(&mut self, config: Config, shutdown: &CancellationToken) {
        let page = match Page::load(config.template.as_deref()) {
            Ok(page) => page,
            Err(error) => {
                self.failed(&format!("{error}; the last good template stays in use"));
                self.rejected = Some(config);
                return;
            }
        };
        self.rejected = None;
        self.discovery.follow(&config.discovered(), shutdown);
        self.next = Some(Setup { config, page });
        self.ask_for_reload(Reason::Configuration);
    }

    /// Compares HAProxy with what is wanted, and starts it if it is gone.
    async fn look(&mut self) {
        match self.master.processes().await {
            Ok(processes) => {
                self.status.up(Some(&processes));
                self.adjust(Cause::Look).await;
            }
            Err(error) => {
                self.status.up(None);
                if self.not_before.is_none_or(|at| at <= Instant::now()) {
                    self.revive(&error).await;
                }
            }
        }
    }

    /// Compares a HAProxy that was found running for the first time.
    pub(super) async fn take_over(&mut self) {
        self.adjust(Cause::Look).await;
        self.status.changed(&self.note.backends);
    }

    /// Sends what HAProxy lacks, and remembers what it takes a reload to bring.
    pub(super) async fn adjust(&mut self, cause: Cause) {
        let began = Instant::now();
        match self.compare(cause).await {
            Ok((sent, reason)) => {
                if sent > 0 && cause == Cause::Look {
                    self.status.repairs.inc_by(sent as u64);
                    tracing::warn!(
                        commands = sent,
                        "HAProxy was not as it should be, and is now"
                    );
                }
                if sent > 0 {
                    self.status.applied.observe(began.elapsed().as_secs_f64());
                    self.write_due
                        .get_or_insert_with(|| Instant::now() + WRITE_AFTER);
                }
                if sent > 0 || cause == Cause::Change {
                    self.status.changed(&self.note.backends);
                }
                if let Some(reason) = reason {
                    self.ask_for_reload(reason);
                }
            }
            Err(error) => self.failed(&format!("{error}; it is tried again")),
        }
    }

    /// Brings the servers to what the newest snapshot says. Returns how many commands that took, and why a reload is needed.
    async fn compare(&mut self, cause: Cause) -> Result<(usize, Option<Reason>), HaproxyError> {
        let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
        let names = self.affected(&snapshot, cause);
        let observed = self.observe(&names).await?;
        let wanted = self.place(&snapshot, &names, &observed);
        let Plan { commands, reload } = plan(&wanted, &observed);
        self.send(&commands).await?;
        self.applied = snapshot;
        Ok((commands.len(), reload))
    }

    /// The backends whose service differs from what was applied; all of them, for a look.
    fn affected(&self, snapshot: &Snapshot, cause: Cause) -> BTreeSet<Word> {
        let differs = |service: &str| {
            cause == Cause::Look
                || snapshot.services.get(service) != self.applied.services.get(service)
        };
        let backends = self.setup.config.backends();
        let affected = backends
            .into_iter()
            .filter(|(_, service, _)| differs(service));
        affected.map(|(name, ..)| name).collect()
    }

    async fn observe(&self, names: &BTreeSet<Word>) -> Result<Observed, SocketError> {
        let asked = names.iter().map(questions);
        let mut text = String::new();
        for (line, _) in lines(&asked.collect::<Vec<_>>()) {
            text.push_str(&self.socket.ask(&line).await?);
        }
        Ok(servers(&text))
    }

    /// Gives the instances of `names` their slots, as far as there are slots that may be taken.
    fn place(
        &mut self,
        snapshot: &Snapshot,
        names: &BTreeSet<Word>,
        observed: &Observed,
    ) -> Backends {
        let mut wanted = Backends::new();
        for (name, service, policy) in self.setup.config.backends() {
            if !names.contains(&name) {
                continue;
            }
            let nothing = Service::default();
            let service = snapshot.services.get(service).unwrap_or(&nothing);
            let servers = observed.get(name.as_str());
            let free = |index| {
                let server = servers.and_then(|s| s.get(Word::slot(index).as_str()));
                server.is_some_and(|server| server.maint && server.in_use == 0)
            };
            let backend = self.note.backends.entry(name.clone()).or_default();
            backend.unplaced = assign(&mut backend.slots, service, is_weighted(policy), free);
            wanted.insert(name, backend.clone());
        }
        wanted
    }

    /// Sends commands, and says what they were. One that is refused does not hold up the others.
    async fn send(&self, commands: &[Command]) -> Result<(), HaproxyError> {
        let mut first = None;
        for (line, of) in lines(commands) {
            let answer = self.socket.ask(&line).await?;
            self.status.commands.inc_by(of.len() as u64);
            for refused in refused(of, &answer) {
                self.status.refused.inc();
                tracing::warn!("{refused}");
                first.get_or_insert(refused);
            }
        }
        for command in commands {
            tracing::info!(target: "turno::haproxy", "{command}");
        }
        first.map_or(Ok(()), |refused| Err(refused.into()))
    }

    /// Writes file and note as HAProxy is now.
    pub(super) async fn write(&mut self) {
        if self.write_due.take().is_none() {
            return;
        }
        let setup = &self.setup;
        let written = async {
            let text = setup.page.text(&setup.config, &self.note.backends)?;
            self.status.writes.inc();
            Output::plain(setup.config.file.clone())
                .write(&text)
                .await?;
            self.note.save(&setup.config.file).await
        };
        if let Err(error) = written.await {
            self.write_due = Some(Instant::now() + RETRY.0);
            self.failed(&format!("HAProxy is right, its file is not: {error}"));
        }
    }

    pub(super) fn failed(&self, error: &str) {
        tracing::warn!("{error}");
        self.status.error(error);
    }
}

/// What is asked about a backend.
fn questions(name: &Word) -> String {
    format!("show servers state {name};show servers conn {name}")
}

async fn edited(template: &mut Option<WatchedFile>) {
    match template {
        Some(file) => file.changed().await,
        None => std::future::pending().await,
    }
}
