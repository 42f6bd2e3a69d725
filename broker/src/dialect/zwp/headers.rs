//! The headers of ZWP/1: one JSON object in one frame, or an empty frame.
//!
//! Unknown members are ignored, so that a newer peer can say more than an older one understands.

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Malformed;

/// Longest headers, in bytes: a trace context and a few numbers.
const MAX_HEADERS: usize = 4096;

/// What a client may say about its request.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct AskHeaders {
    /// How long the client waits, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// `safe`: may be run again if its worker is lost; `never`: may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
    /// Whether it wants to be told that the request was accepted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ack: bool,
    /// Whether it takes the answer in parts.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
    /// 1 if another broker hands it over, which keeps it: it is served at once or given back, and the id is for the worker only.
    #[serde(skip_serializing_if = "is_zero")]
    pub hop: u8,
    /// Trace context: W3C `traceparent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

fn is_zero(number: &u8) -> bool {
    *number == 0
}

/// What a broker says about an error.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct AnswerHeaders {
    /// When another try is worth it, in milliseconds from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Whether a worker may have carried it out nevertheless.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub maybe_executed: bool,
}

/// What a broker says about itself to a worker.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct WelcomeHeaders {
    /// How often both sides beat, in milliseconds.
    pub hb_ms: u64,
    /// How long a worker may keep a request without a sign that it works on it, in milliseconds.
    pub lease_ms: u64,
    /// Largest body, in bytes.
    pub max_body: u64,
    /// The broker's name.
    pub broker: String,
}

/// What a broker says about a request to a worker.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct JobHeaders {
    /// How long the client still waits, in milliseconds from now.
    pub deadline_ms: u64,
    /// Trace context: W3C `traceparent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// Reads headers; an empty frame says nothing.
pub(super) fn read<T: DeserializeOwned + Default>(frame: &[u8]) -> Result<T, Malformed> {
    if frame.is_empty() {
        return Ok(T::default());
    }
    if frame.len() > MAX_HEADERS {
        return Err(Malformed("the headers are longer than 4096 bytes"));
    }
    // An array would do for the JSON reader as well.
    let object = frame.trim_ascii_start().starts_with(b"{");
    let read = object.then(|| serde_json::from_slice(frame).ok()).flatten();
    read.ok_or(Malformed("the headers are not a JSON object as expected"))
}

/// Writes headers; those that say nothing are an empty frame.
pub(super) fn write<T: Serialize + Default + PartialEq>(headers: &T) -> Bytes {
    if *headers == T::default() {
        return Bytes::new();
    }
    serde_json::to_vec(headers)
        .map(Bytes::from)
        .unwrap_or_default()
}
