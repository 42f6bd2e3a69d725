//! `/v1/agent/health/service`: the health of the agent's own instances, said by the status code as well.

use http::StatusCode;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::access::{Kind, Own, Rights};
use super::answer::{Answer, Failure, to_json};
use super::request::Call;
use super::state::State;
use super::view::{AgentServiceView, CheckShape, CheckView};
use crate::catalog::{
    Check, Instance, NODE_MAINTENANCE, SERVICE_MAINTENANCE_PREFIX, Shared, Status,
};

type Result = std::result::Result<Answer, Failure>;

/// The worst of several checks, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worst {
    Passing,
    Warning,
    Critical,
    Maintenance,
}

impl Worst {
    fn of(checks: &[Shared<Check>]) -> Worst {
        let each = checks.iter().map(|check| {
            let maintained =
                *check.id == *NODE_MAINTENANCE || check.id.starts_with(SERVICE_MAINTENANCE_PREFIX);
            match check.status {
                _ if maintained => Worst::Maintenance,
                Status::Passing => Worst::Passing,
                Status::Warning => Worst::Warning,
                Status::Critical | Status::Other(_) => Worst::Critical,
            }
        });
        each.max().unwrap_or(Worst::Passing)
    }

    fn word(self) -> &'static str {
        match self {
            Worst::Passing => "passing",
            Worst::Warning => "warning",
            Worst::Critical => "critical",
            Worst::Maintenance => "maintenance",
        }
    }

    fn code(self) -> StatusCode {
        match self {
            Worst::Passing => StatusCode::OK,
            Worst::Warning => StatusCode::TOO_MANY_REQUESTS,
            Worst::Critical | Worst::Maintenance => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// One instance with its checks and what they come to.
struct Entry {
    instance: Shared<Instance>,
    checks: Vec<Shared<Check>>,
    worst: Worst,
    node: String,
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let service = AgentServiceView {
            row: &self.instance,
            hash: None,
        };
        let checks: Vec<CheckView<'_>> = self
            .checks
            .iter()
            .map(|row| CheckView {
                node: &self.node,
                row,
                shape: CheckShape::Old,
            })
            .collect();
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("AggregatedStatus", self.worst.word())?;
        map.serialize_entry("Service", &service)?;
        map.serialize_entry("Checks", &checks)?;
        map.end()
    }
}

fn entries(state: &State, rights: &Rights, wanted: impl Fn(&Instance) -> bool) -> Vec<Entry> {
    let catalog = state.see(rights);
    let instances = catalog.agent_services().into_iter();
    instances
        .filter(|instance| wanted(instance))
        .map(|instance| {
            let checks = catalog.agent_checks_of(&instance.id);
            Entry {
                worst: Worst::of(&checks),
                node: state.local.name.clone(),
                instance,
                checks,
            }
        })
        .collect()
}

fn wants_text(call: &Call) -> bool {
    let accepts = call.headers.get(http::header::ACCEPT);
    call.parameter("format") == Some("text")
        || accepts.is_some_and(|accept| accept.as_bytes().starts_with(b"text/plain"))
}

fn said(call: &Call, worst: Worst, body: &impl Serialize) -> Result {
    let answer = if wants_text(call) {
        Answer::text(worst.code(), worst.word())
    } else {
        Answer::json(to_json(body, call.has("pretty"))?).status(worst.code())
    };
    Ok(answer.header("x-consul-reason", worst.word()))
}

pub(super) fn by_id(state: &State, call: &Call) -> Result {
    let id = call.rest.as_str();
    if id.is_empty() {
        return Err(Failure::failed("Bad request: Missing serviceID"));
    }
    let rights = state.rights(call)?;
    if let Own::Hidden = state.see(&rights).agent_instance(id) {
        return Err(Failure::denied());
    }
    if let Some(entry) = entries(state, &rights, |instance| *instance.id == *id).pop() {
        return said(call, entry.worst, &entry);
    }
    let reason = format!("ServiceId {id} not found");
    let body = serde_json::json!({"AggregatedStatus": "critical", "Service": null, "Checks": null});
    let answer = not_found(call, reason, &body)?;
    // Consul calls it so here, even where it is bare text.
    Ok(Answer {
        content_type: Some("application/json"),
        ..answer
    })
}

pub(super) fn by_name(state: &State, call: &Call) -> Result {
    // The agent, unlike the catalog, tells `Web` from `web`.
    let name = call.rest.as_str();
    if name.is_empty() {
        return Err(Failure::failed("Bad request: Missing service Name"));
    }
    let rights = state.rights(call)?;
    if !rights.read(Kind::Service, &call.rest) {
        return Err(Failure::denied());
    }
    let entries = entries(state, &rights, |instance| *instance.name == *name);
    if let Some(worst) = entries.iter().map(|entry| entry.worst).max() {
        return said(call, worst, &entries);
    }
    let none: [u8; 0] = [];
    not_found(call, format!("ServiceName {} Not Found", call.rest), &none)
}

fn not_found(call: &Call, reason: String, body: &impl Serialize) -> Result {
    let answer = if wants_text(call) {
        Answer::text(StatusCode::NOT_FOUND, reason.clone())
    } else {
        Answer::json(to_json(body, call.has("pretty"))?).status(StatusCode::NOT_FOUND)
    };
    Ok(answer.header("x-consul-reason", reason))
}
