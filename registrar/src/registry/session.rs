//! `/v1/session`: sessions that hold locks on keys.

use std::time::Duration;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::json;

use super::access::Sight;
use super::agent::answer;
use super::answer::{Answer, Failure};
use super::blocking::{self, Looked};
use super::body::{self, SessionRequest};
use super::request::Call;
use super::state::State;
use super::view::Texts;
use super::{duration, random_uuid};
use crate::catalog::{Behavior, Command, Done, Question, Session, Shared};

/// Shortest and longest time to live.
const TTL: std::ops::RangeInclusive<i64> = 10_000_000_000..=24 * 3_600_000_000_000;

type Result = std::result::Result<Answer, Failure>;

struct Sessions(Vec<Shared<Session>>);

impl Serialize for Sessions {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(View))
    }
}

struct View<'a>(&'a Shared<Session>);

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let row = self.0;
        let services = row.service_checks.as_ref().map(|checks| {
            let views = checks.iter();
            let views = views.map(|(id, namespace)| json!({"ID": **id, "Namespace": **namespace}));
            views.collect::<Vec<_>>()
        });
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("ID", &*row.id)?;
        map.serialize_entry("Name", &*row.name)?;
        map.serialize_entry("Node", &*row.node)?;
        map.serialize_entry(
            "LockDelay",
            &u64::try_from(row.lock_delay.as_nanos()).unwrap_or(u64::MAX),
        )?;
        let behavior = match row.behavior {
            Behavior::Release => "release",
            Behavior::Delete => "delete",
        };
        map.serialize_entry("Behavior", behavior)?;
        map.serialize_entry("TTL", row.ttl.as_ref().map_or("", |(text, _)| text))?;
        map.serialize_entry("NodeChecks", &Texts(&row.node_checks))?;
        map.serialize_entry("ServiceChecks", &services)?;
        if !row.checks.is_empty() {
            map.serialize_entry("Checks", &Texts(&row.checks))?;
        }
        map.serialize_entry("CreateIndex", &row.create_index)?;
        map.serialize_entry("ModifyIndex", &row.modify_index)?;
        map.end()
    }
}

/// Consul's rules for what a session may ask for.
fn vetted(request: SessionRequest, local: &str) -> std::result::Result<Session, Failure> {
    let behavior = match request.behavior.as_str() {
        "" | "release" => Behavior::Release,
        "delete" => Behavior::Delete,
        other => {
            return Err(Failure::failed(format!(
                "Invalid Behavior setting '{other}'"
            )));
        }
    };
    let ttl = match request.ttl.as_str() {
        "" => None,
        text => {
            let nanoseconds = duration::parse(text)
                .map_err(|why| Failure::failed(format!("Session TTL '{text}' invalid: {why}")))?;
            if nanoseconds != 0 && !TTL.contains(&nanoseconds) {
                return Err(Failure::failed(format!(
                    "Invalid Session TTL '{nanoseconds}', must be between [10s=24h0m0s]"
                )));
            }
            let length = u64::try_from(nanoseconds).ok().filter(|n| *n > 0);
            length.map(|n| (text.into(), Duration::from_nanos(n)))
        }
    };
    Ok(Session {
        id: random_uuid().into(),
        name: request.name.into(),
        node: request.node.unwrap_or_else(|| local.to_owned()).into(),
        lock_delay: Duration::from_nanos(u64::try_from(request.lock_delay).unwrap_or(0)),
        behavior,
        ttl,
        node_checks: request.node_checks,
        service_checks: request.service_checks,
        checks: request.checks,
    })
}

pub(super) async fn create(state: &State, call: &Call) -> Result {
    call.own_place(&state.local.datacenter)
        .map_err(Failure::without_index)?;
    let request = body::session_request(&call.body)?;
    let session = vetted(request, &state.local.name)?;
    let id = session.id.clone();
    state
        .change(call, Command::SessionCreate(Box::new(session)))
        .await?;
    answer(call, &json!({"ID": *id}))
}

fn named(call: &Call) -> std::result::Result<&str, Failure> {
    if call.rest.is_empty() {
        return Err(Failure::invalid("Missing session"));
    }
    Ok(&call.rest)
}

pub(super) async fn destroy(state: &State, call: &Call) -> Result {
    call.own_place(&state.local.datacenter)
        .map_err(Failure::without_index)?;
    let id = named(call)?;
    state
        .change(call, Command::SessionDestroy(id.to_owned()))
        .await?;
    answer(call, &true)
}

pub(super) async fn renew(state: &State, call: &Call) -> Result {
    call.own_place(&state.local.datacenter)
        .map_err(Failure::without_index)?;
    let id = named(call)?;
    let renewed = match state
        .change(call, Command::SessionRenew(id.to_owned()))
        .await?
    {
        Done::Session(session) => vec![session],
        _ => Vec::new(),
    };
    answer(call, &Sessions(renewed))
}

pub(super) async fn info(state: &State, call: &Call) -> Result {
    let id = named(call)?.to_owned();
    // Consul sends index headers with this error.
    state
        .read()
        .session(&id)
        .map_err(|error| Failure::from(error).with_index())?;
    list_of(state, call, Question::Session(id.clone()), |catalog| {
        catalog
            .session(&id)
            .ok()
            .flatten()
            .cloned()
            .into_iter()
            .collect()
    })
    .await
}

pub(super) async fn list(state: &State, call: &Call) -> Result {
    list_of(state, call, Question::Sessions, |catalog| {
        catalog.sessions(None)
    })
    .await
}

pub(super) async fn of_node(state: &State, call: &Call) -> Result {
    if call.rest.is_empty() {
        return Err(Failure::invalid("Missing node name"));
    }
    let question = Question::NodeSessions(call.rest.clone());
    list_of(state, call, question, |catalog| {
        catalog.sessions(Some(&call.rest))
    })
    .await
}

async fn list_of(
    state: &State,
    call: &Call,
    question: Question,
    read: impl Fn(&Sight<'_>) -> Vec<Shared<Session>>,
) -> Result {
    let looked = blocking::look(state, call, &question, read).await;
    let Looked { index, rows } = looked.map_err(Failure::far_if_denied)?;
    Ok(answer(call, &Sessions(rows))?.indexed(index, None))
}
