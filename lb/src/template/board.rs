//! What the watcher says of itself: how old what it knows is, what it rendered and wrote, and what went wrong.
//!
//! Followers and the watcher write here, the admin pages read. It decides nothing.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use super::dependency::Question;

/// The log repeats that the registry is away at each so many failures of one dependency.
const REPEAT_EVERY: u32 = 30;

/// Events that are remembered for the status page.
const MAX_EVENTS: usize = 100;

/// What is known about the answers to one question.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    /// When it was last answered.
    pub(super) answered: Option<Instant>,
    /// The index of that answer.
    pub(super) index: u64,
    /// The last error, if nothing was answered since.
    pub(super) error: Option<String>,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Failures ever.
    pub(super) failures_total: u64,
    /// Answers ever, those that said nothing new included.
    pub(super) answers_total: u64,
    /// Whether something is kept that the registry does not list any more.
    pub(super) holding: bool,
}

/// What became of one template.
#[derive(Clone, Debug, Default)]
pub(super) struct Template {
    pub(super) source: PathBuf,
    pub(super) renders_total: u64,
    pub(super) render_time: Duration,
    pub(super) rendered: Option<SystemTime>,
    pub(super) written: Option<SystemTime>,
    pub(super) bytes: usize,
    pub(super) writes_total: u64,
    pub(super) commands_total: u64,
    pub(super) rollbacks_total: u64,
    /// Failures ever, by step: `source`, `render`, `check`, `write`, `command`.
    pub(super) failures: BTreeMap<&'static str, u64>,
    /// What is wrong now.
    pub(super) error: Option<String>,
    /// What it waits for.
    pub(super) missing: Vec<String>,
    /// What it reads.
    pub(super) reads: Vec<String>,
    /// Whether its target says what it should.
    pub(super) current: bool,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) struct Happened {
    pub(super) at: SystemTime,
    pub(super) kind: &'static str,
    pub(super) target: PathBuf,
    pub(super) text: String,
}

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) sources: BTreeMap<Question, Source>,
    pub(super) templates: BTreeMap<PathBuf, Template>,
    pub(super) events: VecDeque<Happened>,
}

/// Cheap to clone; all clones are one board.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<Mutex<State>>);

impl Board {
    /// The registry (or the file system) answered.
    pub(crate) fn answered(&self, question: &Question, index: u64, holding: bool) {
        let mut state = self.lock();
        let others_failing = fails_elsewhere(&state, question);
        let Some(source) = state.sources.get_mut(question) else {
            return; // Nobody reads it any more.
        };
        if source.failures > 0 && !others_failing {
            let away = source.answered.map_or_else(String::new, |at| {
                format!(" after {}s", at.elapsed().as_secs())
            });
            tracing::info!(dependency = %question, index, "answered again{away}");
        }
        source.answered = Some(Instant::now());
        source.index = index;
        source.error = None;
        source.failures = 0;
        source.answers_total += 1;
        source.holding = holding;
    }

    /// It did not.
    pub(crate) fn failed(&self, question: &Question, error: &str) {
        let mut state = self.lock();
        let others_failing = fails_elsewhere(&state, question);
        let Some(source) = state.sources.get_mut(question) else {
            return;
        };
        let first = source.failures == 0 && !others_failing;
        if first || (source.failures > 0 && source.failures.is_multiple_of(REPEAT_EVERY)) {
            let meanwhile = match source.answered {
                Some(_) => "what was rendered stays",
                None => "nothing is rendered before it answers",
            };
            tracing::warn!(dependency = %question, "{error}; {meanwhile}");
        }
        source.error = Some(error.to_owned());
        source.failures = source.failures.saturating_add(1);
        source.failures_total += 1;
    }

    /// `question` is asked from now on, or no longer.
    pub(super) fn follows(&self, question: &Question, follows: bool) {
        let mut state = self.lock();
        if follows {
            state.sources.entry(question.clone()).or_default();
        } else {
            state.sources.remove(question);
        }
    }

    /// Changes what is known of the template that makes `target`.
    pub(super) fn template(&self, target: &Path, change: impl FnOnce(&mut Template)) {
        let mut state = self.lock();
        change(state.templates.entry(target.to_owned()).or_default());
    }

    /// Only these targets are made from now on.
    pub(super) fn keep_templates(&self, targets: &[PathBuf]) {
        self.lock()
            .templates
            .retain(|target, _| targets.contains(target));
    }

    /// Something happened to `target`; `text` is for a person.
    pub(super) fn event(&self, kind: &'static str, target: &Path, text: impl Into<String>) {
        let mut state = self.lock();
        if state.events.len() == MAX_EVENTS {
            state.events.pop_front();
        }
        state.events.push_back(Happened {
            at: SystemTime::now(),
            kind,
            target: target.to_owned(),
            text: text.into(),
        });
    }

    /// Everything, as it is now.
    pub(super) fn state(&self) -> State {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

fn fails_elsewhere(state: &State, question: &Question) -> bool {
    let mut others = state.sources.iter().filter(|(other, _)| *other != question);
    others.any(|(_, source)| source.failures > 0)
}
