//! `/v1/health`: instances with their checks, and lists of checks.

use super::access::Sight;
use super::answer::{Answer, Failure};
use super::blocking::{Cached, query};
use super::filtered;
use super::request::Call;
use super::select::{Selection, near_first};
use super::state::State;
use super::view::{CheckShape, CheckView, Checks, HealthView, Healths};
use crate::catalog::{Check, Health, OnNode, Question};

type Result = std::result::Result<Answer, Failure>;

pub(super) async fn service(state: &State, call: &Call, connect: bool) -> Result {
    if call.rest.is_empty() {
        return Err(Failure::invalid("Missing service name"));
    }
    let passing = call.switch("passing")?;
    let filter = filtered::Filter::of(call, filtered::Shape::Health)?;
    let selection = Selection::of(call)?;
    let near = state.local.name.as_str();
    let question = Question::ServiceHealth(call.rest.clone());
    query(state, call, question, Cached::Yes, |catalog| {
        let mut rows = catalog.health_of(&call.rest);
        rows.retain(|row| {
            selection.takes_node(&row.node)
                && selection.takes_tags(&row.instance.tags)
                && (!connect || row.instance.connect.is_some())
                && filter.takes(&HealthView(row))
        });
        near_first(call, near, &mut rows, |row| &row.node.name);
        if passing {
            drop_unhealthy(&mut rows);
        }
        Healths(rows)
    })
    .await
}

/// Leaves the healthy ones, in the order Consul leaves them in: the last takes the place of one that goes.
fn drop_unhealthy(rows: &mut Vec<Health>) {
    let mut at = 0;
    while at < rows.len() {
        if rows[at].is_passing() {
            at += 1;
        } else {
            rows.swap_remove(at);
        }
    }
}

pub(super) async fn checks(state: &State, call: &Call) -> Result {
    let question = Question::ServiceChecks(call.rest.clone());
    list(state, call, question, "service name", |catalog| {
        catalog.service_checks(&call.rest)
    })
    .await
}

pub(super) async fn node(state: &State, call: &Call) -> Result {
    let question = Question::NodeChecks(call.rest.clone());
    list(state, call, question, "node name", |catalog| {
        catalog.node_checks(&call.rest)
    })
    .await
}

pub(super) async fn in_state(state: &State, call: &Call) -> Result {
    let question = Question::State(call.rest.clone());
    list(state, call, question, "check state", |catalog| {
        catalog.checks_in_state(&call.rest)
    })
    .await
}

async fn list(
    state: &State,
    call: &Call,
    question: Question,
    what: &str,
    read: impl Fn(&Sight<'_>) -> Vec<OnNode<Check>>,
) -> Result {
    if call.rest.is_empty() {
        return Err(Failure::invalid(format!("Missing {what}")));
    }
    let filter = filtered::Filter::of(call, filtered::Shape::Check)?;
    let selection = Selection::of(call)?;
    let near = state.local.name.as_str();
    query(state, call, question, Cached::No, |catalog| {
        let mut rows = read(catalog);
        rows.retain(|(node, row)| {
            let view = CheckView {
                node: &node.name,
                row,
                shape: CheckShape::Catalog,
            };
            selection.takes_node(node) && filter.takes(&view)
        });
        near_first(call, near, &mut rows, |row| &row.0.name);
        Checks(rows)
    })
    .await
}
