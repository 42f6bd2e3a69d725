//! `/v1/txn`: several operations that all happen or none.

use http::StatusCode;
use serde_json::{Value, json};

use super::access::{Kind, Rights, faults};
use super::agent::answer;
use super::answer::{Answer, Failure};
use super::body;
use super::kv::{EntryView, VALUE_LIMIT};
use super::request::Call;
use super::state::State;
use super::view::{CheckShape, CheckView, NodeView, ServiceView, null_lists};
use crate::catalog::{Command, Done, Operation, Shown};

/// Most operations in one transaction, as in Consul.
const MOST_OPERATIONS: usize = 64;

type Result = std::result::Result<Answer, Failure>;

pub(super) async fn endpoint(state: &State, call: &Call) -> Result {
    call.own_place(&state.local.datacenter)
        .map_err(Failure::without_index)?;
    let operations = body::transaction(&call.body)
        .map_err(|error| Failure::invalid(format!("Failed to parse body: {}", error.0)))?;
    if operations.len() > MOST_OPERATIONS {
        return Err(Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "Transaction contains too many operations ({} > {MOST_OPERATIONS})",
                operations.len()
            ),
        ));
    }
    for operation in &operations {
        if let Operation::Key(op) = operation
            && op.value.len() > VALUE_LIMIT
        {
            return Err(Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!(
                    "Value for key {:?} is too large ({} > {VALUE_LIMIT} bytes)",
                    op.key,
                    op.value.len()
                ),
            ));
        }
    }
    let writes = operations.iter().any(Operation::is_write);
    let rights = state.rights(call)?;
    let denied = faults(&rights, &state.read(), &operations);
    let outcome = if denied.is_empty() {
        match state.change(call, Command::Transact(operations)).await? {
            Done::Transaction(outcome) => outcome,
            _ => Ok(Vec::new()),
        }
    } else {
        Err(denied)
    };
    let (status, mut reply) = match outcome {
        Ok(rows) => {
            let seen = rows.iter().filter(|row| sees(&rights, row));
            let rows: Vec<Value> = seen.map(|row| null_lists(shown(row))).collect();
            (StatusCode::OK, json!({"Results": rows, "Errors": null}))
        }
        Err(faults) => {
            let faults: Vec<Value> = faults
                .iter()
                .map(|(at, what)| json!({"OpIndex": at, "What": what}))
                .collect();
            (
                StatusCode::CONFLICT,
                json!({"Results": null, "Errors": faults}),
            )
        }
    };
    if !writes {
        // Consul leaves it at that.
        reply["Index"] = json!(0);
        reply["LastContact"] = json!(0);
        reply["KnownLeader"] = json!(true);
        reply["ConsistencyLevel"] = json!("");
    }
    let answer = answer(call, &reply)?.status(status);
    if writes {
        return Ok(answer);
    }
    Ok(answer
        .header("x-consul-knownleader", "true")
        .header("x-consul-lastcontact", "0"))
}

fn sees(rights: &Rights, row: &Shown) -> bool {
    match row {
        Shown::Key(row, _) => rights.read(Kind::Key, &row.key),
        Shown::Node(row) => rights.read(Kind::Node, &row.name),
        Shown::Service(row) => rights.read(Kind::Service, &row.name),
        Shown::Check(node, row) => rights.read_check(node, row),
    }
}

/// A row under the name of its kind.
fn shown(row: &Shown) -> Value {
    // Every view writes maps with text keys, which cannot fail.
    match row {
        Shown::Key(row, with_value) => json!({"KV": EntryView { row, with_value: *with_value }}),
        Shown::Node(row) => json!({"Node": NodeView(row)}),
        Shown::Service(row) => json!({"Service": ServiceView(row)}),
        Shown::Check(node, row) => {
            json!({"Check": CheckView { node, row, shape: CheckShape::Catalog }})
        }
    }
}
