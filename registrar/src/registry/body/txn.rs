//! The body of `txn`: a list of operations, each on a key, a node, an instance or a check.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::external;
use super::fields::{Fields, Path};
use super::{BodyError, Result, json};
use crate::catalog::{KeyOperation, Operation, Write};

/// The body of `txn`.
pub(in super::super) fn transaction(body: &[u8]) -> Result<Vec<Operation>> {
    let items = match json::parse(body)? {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        other => {
            // Only the words are wanted: an object where a list should be.
            let kind = if other.is_object() { "object" } else { "value" };
            return Err(BodyError(format!(
                "json: cannot unmarshal {kind} into Go value of type api.TxnOps"
            )));
        }
    };
    let mut operations = Vec::with_capacity(items.len());
    for item in items {
        let path = Path::Under("TxnOp".into());
        let mut fields = Fields::new(item, path, "value of type api.TxnOp")?;
        if let Some(value) = fields.take("KV") {
            operations.push(key(value)?);
        } else if let Some(value) = fields.take("Node") {
            operations.push(node(value)?);
        } else if let Some(value) = fields.take("Service") {
            operations.push(service(value)?);
        } else if let Some(value) = fields.take("Check") {
            operations.push(check(value)?);
        }
        fields.finish()?;
    }
    Ok(operations)
}

fn key(value: Value) -> Result<Operation> {
    let path = Path::Under("KVTxnOp.KV".into());
    let mut fields = Fields::new(value, path, "struct field TxnOp.KV of type api.KVTxnOp")?;
    let value = STANDARD.decode(fields.string("Value")?).map_err(|error| {
        let at = match error {
            base64::DecodeError::InvalidByte(at, _)
            | base64::DecodeError::InvalidLastSymbol(at, _) => at,
            base64::DecodeError::InvalidLength(at) => at,
            base64::DecodeError::InvalidPadding => 0,
        };
        BodyError(format!("illegal base64 data at input byte {at}"))
    })?;
    let operation = KeyOperation {
        verb: fields.string("Verb")?,
        key: fields.string("Key")?,
        value: value.into(),
        flags: fields.unsigned("Flags")?,
        index: fields.unsigned("Index")?,
        session: fields.string("Session")?,
    };
    fields.ignore(&["Namespace"]);
    fields.finish()?;
    Ok(Operation::Key(operation))
}

fn node(value: Value) -> Result<Operation> {
    let path = Path::Under("NodeTxnOp.Node".into());
    let mut fields = Fields::new(value, path, "struct field TxnOp.Node of type api.NodeTxnOp")?;
    let verb = fields.string("Verb")?;
    let (write, index) = external::node_record(fields.take("Node").unwrap_or_default())?;
    fields.finish()?;
    Ok(Operation::Node(verb, Box::new(write), index))
}

fn service(value: Value) -> Result<Operation> {
    let path = Path::Under("ServiceTxnOp.Service".into());
    let mut fields = Fields::new(
        value,
        path,
        "struct field TxnOp.Service of type api.ServiceTxnOp",
    )?;
    let verb = fields.string("Verb")?;
    let write = Write {
        node: fields.string("Node")?,
        ..Write::default()
    };
    let (service, index) = external::service(fields.take("Service").unwrap_or_default())?;
    fields.finish()?;
    Ok(Operation::Service(
        verb,
        Box::new(write),
        Box::new(service.0),
        index,
    ))
}

fn check(value: Value) -> Result<Operation> {
    let path = Path::Under("CheckTxnOp.Check".into());
    let mut fields = Fields::new(
        value,
        path,
        "struct field TxnOp.Check of type api.CheckTxnOp",
    )?;
    let verb = fields.string("Verb")?;
    let (check, index) = external::check(fields.take("Check").unwrap_or_default())?;
    fields.finish()?;
    let write = Write {
        node: check.node,
        ..Write::default()
    };
    Ok(Operation::Check(
        verb,
        Box::new(write),
        Box::new(check.check),
        index,
    ))
}
