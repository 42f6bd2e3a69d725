//! `/v1/agent`: registering and deregistering instances and checks, reporting on checks, maintenance; and what the
//! agent shows of itself. Consul's agent has no blocking queries but one: `agent/service/:id` by the hash of its contents.

use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::access::{Kind, Own, Rights};
use super::answer::{Answer, Failure, to_json};
use super::blocking::jitter;
use super::request::{Call, truth};
use super::state::State;
use super::view::{AgentServiceView, CheckShape, CheckView};
use super::{body, filtered, metrics};
use crate::catalog::{Command, Instance, Status, Topic};
use crate::check::Source;

/// Where a real server's raft would listen; clients show it, none connects to it.
const SERVER_PORT: u16 = 8300;
const SERF_PORT: u16 = 8301;
/// Which Consul this registry behaves like.
const VERSION: &str = "1.8.7";

type Result = std::result::Result<Answer, Failure>;

/// `status/leader` and `status/peers`: this server, alone.
pub(super) fn status(state: &State, call: &Call, list: bool) -> Result {
    call.own_place(&state.local.datacenter)
        .map_err(Failure::without_index)?;
    if list {
        answer(call, &[leader(state)])
    } else {
        answer(call, &leader(state))
    }
}

fn leader(state: &State) -> String {
    let address = &state.local.address;
    if address.contains(':') {
        format!("[{address}]:{SERVER_PORT}")
    } else {
        format!("{address}:{SERVER_PORT}")
    }
}

pub(super) fn answer(call: &Call, value: &impl serde::Serialize) -> Result {
    Ok(Answer::json(to_json(value, call.has("pretty"))?))
}

/// Consul's service-free view of this process; clients read `Config` and `Member`.
pub(super) fn this(state: &State, call: &Call) -> Result {
    need(state, call, |rights, node| rights.read(Kind::Agent, node))?;
    let local = &state.local;
    let (services, checks) = {
        let catalog = state.read();
        (catalog.agent_services().len(), catalog.agent_checks().len())
    };
    let view = json!({
        "Config": {
            "Datacenter": local.datacenter, "NodeName": local.name, "NodeID": local.id, "Revision": "",
            "Server": true, "Version": VERSION,
        },
        "DebugConfig": {},
        "Coord": {"Vec": [0, 0, 0, 0, 0, 0, 0, 0], "Error": 1.5, "Adjustment": 0, "Height": 1e-05},
        "Member": member(state),
        "Stats": {
            "agent": {"services": services.to_string(), "checks": checks.to_string()},
            "consul": {"acl": if state.access.is_on() { "enabled" } else { "disabled" }, "leader": "true", "leader_addr": leader(state), "server": "true"},
        },
        "Meta": {"consul-network-segment": ""},
    });
    answer(call, &view)
}

pub(super) fn members(state: &State, call: &Call) -> Result {
    let rights = state.rights(call)?;
    let mut own = member(state);
    if call.parameter("wan").is_some_and(|wan| !wan.is_empty()) {
        // Among datacenters a member is called after both.
        own["Name"] = json!(format!("{}.{}", state.local.name, state.local.datacenter));
    }
    let mut members = vec![own];
    members.retain(|_| rights.read(Kind::Node, &state.local.name));
    answer(call, &members)
}

fn member(state: &State) -> Value {
    let local = &state.local;
    json!({
        "Name": local.name, "Addr": local.address, "Port": SERF_PORT,
        "Tags": {
            "acls": if state.access.is_on() { "1" } else { "0" }, "build": format!("{VERSION}:"), "dc": local.datacenter, "id": local.id,
            "port": SERVER_PORT.to_string(), "raft_vsn": "3", "role": "consul", "segment": "", "vsn": "2",
            "vsn_max": "3", "vsn_min": "2",
        },
        "Status": 1, "ProtocolMin": 1, "ProtocolMax": 5, "ProtocolCur": 2, "DelegateMin": 2, "DelegateMax": 5,
        "DelegateCur": 4,
    })
}

pub(super) fn services(state: &State, call: &Call) -> Result {
    call.own_place(&state.local.datacenter)?;
    let rights = state.rights(call)?;
    let rows = state.see(&rights).agent_services();
    let views = rows
        .iter()
        .map(|row| (&*row.id, AgentServiceView { row, hash: None }));
    filtered::map(call, filtered::Shape::AgentService, views)
}

pub(super) fn checks(state: &State, call: &Call) -> Result {
    call.own_place(&state.local.datacenter)?;
    let rights = state.rights(call)?;
    let rows = state.see(&rights).agent_checks();
    let views = rows.iter().map(|row| {
        let view = CheckView {
            node: &state.local.name,
            row,
            shape: CheckShape::Agent,
        };
        (&*row.id, view)
    });
    filtered::map(call, filtered::Shape::AgentCheck, views)
}

/// One instance. With `hash` it waits until the contents are others.
pub(super) async fn service(state: &State, call: &Call) -> Result {
    call.own_place(&state.local.datacenter)?;
    let wait = call.wait()?;
    let deadline = Instant::now() + wait + jitter(wait);
    let known = call.parameter("hash").filter(|hash| !hash.is_empty());
    loop {
        let rights = state.rights(call)?;
        let (row, ticket) = {
            let catalog = state.see(&rights);
            let ticket = state
                .waiters
                .wait_on(Topic::AgentService(call.rest.as_str().into()));
            let row = match catalog.agent_instance(&call.rest) {
                Own::Known(row) => Some(row.value.clone()),
                Own::Hidden => return Err(Failure::denied()),
                Own::Unknown => None,
            };
            (row, ticket)
        };
        let Some(row) = row else {
            return Err(Failure::not_found(format!(
                "unknown service ID: {}",
                call.rest
            )));
        };
        let hash = content_hash(&row)?;
        let over = Instant::now() >= deadline || state.stopping.is_cancelled();
        if known != Some(hash.as_str()) || over {
            let view = AgentServiceView {
                row: &row,
                hash: Some(&hash),
            };
            return Ok(answer(call, &view)?.header("x-consul-contenthash", hash.clone()));
        }
        tokio::select! {
            () = ticket.woken() => {}
            () = tokio::time::sleep_until(deadline) => {}
            () = state.stopping.cancelled() => {}
        }
    }
}

/// 64-bit FNV-1a of what a reader would see.
fn content_hash(row: &Instance) -> std::result::Result<String, Failure> {
    let text = to_json(&AgentServiceView { row, hash: None }, false)?;
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Ok(format!("{hash:016x}"))
}

async fn changed(state: &State, call: &Call, command: Command) -> Result {
    state.change(call, command).await?;
    Ok(Answer::empty())
}

/// Where a definition comes from: what the registry's own process sends was written on this machine.
fn source(state: &State, call: &Call) -> Source {
    match call.token() {
        Some(token) if state.access.is_own(token) => Source::Local,
        _ => Source::Remote,
    }
}

pub(super) async fn register_service(state: &State, call: &Call) -> Result {
    let mut definition = body::service_registration(&call.body)?;
    for check in std::iter::once(&mut definition.check).chain(&mut definition.checks) {
        check.permit_script(state.scripts, source(state, call));
    }
    let replace_checks = call.has("replace-existing-checks")
        && call.parameter("replace-existing-checks") != Some("false");
    let definition = Box::new(definition);
    let command = Command::RegisterService {
        definition,
        replace_checks,
    };
    changed(state, call, command).await
}

pub(super) async fn deregister_service(state: &State, call: &Call) -> Result {
    if call.rest.is_empty() {
        state.rights(call)?;
        return Err(Failure::failed("ServiceID missing"));
    }
    changed(state, call, Command::DeregisterService(call.rest.clone())).await
}

pub(super) async fn register_check(state: &State, call: &Call) -> Result {
    let mut check = body::check_registration(&call.body)?;
    check.permit_script(state.scripts, source(state, call));
    changed(state, call, Command::RegisterCheck(Box::new(check))).await
}

pub(super) async fn deregister_check(state: &State, call: &Call) -> Result {
    if call.rest.is_empty() {
        return Err(Failure::failed("CheckID missing"));
    }
    changed(state, call, Command::DeregisterCheck(call.rest.clone())).await
}

/// `pass`, `warn` and `fail`, with an optional note.
pub(super) async fn report(state: &State, call: &Call, status: Status) -> Result {
    let command = Command::ReportTtl {
        id: call.rest.clone(),
        status,
        output: call.parameter("note").unwrap_or("").to_owned(),
    };
    changed(state, call, command).await
}

pub(super) async fn update(state: &State, call: &Call) -> Result {
    let update = body::check_update(&call.body)?;
    let Some(status) = Status::known(&update.status) else {
        return Err(Failure::invalid(format!(
            "Invalid check status: '{}'",
            update.status
        )));
    };
    let command = Command::ReportTtl {
        id: call.rest.clone(),
        status,
        output: update.output,
    };
    changed(state, call, command).await
}

pub(super) async fn service_maintenance(state: &State, call: &Call) -> Result {
    if call.rest.is_empty() {
        return Err(Failure::invalid("Missing service ID"));
    }
    let command = Command::ServiceMaintenance {
        id: call.rest.clone(),
        enable: enable(call)?,
        reason: call.parameter("reason").unwrap_or("").to_owned(),
    };
    changed(state, call, command).await
}

pub(super) async fn node_maintenance(state: &State, call: &Call) -> Result {
    let command = Command::NodeMaintenance {
        enable: enable(call)?,
        reason: call.parameter("reason").unwrap_or("").to_owned(),
    };
    changed(state, call, command).await
}

fn enable(call: &Call) -> std::result::Result<bool, Failure> {
    let word = call
        .parameter("enable")
        .ok_or_else(|| Failure::invalid("Missing value for enable"))?;
    truth(word).ok_or_else(|| Failure::invalid(format!("Invalid value for enable: {word:?}")))
}

/// Refuses who has not the right, given with the local node's name.
fn need(
    state: &State,
    call: &Call,
    has: impl FnOnce(&Rights, &str) -> bool,
) -> std::result::Result<(), Failure> {
    let rights = state.rights(call)?;
    if has(&rights, &state.local.name) {
        return Ok(());
    }
    Err(Failure::denied())
}

/// Reads again what can be read again: tokens and certificates.
pub(super) async fn reload(state: &std::sync::Arc<State>, call: &Call) -> Result {
    need(state, call, |rights, node| rights.write(Kind::Agent, node))?;
    state.reload().await.map_err(Failure::failed)?;
    Ok(Answer::empty())
}

/// Other agents cannot be joined or expelled: there is only this one.
pub(super) fn join(state: &State, call: &Call) -> Result {
    need(state, call, |rights, node| rights.write(Kind::Agent, node))?;
    // An agent that joins itself has done it.
    let serf = format!("{}:{SERF_PORT}", state.local.address);
    if call.rest == state.local.address || call.rest == serf {
        return Ok(Answer::empty());
    }
    Err(Failure::failed(format!(
        "1 error occurred:\n\t* Failed to join {}: this registry runs alone\n\n",
        call.rest
    )))
}

pub(super) fn force_leave(state: &State, call: &Call) -> Result {
    need(state, call, |rights, _| rights.write(Kind::Operator, ""))?;
    if call.rest == state.local.name {
        return Ok(Answer::empty());
    }
    Err(Failure::failed(format!(
        "agent: No node found with name '{}'",
        call.rest
    )))
}

pub(super) fn numbers(state: &State, call: &Call) -> Result {
    need(state, call, |rights, node| rights.read(Kind::Agent, node))?;
    // Consul answers 415 unless it is configured to keep numbers for Prometheus.
    if call.parameter("format") == Some("prometheus") {
        return Ok(Answer {
            content_type: Some("text/plain; version=0.0.4; charset=utf-8"),
            ..Answer::text(StatusCode::OK, metrics::exposition(state))
        });
    }
    answer(call, &metrics::shown(state))
}
