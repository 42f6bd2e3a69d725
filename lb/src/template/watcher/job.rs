//! One template at work: when it is to be rendered, what it reads, and how far it has come.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use daemon::backoff::Backoff;

use crate::template::dependency::Question;
use crate::template::engine::{Engine, Rendering};
use crate::template::knowledge::{Asked, Knowledge};
use crate::template::quiet::QuietPeriod;
use crate::template::slots::Slots;
use crate::template::{Permissions, TemplateError, TemplateSpec};

/// The first pause after a failed write or command, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// One template.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) spec: TemplateSpec,
    /// The template's text as it is in use.
    pub(super) source: String,
    engine: Engine,
    quiet: QuietPeriod,
    /// What the last rendering has read, and the last that was complete.
    last: Asked,
    complete: Asked,
    questions: BTreeSet<Question>,
    /// What it waits for.
    pub(super) missing: BTreeSet<Question>,
    /// Its target says what it should, or did once.
    pub(super) settled: bool,
    /// The last text, and the time it takes for now.
    text: Option<(String, SystemTime)>,
    /// Whether the last rendering said something new.
    pub(super) fresh: bool,
    /// Its text is being written, or its command run.
    pub(super) busy: bool,
    backoff: Backoff,
    retry: Option<Instant>,
    /// What is wrong, as it was last said.
    complaint: Option<String>,
}

impl Job {
    /// Reads the template. It is to be rendered at once.
    pub(super) fn new(
        spec: TemplateSpec,
        permissions: &Permissions,
    ) -> Result<Self, TemplateError> {
        let text = spec.source.read()?;
        let engine = Engine::restricted(spec.source.name(), &text, permissions)?
            .with_slots(Slots::load(&spec.output.target));
        let mut quiet = QuietPeriod::new(spec.wait);
        quiet.change(Instant::now(), true);
        Ok(Self {
            spec,
            source: text,
            engine,
            quiet,
            last: Asked::default(),
            complete: Asked::default(),
            questions: BTreeSet::new(),
            missing: BTreeSet::new(),
            settled: false,
            text: None,
            fresh: false,
            busy: false,
            backoff: Backoff::new(RETRY.0, RETRY.1),
            retry: None,
            complaint: None,
        })
    }

    /// Takes another version of the template's text.
    pub(super) fn edit(
        &mut self,
        text: &str,
        permissions: &Permissions,
    ) -> Result<(), TemplateError> {
        let slots = self.engine.slots();
        self.engine =
            Engine::restricted(self.spec.source.name(), text, permissions)?.with_slots(slots);
        text.clone_into(&mut self.source);
        self.missing.clear();
        self.quiet.change(Instant::now(), true);
        Ok(())
    }

    /// Takes over what the job before it for the same target has come to.
    pub(super) fn inherit(&mut self, before: Job) {
        self.busy = before.busy;
        self.settled = before.settled;
        self.last = before.last;
        self.complete = before.complete;
    }

    /// There is a new answer to `question`. Until everything is known and written once, and when it is `urgent`, it is
    /// not waited for more.
    pub(super) fn answered(&mut self, question: &Question, urgent: bool, now: Instant) {
        if self.missing.remove(question) {
            if self.missing.is_empty() {
                self.quiet.change(now, true);
            }
        } else if self.missing.is_empty() && self.questions.contains(question) {
            self.quiet.change(now, urgent || !self.settled);
        }
    }

    /// When it is to be rendered next.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.busy || !self.missing.is_empty() {
            return None;
        }
        [self.quiet.due(), self.retry].into_iter().flatten().min()
    }

    /// Renders. The same data gives the same text, and the same time while nothing else has changed.
    pub(super) fn render(
        &mut self,
        known: &Knowledge,
        now: SystemTime,
    ) -> Result<Rendering, TemplateError> {
        let before = self.text.as_ref();
        let rendering = self
            .engine
            .render(known, before.map_or(now, |(_, time)| *time))?;
        let changed = rendering.text.as_ref() != before.map(|(text, _)| text);
        if rendering.used_time && changed && before.is_some() {
            return self.engine.render(known, now);
        }
        Ok(rendering)
    }

    /// It was rendered, for good or ill.
    pub(super) fn rendered(&mut self, rendering: &Rendering, now: SystemTime) {
        self.quiet.acted();
        self.retry = None;
        self.last = rendering.asked.clone();
        let questions = rendering.asked.dependencies.iter();
        self.questions = questions
            .map(|dependency| dependency.question.clone())
            .collect();
        self.missing.clone_from(&rendering.missing);
        if let Some(text) = &rendering.text {
            self.complete = rendering.asked.clone();
            let same = self.text.as_ref().is_some_and(|(before, _)| before == text);
            self.fresh = !same;
            if !same {
                self.text = Some((text.clone(), now));
            }
        }
    }

    /// It could not be rendered: nothing but a change can help.
    pub(super) fn failed_to_render(&mut self) {
        self.quiet.acted();
        self.retry = None;
    }

    /// What it reads, as far as is known: an incomplete rendering has not seen everything.
    pub(super) fn reads(&self) -> Asked {
        let mut reads = self.complete.clone();
        reads.extend(self.last.clone());
        reads
    }

    /// Which numbers have been given, for the file beside the target.
    pub(super) fn note(&self) -> Option<(PathBuf, String)> {
        self.engine.slots().note(&self.spec.output.target)
    }

    /// Everything went well.
    pub(super) fn succeeded(&mut self) {
        self.settled = true;
        self.complaint = None;
        self.backoff.reset();
    }

    /// Writing or its command failed. Returns the pause before it is tried again.
    pub(super) fn failed(&mut self, now: Instant) -> Duration {
        let pause = self.backoff.next_delay();
        self.retry = Some(now + pause);
        pause
    }

    /// Whether `complaint` is another one than the last.
    pub(super) fn is_news(&mut self, complaint: &str) -> bool {
        let news = self.complaint.as_deref() != Some(complaint);
        self.complaint = Some(complaint.to_owned());
        news
    }
}
