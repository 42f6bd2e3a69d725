//! What the coordinator knows of the queues, and when it stops believing it.
//!
//! Pure: it is told what came and what time it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::super::message::{Note, QueueStatus};

/// A queue that says its numbers all the time and then nothing for so long is gone: three times, and a little.
const SILENT: Duration = Duration::from_millis(2_000);
/// Queues at most.
const MAX_QUEUES: usize = 1_000;

#[derive(Debug)]
struct Known {
    status: QueueStatus,
    heard: Instant,
}

#[derive(Debug, Default)]
pub(in crate::faas) struct State {
    queues: BTreeMap<String, Known>,
    changed: bool,
}

impl State {
    /// A queue sent something. Returns what is to be passed on as it came.
    pub(in crate::faas) fn said(&mut self, note: Note, now: Instant) -> Option<Note> {
        match note.kind() {
            "queue_status" => {
                let status = note.into_status()?;
                let room = self.queues.len() < MAX_QUEUES;
                match self.queues.get_mut(&status.queue_name) {
                    Some(known) => {
                        known.heard = now;
                        self.changed |= known.status != status;
                        known.status = status;
                    }
                    None if room => {
                        self.changed = true;
                        let heard = now;
                        let name = status.queue_name.clone();
                        self.queues.insert(name, Known { status, heard });
                    }
                    None => {}
                }
                None
            }
            "job" => Some(note),
            _ => None,
        }
    }

    /// A connection ended; `name` is who it said it was, `left` how many there still are.
    pub(in crate::faas) fn gone(&mut self, name: Option<&str>, left: usize) {
        if name.is_some_and(|name| self.queues.remove(name).is_some()) {
            self.changed = true;
            return;
        }
        // One of those that do not say who they are: the one heard least lately, if there are too many.
        let quiet = self.queues.iter().filter(|(_, it)| it.is_quiet());
        let quiet: BTreeSet<(Instant, String)> =
            quiet.map(|(name, it)| (it.heard, name.clone())).collect();
        if self.queues.len() > left
            && let Some((_, name)) = quiet.first()
        {
            self.queues.remove(name);
            self.changed = true;
        }
    }

    /// Time passed.
    pub(in crate::faas) fn tick(&mut self, now: Instant) {
        let before = self.queues.len();
        self.queues.retain(|_, known| {
            known.is_quiet() || now.saturating_duration_since(known.heard) <= SILENT
        });
        self.changed |= self.queues.len() != before;
    }

    /// What all queues are told, if it is not what they were told last.
    pub(in crate::faas) fn news(&mut self) -> Option<Note> {
        std::mem::take(&mut self.changed).then(|| self.status())
    }

    /// What all queues are told.
    pub(in crate::faas) fn status(&self) -> Note {
        let queues = self.queues.values().map(|known| known.status.clone());
        Note {
            queues: Some(queues.collect()),
            ..Note::of("queue_status")
        }
    }
}

impl Known {
    /// Whether it speaks only when something has changed.
    fn is_quiet(&self) -> bool {
        self.status.run.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(name: &str, workers: usize, run: Option<u64>) -> Note {
        Note {
            queue_name: Some(name.to_owned()),
            num_workers: Some(workers),
            run,
            ..Note::of("queue_status")
        }
    }

    fn told(state: &State) -> String {
        let queues = state.status().queues.unwrap_or_default();
        let line = queues
            .iter()
            .map(|it| format!("{}={}", it.queue_name, it.num_workers));
        line.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_changed_is_news_once() {
        let now = Instant::now();
        let mut state = State::default();
        assert!(state.said(status("a", 1, None), now).is_none());
        assert!(state.news().is_some());
        state.said(status("a", 1, None), now);
        assert!(state.news().is_none());
        state.said(status("a", 2, None), now);
        assert!(state.news().is_some());
        assert_eq!(told(&state), "a=2");
    }

    #[test]
    fn a_queue_that_names_itself_is_gone_with_its_connection() {
        let now = Instant::now();
        let mut state = State::default();
        state.said(status("a", 1, Some(7)), now);
        state.said(status("b", 1, Some(8)), now);
        state.gone(Some("a"), 1);
        assert_eq!(told(&state), "b=1");
        state.tick(now + SILENT * 2);
        assert_eq!(told(&state), "");
    }

    #[test]
    fn of_those_that_do_not_the_one_heard_least_lately_goes() {
        let now = Instant::now();
        let mut state = State::default();
        state.said(status("a", 1, None), now);
        state.said(status("b", 1, None), now + SILENT);
        state.tick(now + SILENT * 9);
        assert_eq!(
            told(&state),
            "a=1 b=1",
            "silence alone says nothing of them"
        );
        state.gone(None, 2);
        assert_eq!(told(&state), "a=1 b=1", "it was somebody who only listened");
        state.gone(None, 1);
        assert_eq!(told(&state), "b=1");
    }

    #[test]
    fn jobs_are_passed_on() {
        let mut state = State::default();
        let job = Note::of("job");
        assert!(state.said(job, Instant::now()).is_some());
        assert!(state.said(Note::of("other"), Instant::now()).is_none());
    }
}
