//! `/v1/kv`: keys and values, conditional writes, locks.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::access::Kind;
use super::agent::answer;
use super::answer::{Answer, Failure};
use super::blocking::{self, Looked};
use super::request::Call;
use super::state::State;
use crate::catalog::{Command, Done, Entry, HowToSet, Question, Shared};

/// Longest value, as in Consul.
pub(super) const VALUE_LIMIT: usize = 512 * 1024;

type Result = std::result::Result<Answer, Failure>;

/// An entry as JSON.
pub(super) struct EntryView<'a> {
    pub(super) row: &'a Shared<Entry>,
    /// Transactions do not echo the values they set.
    pub(super) with_value: bool,
}

impl Serialize for EntryView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let row = self.row;
        let value = (self.with_value && !row.value.value.is_empty())
            .then(|| STANDARD.encode(&row.value.value));
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("LockIndex", &row.lock_index)?;
        map.serialize_entry("Key", &*row.key)?;
        map.serialize_entry("Flags", &row.flags)?;
        map.serialize_entry("Value", &value)?;
        if let Some(session) = &row.session {
            map.serialize_entry("Session", &**session)?;
        }
        map.serialize_entry("CreateIndex", &row.create_index)?;
        map.serialize_entry("ModifyIndex", &row.modify_index)?;
        map.end()
    }
}

/// The rows themselves, as `GET` shows them.
struct Entries(Vec<Shared<Entry>>);

impl Serialize for Entries {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|row| EntryView {
            row,
            with_value: true,
        }))
    }
}

pub(super) async fn endpoint(state: &State, call: &Call) -> Result {
    call.own_place(&state.local.datacenter)
        .map_err(Failure::without_index)?;
    match call.method {
        Method::GET if call.has("keys") => keys(state, call).await,
        Method::GET => get(state, call).await,
        Method::PUT => put(state, call).await,
        _ => delete(state, call).await,
    }
}

fn missing_key() -> Failure {
    Failure::invalid("Missing key name")
}

/// 404 without a body, but with an index to wait on.
fn none(index: u64) -> Answer {
    Answer::empty()
        .status(StatusCode::NOT_FOUND)
        .indexed(index, None)
}

async fn get(state: &State, call: &Call) -> Result {
    let key = call.rest.clone();
    let recurse = call.has("recurse");
    if key.is_empty() && !recurse {
        return Err(missing_key());
    }
    if !recurse && !state.rights(call)?.read(Kind::Key, &key) {
        return Err(Failure::denied());
    }
    let question = if recurse {
        Question::Prefix(key)
    } else {
        Question::Key(key)
    };
    let Looked { index, rows } = blocking::look(state, call, &question, |catalog| {
        if recurse {
            catalog.kv_below(&call.rest).cloned().collect()
        } else {
            catalog
                .kv_get(&call.rest)
                .cloned()
                .into_iter()
                .collect::<Vec<_>>()
        }
    })
    .await?;
    let Some(first) = rows.first() else {
        return Ok(none(index));
    };
    if call.has("raw") && !recurse {
        let answer = Answer {
            body: first.value.value.clone(),
            ..Answer::text(StatusCode::OK, "")
        };
        return Ok(answer
            .header("x-content-type-options", "nosniff")
            .header("content-security-policy", "sandbox")
            .indexed(index, None));
    }
    Ok(answer(call, &Entries(rows))?.indexed(index, None))
}

/// The keys below a prefix; with a separator, only up to its first occurrence after the prefix.
async fn keys(state: &State, call: &Call) -> Result {
    let separator = call.parameter("separator").unwrap_or("");
    let question = Question::Prefix(call.rest.clone());
    let Looked { index, rows } = blocking::look(state, call, &question, |catalog| {
        let mut keys = BTreeSet::new();
        for entry in catalog.kv_below(&call.rest) {
            let rest = &entry.key[call.rest.len()..];
            let cut = match rest.find(separator) {
                Some(at) if !separator.is_empty() => call.rest.len() + at + separator.len(),
                _ => entry.key.len(),
            };
            keys.insert(entry.key[..cut].to_owned());
        }
        keys
    })
    .await?;
    if rows.is_empty() && !call.rest.is_empty() {
        return Ok(none(index));
    }
    Ok(answer(call, &rows)?.indexed(index, None))
}

fn number(text: &str) -> std::result::Result<u64, Failure> {
    text.parse().map_err(|error: std::num::ParseIntError| {
        let why = match error.kind() {
            std::num::IntErrorKind::PosOverflow => "value out of range",
            _ => "invalid syntax",
        };
        Failure::failed(format!("strconv.ParseUint: parsing {text:?}: {why}"))
    })
}

/// Refuses two parameters that exclude each other.
fn conflict(call: &Call, a: &str, b: &str) -> std::result::Result<(), Failure> {
    match (call.parameter(a), call.parameter(b)) {
        (Some(_), Some(_)) => Err(Failure::invalid(format!(
            "Conflicting flags: {}",
            call.encoded()
        ))),
        _ => Ok(()),
    }
}

async fn put(state: &State, call: &Call) -> Result {
    if call.rest.is_empty() {
        return Err(missing_key());
    }
    conflict(call, "acquire", "release")?;
    conflict(call, "cas", "acquire")?;
    conflict(call, "cas", "release")?;
    let flags = call.parameter("flags").map_or(Ok(0), number)?;
    let how = if let Some(text) = call.parameter("cas") {
        HowToSet::If(number(text)?)
    } else if let Some(session) = call.parameter("acquire") {
        HowToSet::Acquire(session.to_owned())
    } else if let Some(session) = call.parameter("release") {
        HowToSet::Release(session.to_owned())
    } else {
        HowToSet::Plain
    };
    if call.body.len() > VALUE_LIMIT {
        return Err(Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "Request body({} bytes) too large, max size: {VALUE_LIMIT} bytes. \
                 See https://www.consul.io/docs/agent/options.html#kv_max_value_size.",
                call.body.len()
            ),
        ));
    }
    let command = Command::KvSet {
        key: call.rest.clone(),
        value: call.body.clone(),
        flags,
        how,
    };
    held(state, call, command).await
}

async fn delete(state: &State, call: &Call) -> Result {
    conflict(call, "cas", "recurse")?;
    let recurse = call.has("recurse");
    if call.rest.is_empty() && !recurse {
        return Err(missing_key());
    }
    let index = call.parameter("cas").map(number).transpose()?;
    let key = call.rest.clone();
    let command = if recurse {
        Command::KvDeleteTree(key)
    } else {
        Command::KvDelete { key, index }
    };
    held(state, call, command).await
}

/// Does it, and answers whether its condition held.
async fn held(state: &State, call: &Call, command: Command) -> Result {
    let done = state.change(call, command).await?;
    answer(call, &matches!(done, Done::Held(true)))
}
