//! What stands in the files: requests and answers as they are written, with wall-clock times, and all of them together as
//! one state.
//!
//! Plain values and their bytes; no files here.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::core::{
    keep::{KeptAnswer, KeptRequest},
    limits::OVERHEAD,
    message::{ClientKey, Frames, Refusal, RequestName, Retry},
};

/// One change, as appended to the log.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum Change {
    /// A request to be kept.
    Keep(Request),
    /// A request that has ended, by its number, perhaps with an answer.
    Release(u64, Option<Answer>),
}

/// A request.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Request {
    pub(super) number: u64,
    id: Bytes,
    service: String,
    /// Milliseconds since 1970.
    deadline: u64,
    /// At most once.
    once: bool,
    trace: Option<String>,
    body: Frames,
    /// The client's key. It came later than the rest: older files have none.
    #[serde(default)]
    key: Option<[u8; 32]>,
}

/// An answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Answer {
    id: Bytes,
    check_sum: u32,
    /// Milliseconds since 1970.
    at: u64,
    /// 200, or the code of a refusal.
    code: u16,
    maybe_executed: bool,
    /// The frames of a result, or the reason of a refusal.
    body: Frames,
    /// As with requests.
    #[serde(default)]
    key: Option<[u8; 32]>,
}

fn name(key: Option<[u8; 32]>, id: Bytes) -> RequestName {
    let key = key.map(ClientKey);
    RequestName { key, id }
}

impl Answer {
    /// Bytes it is accounted for.
    pub(super) fn size(&self) -> usize {
        let frames = self.body.iter().map(|frame| frame.len() + OVERHEAD);
        OVERHEAD + frames.sum::<usize>()
    }
}

/// The two clocks at one moment: deadlines are kept by the wall's, since the other begins anew.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    instant: Instant,
    wall: Duration,
}

impl Clocks {
    pub(super) fn now() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            instant: Instant::now(),
            wall: wall.unwrap_or_default(),
        }
    }

    fn wall_of(self, at: Instant) -> u64 {
        let wall = match at.checked_duration_since(self.instant) {
            Some(later) => self.wall.saturating_add(later),
            None => self.wall.saturating_sub(self.instant - at),
        };
        u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)
    }

    /// A moment of the past or future; what lies too far away is now.
    fn instant_of(self, wall: u64) -> Instant {
        let wall = Duration::from_millis(wall);
        let at = match wall.checked_sub(self.wall) {
            Some(later) => self.instant.checked_add(later),
            None => self.instant.checked_sub(self.wall.saturating_sub(wall)),
        };
        at.unwrap_or(self.instant)
    }
}

impl Request {
    pub(super) fn of(kept: KeptRequest, clocks: Clocks) -> Self {
        Self {
            number: kept.number,
            key: kept.name.key.map(|key| key.0),
            id: kept.name.id,
            service: (*kept.service).to_owned(),
            deadline: clocks.wall_of(kept.deadline),
            once: kept.retry == Retry::Never,
            trace: kept.trace.map(|trace| (*trace).to_owned()),
            body: kept.body,
        }
    }

    fn kept(self, clocks: Clocks) -> KeptRequest {
        KeptRequest {
            number: self.number,
            name: name(self.key, self.id),
            service: self.service.into(),
            deadline: clocks.instant_of(self.deadline),
            retry: if self.once { Retry::Never } else { Retry::Safe },
            trace: self.trace.map(Into::into),
            body: self.body,
        }
    }
}

impl Answer {
    pub(super) fn of(kept: KeptAnswer, clocks: Clocks) -> Self {
        let (code, maybe_executed, body) = match kept.result {
            Ok(body) => (200, false, body),
            Err(refusal) => (refusal.code, refusal.maybe_executed, vec![refusal.text]),
        };
        Self {
            key: kept.name.key.map(|key| key.0),
            id: kept.name.id,
            check_sum: kept.check_sum,
            at: clocks.wall_of(kept.at),
            code,
            maybe_executed,
            body,
        }
    }

    fn kept(self, clocks: Clocks) -> KeptAnswer {
        let result = match self.code {
            200 => Ok(self.body),
            code => Err(Refusal {
                code,
                text: self.body.into_iter().next().unwrap_or_default(),
                retry_after: None,
                maybe_executed: self.maybe_executed,
            }),
        };
        KeptAnswer {
            name: name(self.key, self.id),
            check_sum: self.check_sum,
            result,
            at: clocks.instant_of(self.at).min(clocks.instant),
        }
    }
}

/// How many answers are kept, and how many bytes of them. Their age is looked at when they are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerLimits {
    pub(super) number: usize,
    pub(super) bytes: usize,
}

/// Everything that is kept at one moment. Bodies are shared with whoever else has them.
#[derive(Debug, Default)]
pub(super) struct Kept {
    requests: BTreeMap<u64, Request>,
    answers: VecDeque<Answer>,
    answer_bytes: usize,
}

impl Kept {
    pub(super) fn apply(&mut self, change: Change, limits: AnswerLimits) {
        match change {
            Change::Keep(request) => {
                self.requests.insert(request.number, request);
            }
            Change::Release(number, answer) => {
                self.requests.remove(&number);
                let Some(answer) = answer else { return };
                self.answer_bytes += answer.size();
                self.answers.push_back(answer);
                while self.answers.len() > limits.number || self.answer_bytes > limits.bytes {
                    let Some(oldest) = self.answers.pop_front() else {
                        break;
                    };
                    self.answer_bytes -= oldest.size();
                }
            }
        }
    }

    /// As one state. Times are the wall's, so it may be read whenever.
    pub(super) fn encode(&self) -> Result<Vec<u8>, rmp_serde::encode::Error> {
        let requests: Vec<&Request> = self.requests.values().collect();
        rmp_serde::to_vec(&(requests, &self.answers))
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (requests, answers): (Vec<Request>, VecDeque<Answer>) =
            rmp_serde::from_slice(bytes).map_err(|error| error.to_string())?;
        Ok(Self {
            requests: requests.into_iter().map(|it| (it.number, it)).collect(),
            answer_bytes: answers.iter().map(Answer::size).sum(),
            answers,
        })
    }

    /// For the broker that goes on with them.
    pub(super) fn restore(&self, clocks: Clocks) -> (Vec<KeptRequest>, Vec<KeptAnswer>) {
        let requests = self.requests.values().cloned();
        let answers = self.answers.iter().cloned();
        (
            requests.map(|it| it.kept(clocks)).collect(),
            answers.map(|it| it.kept(clocks)).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_before_there_were_keys_is_read() {
        // As the fields stood then, up to the body.
        let request = (7_u64, "id", "up", 5_u64, false, None::<&str>, ["body"]);
        let answer = ("id", 9_u32, 5_u64, 200_u16, false, ["done"]);
        let bytes = rmp_serde::to_vec(&([request], [answer])).expect("plain values");
        let kept = Kept::decode(&bytes).expect("it can be read");
        let (requests, answers) = kept.restore(Clocks::now());
        let id = Bytes::from_static(b"id");
        let want = name(None, id);
        assert_eq!(requests[0].name, want);
        assert_eq!(answers[0].name, want);
    }
}
