//! The loop: follow what the templates read, render when it changes, write, and never give up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use consul::Client;
use daemon::backoff::Backoff;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::dependency::{Answer, Dependency, News, follow};
use super::engine::Engine;
use super::output::{Output, Written};
use super::quiet::QuietPeriod;
use super::{TemplateError, TemplateSpec, Wait};
use crate::config::WatchedFile;
use crate::until::until;

/// Answers waiting to be taken in. Followers wait when it is full: only the newest answer of each matters, and it comes.
const MAX_NEWS: usize = 256;

/// The first pause after a failed write or command, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The templates, at least one.
    pub templates: Vec<TemplateSpec>,
    /// Run by `sh -c` on each candidate before it is swapped in; `{candidate}` stands for its path.
    pub check: Option<String>,
    /// Render once, as soon as everything is known, and end.
    pub once: bool,
    /// Print instead of writing, and run nothing.
    pub dry: bool,
    /// How long additions wait for more.
    pub wait: Wait,
}

/// Templates that follow a registry.
#[derive(Debug)]
pub struct Watcher {
    options: Options,
    client: Client,
    jobs: Vec<Job>,
    known: BTreeMap<Dependency, Answer>,
    followed: BTreeSet<Dependency>,
    tasks: JoinSet<()>,
    written: CancellationToken,
}

#[derive(Debug)]
struct Job {
    spec: TemplateSpec,
    engine: Engine,
    output: Output,
    written: bool,
    /// What a dry run has shown last.
    printed: Option<String>,
    backoff: Backoff,
    retry: Option<Instant>,
}

/// A template's source has changed: which job, and its text.
type Edit = (usize, Option<String>);

impl Watcher {
    /// Reads the templates. Nothing is asked or written yet.
    ///
    /// # Errors
    /// A template cannot be read, or is none.
    pub fn new(options: Options, client: Client) -> Result<Self, TemplateError> {
        let mut jobs = Vec::with_capacity(options.templates.len());
        for spec in &options.templates {
            let text =
                std::fs::read_to_string(&spec.source).map_err(|source| TemplateError::File {
                    what: "read",
                    path: spec.source.clone(),
                    source,
                })?;
            jobs.push(Job {
                engine: Engine::new(&spec.source, &text)?,
                output: Output {
                    target: spec.target.clone(),
                    check: options.check.clone(),
                    command: spec.command.clone(),
                },
                spec: spec.clone(),
                written: false,
                printed: None,
                backoff: Backoff::new(RETRY.0, RETRY.1),
                retry: None,
            });
        }
        Ok(Self {
            options,
            client,
            jobs,
            known: BTreeMap::new(),
            followed: BTreeSet::new(),
            tasks: JoinSet::new(),
            written: CancellationToken::new(),
        })
    }

    /// Cancelled once every file is what it should be, for the first time.
    #[must_use]
    pub fn written(&self) -> CancellationToken {
        self.written.clone()
    }

    /// Follows until `shutdown`, or, with `once`, until everything is written.
    ///
    /// # Errors
    /// Only with `once`: whatever went wrong. Otherwise it is logged, the old file stays, and it is tried again.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), TemplateError> {
        let (sender, mut news) = mpsc::channel(MAX_NEWS);
        let (edits_sender, mut edits) = mpsc::channel(MAX_NEWS);
        if !self.options.once {
            self.watch_sources(&edits_sender);
        }
        let mut quiet = QuietPeriod::new(self.options.wait);
        loop {
            if self.render_all(&sender).await? {
                self.written.cancel();
                if self.options.once {
                    return Ok(());
                }
            }
            quiet.acted();
            loop {
                let retry = self.jobs.iter().filter_map(|job| job.retry).min();
                tokio::select! {
                    Some(told) = news.recv() => {
                        self.take_in(told, &mut quiet);
                        // All that is there already, before anything is rendered.
                        while let Ok(told) = news.try_recv() {
                            self.take_in(told, &mut quiet);
                        }
                    }
                    Some((index, text)) = edits.recv() => {
                        self.edited(index, text);
                        quiet.change(Instant::now(), true);
                    }
                    () = until(quiet.due()) => break,
                    () = until(retry) => break,
                    () = shutdown.cancelled() => return Ok(()),
                }
            }
        }
    }

    /// Takes an answer in. Until everything is written once, and when something has left, it does not wait.
    fn take_in(&mut self, news: News, quiet: &mut QuietPeriod) {
        match news {
            News::Answer(dependency, answer) => {
                let before = self.known.get(&dependency);
                let left = before.is_some_and(|before| !before.members.is_subset(&answer.members));
                let starting = self.jobs.iter().any(|job| !job.written);
                self.known.insert(dependency, answer);
                quiet.change(Instant::now(), left || starting);
            }
            News::Failed(dependency, error) => {
                tracing::warn!(
                    ?dependency,
                    "the registry is away: {error}; what was rendered stays"
                );
            }
        }
    }

    /// Renders every template, and writes what differs. Returns whether all are written.
    async fn render_all(&mut self, news: &mpsc::Sender<News>) -> Result<bool, TemplateError> {
        let mut asked = BTreeSet::new();
        let mut all = true;
        for job in &mut self.jobs {
            job.retry = None;
            let rendering = match job.engine.render(&job.spec.source, &self.known) {
                Ok(rendering) => rendering,
                Err(error) if self.options.once => return Err(error),
                Err(error) => {
                    tracing::warn!("{error}; the file stays as it is");
                    all = false;
                    continue;
                }
            };
            asked.extend(rendering.asked);
            let Some(text) = rendering.text else {
                all = false;
                continue;
            };
            if self.options.dry {
                if job.printed.as_ref() != Some(&text) {
                    print(&job.spec, &text);
                    job.printed = Some(text);
                }
                job.written = true;
                continue;
            }
            match job.output.write(&text).await {
                Ok(written) => {
                    if written == Written::Changed {
                        tracing::info!(target = %job.spec.target.display(), bytes = text.len(), "rendered");
                    }
                    job.written = true;
                    job.backoff.reset();
                }
                Err(error) if self.options.once => return Err(error),
                Err(error) => {
                    let pause = job.backoff.next_delay();
                    tracing::warn!("{error}; tried again in {:.1}s", pause.as_secs_f32());
                    job.retry = Some(Instant::now() + pause);
                    all = false;
                }
            }
        }
        for dependency in asked {
            if self.followed.insert(dependency.clone()) {
                self.tasks
                    .spawn(follow(self.client.clone(), dependency, news.clone()));
            }
        }
        Ok(all)
    }

    /// Takes a new version of a template, unless it is broken.
    fn edited(&mut self, index: usize, text: Option<String>) {
        let job = &mut self.jobs[index];
        let Some(text) = text else {
            tracing::warn!(
                "{} cannot be read; its last version stays in use",
                job.spec.source.display()
            );
            return;
        };
        match Engine::new(&job.spec.source, &text) {
            Ok(engine) => {
                tracing::info!(source = %job.spec.source.display(), "the template has changed");
                job.engine = engine;
            }
            Err(error) => tracing::warn!("{error}; its last version stays in use"),
        }
    }

    fn watch_sources(&mut self, edits: &mpsc::Sender<Edit>) {
        for (index, job) in self.jobs.iter().enumerate() {
            let mut file = match WatchedFile::watch(job.spec.source.clone()) {
                Ok(file) => file,
                Err(error) => {
                    tracing::warn!("cannot watch {}: {error}", job.spec.source.display());
                    continue;
                }
            };
            let edits = edits.clone();
            self.tasks.spawn(async move {
                loop {
                    file.changed().await;
                    let text = file.text().map(str::to_owned);
                    if edits.send((index, text)).await.is_err() {
                        return;
                    }
                }
            });
        }
    }
}

/// What would be written, for a person.
fn print(spec: &TemplateSpec, text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    // A reader who has gone away is no error.
    let _ = writeln!(out, "> {}", spec.target.display());
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}
