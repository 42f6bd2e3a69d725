//! Answers of the last time, in case somebody asks for one again.
//!
//! Bounded by number, bytes and age; it knows nothing of who asks.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::message::Answer;

/// How many are kept …
const KEPT: usize = 10_000;
/// … of how many bytes …
const KEPT_BYTES: usize = 64 * 1024 * 1024;
/// … and for how long: whoever lost an answer with its connection asks again within seconds.
const AGE: Duration = Duration::from_secs(60);

/// Answers by the id of their request.
#[derive(Debug, Default)]
pub(super) struct Recent {
    answers: HashMap<String, Answer>,
    order: VecDeque<(Instant, String, usize)>,
    bytes: usize,
}

impl Recent {
    pub(super) fn get(&self, id: &str) -> Option<&Answer> {
        self.answers.get(id)
    }

    /// Keeps it, unless there is one for that request already. Returns whether it is new.
    pub(super) fn keep(&mut self, answer: &Answer, now: Instant) -> bool {
        if self.answers.contains_key(&answer.id) {
            return false;
        }
        let size = answer.message.get().len() + 2 * answer.id.len();
        self.bytes += size;
        self.answers.insert(answer.id.clone(), answer.clone());
        self.order.push_back((now, answer.id.clone(), size));
        self.forget(now);
        true
    }

    /// Forgets what is too old, or too much.
    pub(super) fn forget(&mut self, now: Instant) {
        while let Some((kept, id, size)) = self.order.front() {
            let old = now.saturating_duration_since(*kept) > AGE;
            if !old && self.order.len() <= KEPT && self.bytes <= KEPT_BYTES {
                return;
            }
            self.bytes -= size;
            self.answers.remove(id);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_is_kept_until_it_is_old() {
        let now = Instant::now();
        let mut recent = Recent::default();
        assert!(recent.keep(&Answer::error("a", 500, "first"), now));
        assert!(!recent.keep(&Answer::error("a", 501, "second"), now));
        assert_eq!(recent.get("a").and_then(|it| it.code), Some(500));
        recent.forget(now + AGE * 2);
        assert!(recent.get("a").is_none());
        assert_eq!(recent.bytes, 0);
    }

    #[test]
    fn there_are_no_more_than_so_many() {
        let now = Instant::now();
        let mut recent = Recent::default();
        for number in 0..=KEPT {
            recent.keep(&Answer::error(&number.to_string(), 500, ""), now);
        }
        assert!(recent.get("0").is_none());
        assert!(recent.get("1").is_some());
    }
}
