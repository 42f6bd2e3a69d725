//! `/v1/query`: prepared queries, kept and carried out. There is one datacenter, so none fails over to another.

use http::{Method, StatusCode};
use regex::{Captures, Regex, RegexBuilder};
use serde_json::{Value, json};

use super::access::{Access, Rights, Sight, UnknownToken};
use super::agent::answer;
use super::answer::{Answer, Failure};
use super::blocking::{self, Looked};
use super::places::{Fault, Filling};
use super::request::Call;
use super::select::near_first;
use super::state::State;
use super::view::{HealthView, null_lists};
use super::{body, duration, random_uuid};
use crate::catalog::{Command, Health, Prepared, Question, Shared, Status};

/// Most bytes a template's compiled expression may take.
const REGEX_BYTES: usize = 1024 * 1024;
/// Length of a UUID's text.
const UUID_LENGTH: usize = 36;

type Result<T = Answer> = std::result::Result<T, Failure>;

fn view(rights: &Rights, row: &Shared<Prepared>) -> Value {
    // Consul's word for a token that the asker is not to see.
    let token = match row.token.as_str() {
        "" => "",
        token if rights.is_everything() => token,
        _ => "<hidden>",
    };
    let list = |items: &Vec<String>| (!items.is_empty()).then(|| items.clone());
    let map = |items: &std::collections::BTreeMap<String, String>| {
        (!items.is_empty()).then(|| items.clone())
    };
    json!({
        "ID": row.id, "Name": row.name, "Session": row.session, "Token": token,
        "Template": {"Type": row.template, "Regexp": row.regexp, "RemoveEmptyTags": row.remove_empty_tags},
        "Service": {
            "Service": row.service, "Failover": {"NearestN": row.nearest, "Datacenters": list(&row.datacenters)},
            "OnlyPassing": row.only_passing, "IgnoreCheckIDs": list(&row.ignore_checks), "Near": row.near,
            "Tags": list(&row.tags), "NodeMeta": map(&row.node_meta), "ServiceMeta": map(&row.service_meta),
            "Connect": row.connect,
        },
        "DNS": {"TTL": row.ttl}, "CreateIndex": row.create_index, "ModifyIndex": row.modify_index,
    })
}

fn unknown() -> Failure {
    Failure::not_found("Query not found")
}

fn expression(text: &str) -> std::result::Result<Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(REGEX_BYTES).build()
}

/// Consul's rules for what a query must have.
fn vet(query: &Prepared) -> Result<()> {
    let bad = |text: String| Err(Failure::failed(format!("Invalid prepared query: {text}")));
    if query.name.is_empty() && query.template.is_empty() && query.session.is_empty() {
        return bad("Must be bound to a session".into());
    }
    if query.service.is_empty() {
        return bad("Must provide a Service name to query".into());
    }
    if query.nearest < 0 {
        return bad(format!("Bad NearestN '{}', must be >= 0", query.nearest));
    }
    if !query.ttl.is_empty() {
        match duration::parse(&query.ttl) {
            Err(why) => return bad(format!("Bad DNS TTL '{}': {why}", query.ttl)),
            Ok(nanoseconds) if nanoseconds < 0 => {
                return bad(format!("DNS TTL '{}', must be >=0", query.ttl));
            }
            Ok(_) => {}
        }
    }
    vet_template(query)
}

fn vet_template(query: &Prepared) -> Result<()> {
    let bad = |text: String| {
        Err(Failure::failed(format!(
            "failed compiling template: {text}"
        )))
    };
    if query.template.is_empty() {
        return Ok(());
    }
    if query.template != "name_prefix_match" {
        return bad(format!("Bad Template.Type '{}'", query.template));
    }
    if let Err(error) = expression(&query.regexp) {
        return bad(format!("Bad Regexp: error parsing regexp: {error}"));
    }
    // As Consul does, it is tried with the name it has.
    match fill_in(query, &query.name) {
        Ok(_) => Ok(()),
        Err((place, text, Fault::Format)) => bad(format!(
            "Bad format '{text}' in Service.{place}: parse error: syntax error"
        )),
        Err((place, text, Fault::Evaluation(why))) => bad(format!(
            "Bad evaluation for '{text}' in Service.{place}: {why}"
        )),
    }
}

/// `query`: create one, or list all.
pub(super) async fn all(state: &State, call: &Call) -> Result {
    if call.method == Method::POST {
        call.own_place(&state.local.datacenter)
            .map_err(Failure::without_index)?;
        let mut query = body::prepared_query(&call.body)?;
        if !query.id.is_empty() {
            return Err(Failure::failed(
                "ID must be empty when creating a new prepared query",
            ));
        }
        vet(&query)?;
        query.id = random_uuid();
        let id = query.id.clone();
        let query = Box::new(query);
        state
            .change(
                call,
                Command::PreparedSet {
                    query,
                    update: false,
                },
            )
            .await?;
        return answer(call, &json!({"ID": id}));
    }
    let consistency = call.consistency()?;
    let looked = blocking::look(state, call, &Question::Prepared, |catalog| {
        let rows = catalog.prepared().into_iter();
        rows.map(|row| view(catalog.rights(), &row)).collect()
    });
    let Looked { index, rows } = looked.await.map_err(Failure::far_if_denied)?;
    let views: Vec<Value> = rows;
    Ok(answer(call, &views)?.indexed(index, Some(consistency)))
}

/// `query/…`: one of them, by id; or carried out or explained, by id or name.
pub(super) async fn one(state: &State, call: &Call) -> Result {
    call.own_place(&state.local.datacenter)
        .map_err(Failure::without_index)?;
    if call.method == Method::GET {
        if let Some(name) = call.rest.strip_suffix("/execute") {
            return execute(state, call, name);
        }
        if let Some(name) = call.rest.strip_suffix("/explain") {
            return explain(state, call, name);
        }
        return show(state, call).await;
    }
    let id = call.rest.as_str();
    if id.len() != UUID_LENGTH {
        return Err(Failure::failed(
            "Prepared Query lookup failed: failed prepared query lookup: index error: UUID must be 36 characters",
        ));
    }
    if call.method == Method::DELETE {
        state
            .change(call, Command::PreparedDelete(id.to_owned()))
            .await?;
        return Ok(Answer::empty());
    }
    let mut query = body::prepared_query(&call.body)?;
    query.id = id.to_owned();
    if !state.read().prepared().iter().any(|row| row.id == id) {
        return Err(Failure::failed(format!(
            "Cannot modify non-existent prepared query: '{id}'"
        )));
    }
    vet(&query)?;
    let query = Box::new(query);
    state
        .change(
            call,
            Command::PreparedSet {
                query,
                update: true,
            },
        )
        .await?;
    Ok(Answer::empty())
}

async fn show(state: &State, call: &Call) -> Result {
    let id = call.rest.as_str();
    if id.len() != UUID_LENGTH {
        let text = "failed prepared query lookup: index error: UUID must be 36 characters";
        return Err(Failure::failed(text).with_index());
    }
    let consistency = call.consistency()?;
    if state.read().prepared_of(id).is_none() {
        // Whoever asks.
        return Err(unknown());
    }
    let looked = blocking::look(state, call, &Question::Prepared, |catalog| {
        let row = catalog.prepared_of(id)?;
        let shown = catalog
            .may_read_query(row)
            .then(|| view(catalog.rights(), row));
        Some(shown)
    });
    let Looked { index, rows } = looked.await?;
    let shown = rows.ok_or_else(unknown)?.ok_or_else(Failure::denied)?;
    Ok(answer(call, &[shown])?.indexed(index, Some(consistency)))
}

fn explain(state: &State, call: &Call, name: &str) -> Result {
    let consistency = call.consistency()?;
    let row = filled(&state.see(&Rights::everything()), name).ok_or_else(unknown)?;
    let rights = state.rights(call)?;
    if !state.see(&rights).may_read_query(&row) {
        return Err(Failure::denied());
    }
    let view = json!({
        "Query": view(&rights, &row), "Index": 0, "LastContact": 0, "KnownLeader": true,
        "ConsistencyLevel": consistency.as_str(),
    });
    Ok(answer(call, &view)?.indexed(1, Some(consistency)))
}

/// The query of that id or name, with a template's places filled in.
fn filled(catalog: &Sight<'_>, name: &str) -> Option<Shared<Prepared>> {
    let row = catalog.prepared_find(name).cloned()?;
    if row.template.is_empty() {
        return Some(row);
    }
    // One that was kept before its places were looked at is carried out as it stands.
    let filled = fill_in(&row, name).unwrap_or_else(|_| row.value.clone());
    let mut row = (*row).clone();
    row.value = filled;
    Some(row.into())
}

/// A template with its places filled for the name it was asked by. Otherwise which text cannot be, where it stands, and
/// why.
fn fill_in(row: &Prepared, name: &str) -> std::result::Result<Prepared, (String, String, Fault)> {
    let found = expression(&row.regexp).ok();
    let captures = found
        .as_ref()
        .filter(|_| !row.regexp.is_empty())
        .and_then(|found| found.captures(name));
    let groups: Vec<&str> = captures
        .iter()
        .flat_map(Captures::iter)
        .map(|group| group.map_or("", |group| group.as_str()))
        .collect();
    let filling = Filling {
        full: name,
        prefix: &row.name,
        groups: &groups,
    };
    let fill = |place: String, text: &mut String| match filling.fill(text) {
        Ok(filled) => {
            *text = filled;
            Ok(())
        }
        Err(fault) => Err((place, text.clone(), fault)),
    };
    let mut filled = row.clone();
    fill("Service".to_owned(), &mut filled.service)?;
    let lists = [
        ("Failover.Datacenters", &mut filled.datacenters),
        ("IgnoreCheckIDs", &mut filled.ignore_checks),
        ("Tags", &mut filled.tags),
    ];
    for (list, texts) in lists {
        for (at, text) in texts.iter_mut().enumerate() {
            fill(format!("{list}[{at}]"), text)?;
        }
    }
    fill("Near".to_owned(), &mut filled.near)?;
    let maps = [
        ("NodeMeta", &mut filled.node_meta),
        ("ServiceMeta", &mut filled.service_meta),
    ];
    for (map, texts) in maps {
        for (key, text) in texts {
            fill(format!("{map}[{key}]"), text)?;
        }
    }
    if filled.remove_empty_tags {
        filled.tags.retain(|tag| !tag.is_empty());
    }
    Ok(filled)
}

/// A query with the instances it gives.
type Found = (Shared<Prepared>, Vec<Health>);

/// The query of that id or name, and the instances it gives: shuffled, the local node's first if it wants what is near.
/// A query with a token of its own gives what that may see.
///
/// # Errors
/// Nobody has the query's token.
pub(super) fn carry_out(
    catalog: &Sight<'_>,
    access: &Access,
    local: &str,
    name: &str,
) -> std::result::Result<Option<Found>, UnknownToken> {
    let Some(query) = filled(catalog, name) else {
        return Ok(None);
    };
    let mut rows = if query.token.is_empty() {
        catalog.health_of(&query.service)
    } else {
        catalog.health_as(&*access.rights(Some(&query.token))?, &query.service)
    };
    rows.retain(|row| fits(&query, row));
    fastrand::shuffle(&mut rows);
    if query.near == "_agent" || query.near == local {
        rows.sort_by_key(|row| *row.node.name != *local);
    }
    Ok(Some((query, rows)))
}

fn execute(state: &State, call: &Call, name: &str) -> Result {
    let consistency = call.consistency()?;
    let limit = match call.parameter("limit") {
        None | Some("") => 0,
        Some(text) => text.parse::<usize>().map_err(|_| {
            Failure::failed(format!(
                "Bad limit: strconv.Atoi: parsing {text:?}: invalid syntax"
            ))
        })?,
    };
    if state.read().prepared_find(name).is_none() {
        // Whoever asks.
        return Err(unknown());
    }
    let rights = state.rights(call)?;
    let found = carry_out(&state.see(&rights), &state.access, &state.local.name, name);
    let found = found.map_err(|_| Failure::unknown_token())?;
    let (query, mut rows) = found.ok_or_else(unknown)?;
    near_first(call, &state.local.name, &mut rows, |row| &row.node.name);
    if limit > 0 {
        rows.truncate(limit);
    }
    let nodes: Vec<Value> = rows
        .iter()
        .filter_map(|row| serde_json::to_value(HealthView(row)).ok())
        .map(null_lists)
        .collect();
    let view = json!({
        "Service": query.service, "Nodes": nodes, "DNS": {"TTL": query.ttl}, "Datacenter": state.local.datacenter,
        "Failovers": 0, "Index": 0, "LastContact": 0, "KnownLeader": true, "ConsistencyLevel": consistency.as_str(),
    });
    Ok(answer(call, &view)?
        .status(StatusCode::OK)
        .indexed(1, Some(consistency)))
}

/// Whether an instance is one the query is after: no check critical (or all passing), tags, metadata.
fn fits(query: &Prepared, row: &Health) -> bool {
    let healthy = row.checks.iter().all(|check| {
        query.ignore_checks.iter().any(|id| **id == *check.id)
            || check.status == Status::Passing
            || (!query.only_passing && check.status != Status::Critical)
    });
    let has = |wanted: &str| {
        row.instance
            .tags
            .iter()
            .any(|tag| tag.eq_ignore_ascii_case(wanted))
    };
    let tagged = query.tags.iter().all(|tag| match tag.strip_prefix('!') {
        Some(unwanted) => !has(unwanted),
        None => has(tag),
    });
    let node_has = |key: &str| row.node.meta.as_ref()?.get(key).map(String::as_str);
    let instance_has = |key: &str| row.instance.meta.as_ref()?.get(key).map(|value| &**value);
    healthy
        && tagged
        && query
            .node_meta
            .iter()
            .all(|(key, value)| node_has(key) == Some(value))
        && query
            .service_meta
            .iter()
            .all(|(key, value)| instance_has(key) == Some(value))
        && (!query.connect || row.instance.connect.is_some())
}
