//! What the parts say to each other: one JSON object in one frame.
//!
//! The members that the system they come from has are read and written as there; what ours add is left out where there is
//! nothing to say, and not needed to understand the rest. A body stays the text that it came as: numbers are not rounded.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{DEFAULT_FUNCTION, is_name};
use crate::core::limits::MAX_ID;

/// The topic of everything that queues and coordinator say to each other.
pub(super) const DATA: &str = "DATA";

/// Any of the messages. Which members there are depends on the kind.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Note {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<Box<RawValue>>,
    /// A job in the shape that a worker gets after an answer in the system these messages come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) job: Option<Box<Note>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) queue_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ip_worker_to_queue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) queue_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) num_workers: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) queue_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) queue_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) queues: Option<Vec<QueueStatus>>,

    // From here on, ours.
    /// Of a job: the function asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) function: Option<String>,
    /// Of a worker: the functions it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) functions: Option<Vec<String>>,
    /// Of a request: the address of the front end that waits for the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) front: Option<String>,
    /// Of a request: how long somebody waits for the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout_ms: Option<u64>,
    /// Of a job: the broker keeps it until it is answered, and says so when it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kept: Option<bool>,
    /// Of an answer: it is an error, with this code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<u16>,
    /// Of an error: another worker may do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry: Option<bool>,
    /// Of a job from one queue to another: it was lent, and comes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) back: Option<bool>,
    /// Of a queue: which of its lives this is, in case it had lost what it was given in an earlier one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<u64>,
    /// Of a queue: its functions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) offers: Option<BTreeMap<String, Offer>>,
}

/// The workers of a queue that have a function.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Offer {
    /// All of them.
    pub(super) workers: usize,
    /// Those with nothing to do.
    pub(super) free: usize,
}

/// What a queue says of itself, as the coordinator passes it on.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct QueueStatus {
    pub(super) queue_name: String,
    #[serde(default)]
    pub(super) num_workers: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) offers: Option<BTreeMap<String, Offer>>,
}

/// A request on its way to a worker.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) message: Box<RawValue>,
    pub(super) function: String,
    pub(super) front: Option<String>,
    pub(super) timeout_ms: Option<u64>,
    pub(super) kept: bool,
}

/// An answer on its way back.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) id: String,
    pub(super) message: Box<RawValue>,
    pub(super) code: Option<u16>,
    /// The queue it comes from, if it says so.
    pub(super) queue: Option<String>,
}

impl Note {
    pub(super) fn of(kind: &str) -> Self {
        Self {
            kind: Some(kind.to_owned()),
            ..Self::default()
        }
    }

    /// Reads a frame; `None` if it is none of these messages.
    pub(super) fn read(frame: &[u8]) -> Option<Self> {
        serde_json::from_slice(frame).ok()
    }

    /// As a frame.
    pub(super) fn write(&self) -> Bytes {
        serde_json::to_vec(self)
            .expect("text and numbers can be written")
            .into()
    }

    pub(super) fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or_default()
    }

    /// The job in it.
    pub(super) fn into_job(self) -> Option<Job> {
        if let Some(inner) = self.job {
            return inner.into_job();
        }
        let id = self.id.filter(|id| (1..=MAX_ID).contains(&id.len()))?;
        let function = self.function.unwrap_or_else(|| DEFAULT_FUNCTION.to_owned());
        is_name(&function).then_some(Job {
            id,
            message: self.message?,
            function,
            front: self.front,
            timeout_ms: self.timeout_ms,
            kept: self.kept.unwrap_or(false),
        })
    }

    /// The answer in it.
    pub(super) fn into_answer(self) -> Option<Answer> {
        Some(Answer {
            id: self.id.filter(|id| (1..=MAX_ID).contains(&id.len()))?,
            message: self.message.unwrap_or_else(null),
            code: self.code,
            queue: self.queue_name,
        })
    }

    /// What a queue says of itself in it.
    pub(super) fn into_status(self) -> Option<QueueStatus> {
        Some(QueueStatus {
            queue_name: self.queue_name.filter(|name| is_name(name))?,
            num_workers: self.num_workers.unwrap_or(0),
            run: self.run,
            offers: self.offers,
        })
    }
}

impl Job {
    /// As a message of this kind; a request and a broker's job have none.
    pub(super) fn note(&self, kind: Option<&str>) -> Note {
        let function = (self.function != DEFAULT_FUNCTION).then(|| self.function.clone());
        Note {
            kind: kind.map(str::to_owned),
            id: Some(self.id.clone()),
            message: Some(self.message.clone()),
            function,
            front: self.front.clone(),
            timeout_ms: self.timeout_ms,
            kept: self.kept.then_some(true),
            ..Note::default()
        }
    }

    /// Bytes it is accounted for.
    pub(super) fn size(&self) -> usize {
        self.message.get().len() + self.id.len() + self.function.len() + 128
    }
}

impl Answer {
    /// An error as an answer: whoever does not know codes shows its text.
    pub(super) fn error(id: &str, code: u16, text: &str) -> Self {
        let message = serde_json::json!({ "error": text });
        Self {
            id: id.to_owned(),
            message: raw(&message),
            code: Some(code),
            queue: None,
        }
    }

    pub(super) fn note(&self) -> Note {
        Note {
            id: Some(self.id.clone()),
            message: Some(self.message.clone()),
            code: self.code,
            queue_name: self.queue.clone(),
            ..Note::of("response")
        }
    }
}

impl QueueStatus {
    /// What others may give it for this function: all its workers, and those that are free if it says so.
    pub(super) fn offer(&self, function: &str) -> Offer {
        match &self.offers {
            Some(offers) => offers.get(function).copied().unwrap_or_default(),
            None if function == DEFAULT_FUNCTION => Offer {
                workers: self.num_workers,
                free: self.num_workers,
            },
            None => Offer::default(),
        }
    }
}

/// Whatever stands there, `null` as well.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(from).map(Some)
}

fn raw(value: &serde_json::Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("a value is JSON")
}

fn null() -> Box<RawValue> {
    raw(&serde_json::Value::Null)
}

/// A body as JSON: itself if it is JSON, else as a string.
pub(super) fn json_of(body: &[u8]) -> Box<RawValue> {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(body);
        raw(&serde_json::Value::String(text.trim_end().to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(note: &Note) -> String {
        String::from_utf8_lossy(&note.write()).into_owned()
    }

    #[test]
    fn messages_are_as_the_existing_parts_write_and_read_them() {
        let job = Note::read(br#"{"id":"a","message":{"x":1.0}}"#).and_then(Note::into_job);
        let job = job.expect("a request");
        assert_eq!(job.function, DEFAULT_FUNCTION);
        assert_eq!(text(&job.note(None)), r#"{"id":"a","message":{"x":1.0}}"#);
        assert_eq!(
            text(&job.note(Some("request_job"))),
            r#"{"type":"request_job","id":"a","message":{"x":1.0}}"#
        );
        let other = br#"{"type":"request_job","job":{"id":"b","message":null}}"#;
        let other = Note::read(other).and_then(Note::into_job).expect("a job");
        assert_eq!((other.id.as_str(), other.message.get()), ("b", "null"));
    }

    #[test]
    fn bodies_are_passed_on_as_they_are_written() {
        let body = r#"[12345678901234567890123, 1.10,  "\u00e4"]"#;
        let line = format!(r#"{{"id":"a","message":{body}}}"#);
        let job = Note::read(line.as_bytes()).and_then(Note::into_job);
        assert_eq!(job.expect("a request").message.get(), body);
    }

    #[test]
    fn what_is_no_message_is_none() {
        for line in [
            "",
            "x",
            "[]",
            r#"{"id":7}"#,
            r#"{"message":1}"#,
            r#"{"id":"","message":1}"#,
            r#"{"id":"a","message":1,"function":"no/slash"}"#,
        ] {
            let job = Note::read(line.as_bytes()).and_then(Note::into_job);
            assert!(job.is_none(), "{line}");
        }
    }

    #[test]
    fn an_answer_that_is_no_json_becomes_a_string() {
        assert_eq!(json_of(b"{\"a\":1}").get(), "{\"a\":1}");
        assert_eq!(json_of(b"two words\n").get(), "\"two words\"");
    }
}
