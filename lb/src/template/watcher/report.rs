//! What became of renderings and writes: said once in the log, counted, and shown on the board.

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use super::Watcher;
use super::delivery::Delivered;
use crate::template::TemplateError;
use crate::template::output::Written;

impl Watcher {
    /// A template that cannot be rendered: its file stays as it is.
    pub(super) fn refused(
        &mut self,
        target: &PathBuf,
        error: TemplateError,
    ) -> Result<(), TemplateError> {
        if self.options.once {
            return Err(error);
        }
        let text = error.to_string();
        let news = self
            .jobs
            .get_mut(target)
            .is_some_and(|job| job.is_news(&text));
        if news {
            tracing::warn!(target_file = %target.display(), "{text}; the file stays as it is");
            self.board.event("failed", target, text.clone());
        }
        self.count_failure(target, error.step(), text);
        Ok(())
    }

    /// What was on its way has arrived, or not.
    pub(super) fn delivered(&mut self, delivered: Delivered) -> Result<(), TemplateError> {
        if let Some(command) = &delivered.command {
            self.running.remove(command);
        }
        for (target, outcome) in delivered.outcomes {
            let Some(job) = self.jobs.get_mut(&target) else {
                continue; // The configuration has changed meanwhile.
            };
            job.busy = false;
            match outcome {
                Ok(written) => {
                    job.succeeded();
                    self.board.template(&target, |shown| {
                        shown.error = None;
                        shown.current = true;
                    });
                    if written == Written::Changed {
                        self.wrote(&target, delivered.command.as_deref());
                    }
                }
                Err(error) if self.options.once => return Err(error),
                Err(error) => {
                    let pause = job.failed(Instant::now());
                    let text = error.to_string();
                    tracing::warn!(target_file = %target.display(), "{text}; tried again in {:.1}s", pause.as_secs_f32());
                    self.board.event("failed", &target, text.clone());
                    let rolled_back = u64::from(matches!(error, TemplateError::Command { .. }));
                    self.board
                        .template(&target, |shown| shown.rollbacks_total += rolled_back);
                    self.count_failure(&target, error.step(), text);
                }
            }
            if delivered.ran {
                self.board
                    .template(&target, |shown| shown.commands_total += 1);
            }
        }
        Ok(())
    }

    fn wrote(&self, target: &PathBuf, command: Option<&str>) {
        let bytes = std::fs::metadata(target).map_or(0, |meta| meta.len());
        tracing::info!(target_file = %target.display(), bytes, command, "rendered");
        self.board.template(target, |shown| {
            shown.writes_total += 1;
            shown.written = Some(SystemTime::now());
            shown.bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        });
        let then = command.map_or(String::new(), |command| format!(", then {command:?}"));
        self.board
            .event("written", target, format!("{bytes} bytes{then}"));
    }

    fn count_failure(&self, target: &Path, step: &'static str, text: String) {
        self.board.template(target, |shown| {
            *shown.failures.entry(step).or_default() += 1;
            shown.error = Some(text);
            shown.current = false;
        });
    }
}
