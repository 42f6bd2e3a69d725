//! Answers already given, kept for a while in case the same request comes again.
//!
//! Bounded by number, bytes and age; the oldest goes first. At full speed each answer is written here once, looked for hardly
//! ever and dropped soon, so what is kept is in few large pieces, and found by a hash of the request's name. It knows names
//! of requests, check sums and answers, no clients.

mod pages;
mod record;

use std::{
    collections::{VecDeque, hash_map::RandomState},
    hash::BuildHasher,
    time::{Duration, Instant},
};

use bytes::Bytes;

use self::pages::{Pages, Piece};
use super::{
    board::NumberMap,
    limits::OVERHEAD,
    message::{Frames, Refusal, RequestName},
};

/// What was answered: a result, or a worker's own refusal. Refusals of ours are not kept, the next try may fare better.
pub(super) type Answer = Result<Frames, Refusal>;

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

/// What the name of a request comes to, under a key that nobody else knows.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct NameHash(u64);

#[derive(Debug)]
enum Body {
    /// A result: name, lengths of the frames and the frames themselves stand in the pages.
    Small(Piece),
    /// One too large to be copied, or a refusal.
    Whole(Box<(RequestName, Answer)>),
}

#[derive(Debug)]
struct Kept {
    name: NameHash,
    check_sum: u32,
    /// Bytes it is accounted for.
    size: usize,
    at: Instant,
    body: Body,
}

/// Answers by the names of their requests.
#[derive(Debug)]
pub(super) struct Answers {
    /// The oldest first.
    kept: VecDeque<Kept>,
    /// The number of the first, counted from the first there ever was.
    first: u64,
    /// The number of the latest answer to each. Names with the same hash displace each other: one is run again, as if it had
    /// become too old.
    latest: NumberMap<NameHash, u64>,
    pages: Pages,
    hasher: RandomState,
    bytes: usize,
    max: usize,
    max_bytes: usize,
    age: Duration,
}

impl Answers {
    pub(super) fn new(max: usize, max_bytes: usize, age: Duration) -> Self {
        Self {
            kept: VecDeque::new(),
            first: 0,
            latest: NumberMap::default(),
            pages: Pages::default(),
            hasher: RandomState::new(),
            bytes: 0,
            max,
            max_bytes,
            age,
        }
    }

    fn hash(&self, name: &RequestName) -> NameHash {
        NameHash(self.hasher.hash_one(name))
    }

    /// The answer given to this request, and the check sum of the body it was given for.
    pub(super) fn get(&self, name: &RequestName, now: Instant) -> Option<(Answer, u32)> {
        let number = self.latest.get(&self.hash(name))?;
        let at = usize::try_from(number - self.first).ok()?;
        let kept = self.kept.get(at)?;
        if now.saturating_duration_since(kept.at) >= self.age {
            return None;
        }
        let answer = match &kept.body {
            Body::Whole(whole) => (whole.0 == *name).then(|| whole.1.clone()),
            Body::Small(piece) => record::read(self.pages.get(*piece), name).map(Ok),
        };
        Some((answer?, kept.check_sum))
    }

    /// Keeps an answer; lets go of the oldest where there are too many. One that is too large by itself is not kept.
    pub(super) fn put(
        &mut self,
        name: &RequestName,
        answer: Result<&Frames, &Refusal>,
        check_sum: u32,
        at: Instant,
    ) {
        let size = OVERHEAD + answer.map_or_else(|it| it.text.len(), |it| size_of_frames(it));
        if size > self.max_bytes || self.max == 0 {
            return;
        }
        let small = answer.ok().map(|it| (it, record::length(name, it)));
        let body = match small.filter(|it| it.1 <= pages::MAX) {
            Some((frames, length)) => {
                let write = |out: &mut _| record::write(out, name, frames);
                Body::Small(self.pages.push(length, write))
            }
            None => {
                let answer = answer.cloned().map_err(Refusal::clone);
                Body::Whole(Box::new((name.clone(), answer)))
            }
        };
        let (hash, number) = (self.hash(name), self.first + self.kept.len() as u64);
        self.latest.insert(hash, number);
        self.bytes += size;
        self.kept.push_back(Kept {
            name: hash,
            check_sum,
            size,
            at,
            body,
        });
        while (self.bytes > self.max_bytes || self.kept.len() > self.max) && self.drop_oldest() {}
    }

    /// Lets go of what is too old. Returns when to look again.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Instant> {
        while let Some(oldest) = self.kept.front() {
            let due = oldest.at + self.age;
            if due > now {
                return Some(due);
            }
            self.drop_oldest();
        }
        self.kept = VecDeque::new();
        self.latest = NumberMap::default();
        None
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(kept) = self.kept.pop_front() else {
            return false;
        };
        if self.latest.get(&kept.name) == Some(&self.first) {
            self.latest.remove(&kept.name);
        }
        self.first += 1;
        self.bytes -= kept.size;
        if matches!(kept.body, Body::Small(_)) {
            self.pages.pop();
        }
        true
    }

    /// How many answers and bytes are kept.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.kept.len(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::message::ClientKey, *};

    fn key(n: u32) -> RequestName {
        RequestName {
            key: None,
            id: Bytes::from(n.to_string()),
        }
    }

    fn answer(bytes: usize) -> Answer {
        Ok(vec![Bytes::from(vec![0; bytes])])
    }

    fn put(answers: &mut Answers, n: u32, answer: &Answer, at: Instant) {
        answers.put(&key(n), answer.as_ref(), n, at);
    }

    #[test]
    fn the_oldest_answers_go_first_by_number_bytes_and_age() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut answers = Answers::new(3, 10_000, 10 * second);
        for n in 0..4 {
            put(&mut answers, n, &answer(10), start + n * second);
        }
        assert!(answers.get(&key(0), start).is_none(), "three are kept");
        assert!(answers.get(&key(1), start + 4 * second).is_some());

        put(&mut answers, 4, &answer(9_500), start + 4 * second);
        assert_eq!(answers.size().0, 1, "10,000 bytes are kept");
        put(&mut answers, 5, &answer(20_000), start + 4 * second);
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
    fn an_answer_comes_back_as_it_was_given_however_large_and_only_under_its_own_name() {
        let now = Instant::now();
        let mut answers = Answers::new(100, 1_000_000, Duration::from_secs(1));
        let secret = |byte| Some(ClientKey([byte; 32]));
        let names = [None, secret(1), secret(2)].map(|key| RequestName {
            key,
            id: Bytes::from_static(b"id"),
        });
        let results: [Frames; 3] = [
            vec![
                Bytes::from_static(b"a"),
                Bytes::new(),
                Bytes::from_static(b"bc"),
            ],
            vec![Bytes::from(vec![7; pages::MAX])],
            Vec::new(),
        ];
        let refusal = Refusal::new(500, "it broke");
        for (at, (name, result)) in names.iter().zip(&results).enumerate() {
            let sum = u32::try_from(at).expect("three");
            answers.put(name, Ok(result), sum, now);
        }
        put(&mut answers, 9, &Err(refusal.clone()), now);
        for (at, (name, result)) in names.iter().zip(&results).enumerate() {
            let sum = u32::try_from(at).expect("three");
            assert_eq!(answers.get(name, now), Some((Ok(result.clone()), sum)));
        }
        assert_eq!(answers.get(&key(9), now), Some((Err(refusal), 9)));
        let longer = RequestName {
            key: None,
            id: Bytes::from_static(b"id2"),
        };
        assert_eq!(answers.get(&longer, now), None);
        let hash = answers.hash(&names[0]);
        let other = answers.hash(&longer);
        let number = answers.latest[&hash];
        answers.latest.insert(other, number); // as if both names came to the same
        assert_eq!(answers.get(&longer, now), None);
    }

    #[test]
    fn the_latest_answer_counts() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut answers = Answers::new(3, 10_000, 10 * second);
        answers.put(&key(1), answer(1).as_ref(), 1, start);
        answers.put(&key(1), answer(2).as_ref(), 2, start + second);
        assert_eq!(answers.get(&key(1), start + second), Some((answer(2), 2)));
        answers.expire(start + 10 * second);
        let later = start + 10 * second;
        assert_eq!(
            answers.get(&key(1), later),
            Some((answer(2), 2)),
            "the first alone has gone"
        );
        answers.expire(start + 11 * second);
        assert_eq!(answers.get(&key(1), later), None);
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
