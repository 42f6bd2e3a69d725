//! The loop: follow what the templates read, render when it changes, write, and never give up.

mod delivery;
mod job;
mod print;
mod report;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use consul::Client;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::dependency::{News, Question};
use super::knowledge::{Asked, Knowledge};
use super::pages::Pages;
use super::spec::Source;
use super::subscriptions::Subscriptions;
use super::{Permissions, TemplateError, TemplateSpec};
use crate::until::until;
use delivery::{Delivered, Piece, STOP_LIMIT, deliver};
use job::Job;
use sources::Sources;

/// What to do.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The templates, at least one.
    pub templates: Vec<TemplateSpec>,
    /// What templates may do.
    pub permissions: Permissions,
    /// Render once, as soon as everything is known, and end.
    pub once: bool,
    /// Print instead of writing, and run nothing.
    pub dry: bool,
}

/// Another configuration for a running watcher.
#[derive(Debug)]
pub struct Reload {
    /// Templates and permissions; `once` and `dry` stay as they are.
    pub options: Options,
    /// The registry to ask from now on; `None` if it is the same.
    pub client: Option<Client>,
}

/// Templates that follow a registry.
#[derive(Debug)]
pub struct Watcher {
    options: Options,
    jobs: BTreeMap<PathBuf, Job>,
    knowledge: Knowledge,
    subscriptions: Subscriptions,
    board: Board,
    deliveries: JoinSet<Delivered>,
    /// Commands being run: none runs twice at the same time.
    running: BTreeSet<String>,
    sources: Sources,
    written: CancellationToken,
}

impl Watcher {
    /// Reads the templates. Nothing is asked or written yet.
    ///
    /// # Errors
    /// A template cannot be read, or is none, or two have the same target.
    pub fn new(options: Options, client: Client) -> Result<Self, TemplateError> {
        let board = Board::default();
        let mut watcher = Self {
            jobs: jobs(&options)?,
            options,
            knowledge: Knowledge::default(),
            subscriptions: Subscriptions::new(client, board.clone()),
            board,
            deliveries: JoinSet::new(),
            running: BTreeSet::new(),
            sources: Sources::new(),
            written: CancellationToken::new(),
        };
        watcher.show_jobs();
        Ok(watcher)
    }

    /// Cancelled once every file is what it should be, for the first time.
    #[must_use]
    pub fn written(&self) -> CancellationToken {
        self.written.clone()
    }

    /// What it says of itself.
    #[must_use]
    pub fn pages(&self) -> Pages {
        Pages::new(self.board.clone())
    }

    /// Follows until `shutdown`, or, with `once`, until everything is written. Takes other configurations from `reloads`.
    ///
    /// # Errors
    /// Only with `once`: whatever went wrong. Otherwise it is logged, the old file stays, and it is tried again.
    pub async fn run(
        mut self,
        mut reloads: mpsc::Receiver<Reload>,
        shutdown: CancellationToken,
    ) -> Result<(), TemplateError> {
        if !self.options.once {
            self.sources.watch(self.jobs.values());
        }
        loop {
            self.render_due()?;
            if self.is_done() {
                self.written.cancel();
                if self.options.once {
                    return Ok(());
                }
            }
            let due = self.jobs.values().filter(|job| !self.is_blocked(job));
            let due = due.filter_map(Job::due).min();
            tokio::select! {
                news = self.subscriptions.next() => {
                    self.take_in(news);
                    // All that is there already, before anything is rendered.
                    while let Some(news) = self.subscriptions.try_next() {
                        self.take_in(news);
                    }
                }
                (source, text) = self.sources.next() => self.edited(&source, text),
                Some(done) = self.deliveries.join_next() => {
                    if let Ok(delivered) = done {
                        self.delivered(delivered)?;
                    }
                }
                Some(reload) = reloads.recv() => self.reload(reload),
                () = until(due) => {}
                () = shutdown.cancelled() => return self.stop().await,
            }
        }
    }

    fn take_in(&mut self, news: News) {
        if !self.subscriptions.follows(&news.question) {
            return; // It was on its way when the last template stopped to read it.
        }
        let question = news.question.clone();
        let urgent = self.knowledge.learn(news);
        let now = Instant::now();
        for job in self.jobs.values_mut() {
            job.answered(&question, urgent, now);
        }
    }

    /// Renders what is due, and sends it on its way.
    fn render_due(&mut self) -> Result<(), TemplateError> {
        let now = Instant::now();
        let due = |job: &Job| job.due().is_some_and(|due| due <= now);
        let targets: Vec<PathBuf> = self
            .jobs
            .iter()
            .filter(|(_, job)| due(job) && !self.is_blocked(job))
            .map(|(target, _)| target.clone())
            .collect();
        if targets.is_empty() {
            return Ok(());
        }
        let mut batches: BTreeMap<Option<String>, Vec<Piece>> = BTreeMap::new();
        for target in targets {
            let Some(text) = self.render(&target)? else {
                continue;
            };
            let job = self.jobs.get_mut(&target).expect("it was just rendered");
            if self.options.dry {
                if job.fresh {
                    print::dry(&job.spec.output, &text);
                }
                job.succeeded();
                continue;
            }
            job.busy = true;
            let piece = Piece {
                output: job.spec.output.clone(),
                text,
                note: job.note(),
            };
            let batch = batches.entry(job.spec.output.command.clone());
            batch.or_default().push(piece);
        }
        for (command, pieces) in batches {
            self.running.extend(command.clone());
            self.deliveries.spawn(deliver(command, pieces));
        }
        self.forget_what_nobody_reads();
        Ok(())
    }

    /// Renders one template until it has seen all that is known. Returns its text if it is complete.
    fn render(&mut self, target: &PathBuf) -> Result<Option<String>, TemplateError> {
        loop {
            let job = self
                .jobs
                .get_mut(target)
                .expect("the caller has it from here");
            let (now, started) = (SystemTime::now(), Instant::now());
            let rendering = match job.render(&self.knowledge, now) {
                Ok(rendering) => rendering,
                Err(error) => {
                    job.failed_to_render();
                    self.refused(target, error)?;
                    return Ok(None);
                }
            };
            let questions = rendering.asked.dependencies.iter();
            let questions = questions
                .map(|dependency| dependency.question.clone())
                .collect();
            self.subscriptions.follow(&questions);
            if self.knowledge.show(&rendering.asked) {
                continue; // There is more to see than it saw.
            }
            job.rendered(&rendering, now);
            self.board.template(target, |shown| {
                shown.renders_total += 1;
                shown.render_time = started.elapsed();
                shown.rendered = Some(now);
                shown.missing = rendering.missing.iter().map(ToString::to_string).collect();
                shown.reads = questions.iter().map(ToString::to_string).collect();
            });
            if rendering.missing.is_empty() && !rendering.absent.is_empty() {
                let error = TemplateError::Absent {
                    path: job.spec.source.name().clone(),
                    absent: rendering.absent.into_iter().collect(),
                };
                self.refused(target, error)?;
            }
            return Ok(rendering.text);
        }
    }

    /// Whether it has to wait for a command that is being run for others.
    fn is_blocked(&self, job: &Job) -> bool {
        let command = job.spec.output.command.as_ref();
        command.is_some_and(|command| self.running.contains(command))
    }

    fn is_done(&self) -> bool {
        self.deliveries.is_empty() && self.jobs.values().all(|job| job.settled)
    }

    fn forget_what_nobody_reads(&mut self) {
        let mut reads = Asked::default();
        for job in self.jobs.values() {
            reads.extend(job.reads());
        }
        let questions: BTreeSet<Question> = reads
            .dependencies
            .iter()
            .map(|dependency| dependency.question.clone())
            .collect();
        self.subscriptions.drop_all_but(&questions);
        self.knowledge.forget_all_but(&reads);
    }

    /// Takes a new version of a template, unless it is broken.
    fn edited(&mut self, source: &Path, text: Option<String>) {
        let Some(text) = text else {
            tracing::warn!(
                "{} cannot be read; its last version stays in use",
                source.display()
            );
            return;
        };
        for (target, job) in &mut self.jobs {
            if job.spec.source != Source::File(source.to_path_buf()) {
                continue;
            }
            match job.edit(&text, &self.options.permissions) {
                Ok(()) => {
                    tracing::info!(source = %source.display(), "the template has changed");
                    self.board
                        .event("edited", target, source.display().to_string());
                }
                Err(error) => {
                    tracing::warn!("{error}; its last version stays in use");
                    self.board.event("failed", target, error.to_string());
                    self.board.template(target, |shown| {
                        *shown.failures.entry("source").or_default() += 1;
                        shown.error = Some(error.to_string());
                    });
                }
            }
        }
    }

    /// Takes another configuration, unless a template of it is broken.
    fn reload(&mut self, Reload { options, client }: Reload) {
        let options = Options {
            once: self.options.once,
            dry: self.options.dry,
            ..options
        };
        let mut new = match jobs(&options) {
            Ok(jobs) => jobs,
            Err(error) => {
                tracing::warn!("{error}; the configuration in use stays");
                return;
            }
        };
        for (target, before) in std::mem::take(&mut self.jobs) {
            if let Some(job) = new.get_mut(&target) {
                job.inherit(before);
            }
        }
        (self.jobs, self.options) = (new, options);
        if let Some(client) = client {
            self.subscriptions.ask(client);
        }
        self.show_jobs();
        self.sources.watch(self.jobs.values());
        tracing::info!(
            templates = self.jobs.len(),
            "the configuration was read again"
        );
    }

    fn show_jobs(&mut self) {
        let targets: Vec<PathBuf> = self.jobs.keys().cloned().collect();
        self.board.keep_templates(&targets);
        for (target, job) in &self.jobs {
            let source = job.spec.source.name().clone();
            self.board.template(target, |shown| shown.source = source);
        }
    }

    /// Waits for what is on its way, so that files and what was told of them agree.
    async fn stop(mut self) -> Result<(), TemplateError> {
        let deliveries = async { while self.deliveries.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_LIMIT, deliveries).await.is_err() {
            tracing::warn!("a command was still running, and is ended");
        }
        if !self.options.once {
            return Ok(());
        }
        let waiting: Vec<String> = self
            .jobs
            .values()
            .flat_map(|job| job.missing.iter().map(ToString::to_string))
            .collect();
        Err(TemplateError::Interrupted {
            waiting: waiting.join(", "),
        })
    }
}

fn jobs(options: &Options) -> Result<BTreeMap<PathBuf, Job>, TemplateError> {
    let mut jobs = BTreeMap::new();
    for spec in &options.templates {
        let job = Job::new(spec.clone(), &options.permissions)?;
        let path = spec.output.target.clone();
        if jobs.insert(path.clone(), job).is_some() {
            return Err(TemplateError::SameTarget { path });
        }
    }
    Ok(jobs)
}
