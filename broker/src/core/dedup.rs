//! Answers already given, kept for a while in case the same request comes again.
//!
//! Bounded by number, bytes and age; the oldest goes first. It knows names of requests, check sums and answers, no clients.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    limits::OVERHEAD,
    message::{Frames, Refusal, RequestName},
};

/// What was answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    Final(Frames),
    /// A worker's own refusal; ours are not kept, the next try may fare better.
    Failed(Refusal),
}

impl Answer {
    fn size(&self) -> usize {
        OVERHEAD
            + match self {
                Self::Final(body) => size_of_frames(body),
                Self::Failed(refusal) => refusal.text.len(),
            }
    }
}

/// Bytes a body is accounted for.
pub(super) fn size_of_frames(frames: &[Bytes]) -> usize {
    frames.iter().map(|frame| frame.len() + OVERHEAD).sum()
}

/// A check sum over what is asked of whom, and its division into frames: enough to notice that another request carries the same id.
pub(super) fn check_sum(service: &[u8], frames: &[Bytes]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    for frame in std::iter::once(service).chain(frames.iter().map(Bytes::as_ref)) {
        sum.update(&(frame.len() as u64).to_le_bytes());
        sum.update(frame);
    }
    sum.finalize()
}

#[derive(Debug)]
struct Kept {
    answer: Answer,
    check_sum: u32,
    at: Instant,
}

/// Answers by the names of their requests.
#[derive(Debug)]
pub(super) struct Answers {
    kept: HashMap<RequestName, Kept>,
    order: VecDeque<RequestName>,
    bytes: usize,
    max: usize,
    max_bytes: usize,
    age: Duration,
}

impl Answers {
    pub(super) fn new(max: usize, max_bytes: usize, age: Duration) -> Self {
        Self {
            kept: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            max,
            max_bytes,
            age,
        }
    }

    /// The answer given to this request, and the check sum of the body it was given for.
    pub(super) fn get(&self, name: &RequestName, now: Instant) -> Option<(&Answer, u32)> {
        self.kept
            .get(name)
            .filter(|kept| now.saturating_duration_since(kept.at) < self.age)
            .map(|kept| (&kept.answer, kept.check_sum))
    }

    /// Keeps an answer; lets go of the oldest where there are too many. One that is too large by itself is not kept.
    pub(super) fn put(&mut self, name: RequestName, answer: Answer, check_sum: u32, now: Instant) {
        let size = answer.size();
        if size > self.max_bytes || self.max == 0 {
            return;
        }
        let kept = Kept {
            answer,
            check_sum,
            at: now,
        };
        match self.kept.insert(name.clone(), kept) {
            // It was answered before, and that had become too old: its place in the order is not worth moving.
            Some(old) => self.bytes -= old.answer.size(),
            None => self.order.push_back(name),
        }
        self.bytes += size;
        while self.bytes > self.max_bytes || self.order.len() > self.max {
            if !self.drop_oldest() {
                break;
            }
        }
    }

    /// Lets go of what is too old. Returns when to look again.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Instant> {
        while let Some(name) = self.order.front() {
            let due = self.kept.get(name).map(|kept| kept.at + self.age);
            match due {
                Some(due) if due > now => return Some(due),
                _ => self.drop_oldest(),
            };
        }
        None
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(name) = self.order.pop_front() else {
            return false;
        };
        if let Some(kept) = self.kept.remove(&name) {
            self.bytes -= kept.answer.size();
        }
        true
    }

    /// How many answers and bytes are kept.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.order.len(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> RequestName {
        RequestName {
            key: None,
            id: Bytes::from(n.to_string()),
        }
    }

    fn answer(bytes: usize) -> Answer {
        Answer::Final(vec![Bytes::from(vec![0; bytes])])
    }

    #[test]
    fn the_oldest_answers_go_first_by_number_bytes_and_age() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut answers = Answers::new(3, 10_000, 10 * second);
        for n in 0..4 {
            answers.put(key(n), answer(10), 0, start + n * second);
        }
        assert!(answers.get(&key(0), start).is_none(), "three are kept");
        assert!(answers.get(&key(1), start + 4 * second).is_some());

        answers.put(key(4), answer(9_500), 0, start + 4 * second);
        assert_eq!(answers.size().0, 1, "10,000 bytes are kept");
        answers.put(key(5), answer(20_000), 0, start + 4 * second);
        assert!(
            answers.get(&key(5), start + 4 * second).is_none(),
            "too large"
        );

        assert!(
            answers.get(&key(4), start + 14 * second).is_none(),
            "too old"
        );
        assert_eq!(
            answers.expire(start + 13 * second),
            Some(start + 14 * second)
        );
        assert_eq!(answers.expire(start + 14 * second), None);
        assert_eq!(answers.size(), (0, 0));
    }

    #[test]
    fn the_check_sum_sees_where_frames_end() {
        let frames = |texts: &[&'static str]| -> Frames {
            texts
                .iter()
                .map(|text| Bytes::from_static(text.as_bytes()))
                .collect()
        };
        assert_ne!(
            check_sum(b"s", &frames(&["ab", "c"])),
            check_sum(b"s", &frames(&["a", "bc"]))
        );
    }
}
