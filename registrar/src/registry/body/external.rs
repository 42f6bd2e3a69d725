//! The bodies of `catalog/register` and `catalog/deregister`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::fields::{Fields, Path};
use super::service::instance;
use super::{Result, json as text};
use crate::catalog::{Check, ExternalCheck, ExternalService, Key, Origin, Removal, Status, Write};
use crate::registry::duration;

/// The body of `catalog/register`.
pub(in super::super) fn registration(body: &[u8]) -> Result<Write> {
    let path = Path::Under("RegisterRequest".into());
    let of_type = "value of type structs.RegisterRequest";
    let mut fields = Fields::new(text::parse(body)?, path, of_type)?;
    let mut write = Write {
        datacenter: fields.string("Datacenter")?,
        node_id: fields.string("ID")?,
        node: fields.string("Node")?,
        address: fields.string("Address")?,
        tagged_addresses: fields.string_map("TaggedAddresses")?,
        node_meta: fields.string_map("NodeMeta")?,
        skip_node_update: fields.boolean("SkipNodeUpdate")?,
        service: None,
        checks: Vec::new(),
    };
    if let Some(value) = fields.take("Service") {
        write.service = Some(service(value)?.0);
    }
    for value in fields.list("Checks", "structs.HealthChecks")? {
        write.checks.push(check(value)?.0);
    }
    if let Some(value) = fields.take("Check") {
        write.checks.push(check(value)?.0);
    }
    fields.ignore(&["WriteRequest", "Token"]);
    fields.finish()?;
    Ok(write)
}

/// The body of `catalog/deregister`.
pub(in super::super) fn removal(body: &[u8]) -> Result<Removal> {
    let path = Path::Under("DeregisterRequest".into());
    let of_type = "value of type structs.DeregisterRequest";
    let mut fields = Fields::new(text::parse(body)?, path, of_type)?;
    let removal = Removal {
        datacenter: fields.string("Datacenter")?,
        node: fields.string("Node")?,
        service_id: fields.string("ServiceID")?,
        check_id: fields.string("CheckID")?,
    };
    fields.ignore(&["Address", "WriteRequest", "Token"]);
    fields.finish()?;
    Ok(removal)
}

/// An instance, with the index it was read at.
pub(super) fn service(value: Value) -> Result<(ExternalService, u64)> {
    let path = Path::Under("NodeService.Service".into());
    let of_type = "struct field RegisterRequest.Service of type structs.NodeService";
    let mut fields = Fields::new(value, path, of_type)?;
    let instance = instance(&mut fields, "Service")?;
    let index = fields.unsigned("ModifyIndex")?;
    fields.ignore(&["CreateIndex", "LocallyRegisteredAsSidecar"]);
    fields.finish()?;
    Ok((instance.into(), index))
}

/// A check, with the index it was read at.
pub(super) fn check(value: Value) -> Result<(ExternalCheck, u64)> {
    let path = Path::Under("HealthCheck.Check".into());
    let of_type = "struct field RegisterRequest.Check of type structs.HealthCheck";
    let mut fields = Fields::new(value, path, of_type)?;
    let node = fields.string("Node")?;
    let definition = fields.take("Definition").map(definition).transpose()?;
    let kind = fields.string("Type")?;
    let kind = match &definition {
        Some(definition) if kind.is_empty() => kind_of(definition).to_owned(),
        _ => kind,
    };
    let tags: Vec<Key> = fields
        .strings("ServiceTags")?
        .into_iter()
        .map(Key::from)
        .collect();
    let check = Check {
        id: fields.string("CheckID")?.into(),
        name: fields.string("Name")?.into(),
        status: Status::from_word(&fields.string("Status")?),
        notes: fields.string("Notes")?.into(),
        output: fields.string("Output")?.into(),
        service_id: fields.string("ServiceID")?.into(),
        service_name: fields.string("ServiceName")?.into(),
        service_tags: tags.into(),
        kind: kind.into(),
        definition: definition.map(Arc::new),
        origin: Origin::Catalog,
    };
    let index = fields.unsigned("ModifyIndex")?;
    fields.ignore(&["CreateIndex", "Namespace"]);
    fields.finish()?;
    Ok((ExternalCheck { node, check }, index))
}

/// What kind of check a definition makes; none if it does not say how often.
fn kind_of(definition: &Value) -> &'static str {
    if definition.get("Interval").is_none() {
        return "";
    }
    let has = |key| definition.get(key).is_some();
    match (has("HTTP"), has("TCP")) {
        (true, _) => "http",
        (_, true) => "tcp",
        _ => "",
    }
}

/// A node's record, with the index it was read at.
pub(super) fn node_record(value: Value) -> Result<(Write, u64)> {
    let path = Path::Under("Node.Node".into());
    let mut fields = Fields::new(value, path, "value of type api.Node")?;
    let write = Write {
        node_id: fields.string("ID")?,
        node: fields.string("Node")?,
        address: fields.string("Address")?,
        datacenter: fields.string("Datacenter")?,
        tagged_addresses: fields.string_map("TaggedAddresses")?,
        node_meta: fields.string_map("Meta")?,
        ..Write::default()
    };
    let index = fields.unsigned("ModifyIndex")?;
    fields.ignore(&["CreateIndex"]);
    fields.finish()?;
    Ok((write, index))
}

/// The definition as Consul echoes it: known fields only, durations in Go's spelling, nothing that is empty.
fn definition(value: Value) -> Result<Value> {
    let path = Path::At("HealthCheckDefinition.Check.Definition".into());
    let of_type = "struct field HealthCheck.Check.Definition of type structs.HealthCheckDefinition";
    let mut fields = Fields::new(value, path, of_type)?;
    let mut echo = Map::new();
    for name in ["Interval", "Timeout", "DeregisterCriticalServiceAfter"] {
        let nanoseconds = fields.duration(name)?;
        if nanoseconds != 0 {
            echo.insert(name.into(), json!(duration::format(nanoseconds)));
        }
    }
    for name in ["HTTP", "Method", "Body", "TCP"] {
        let text = fields.string(name)?;
        if !text.is_empty() {
            echo.insert(name.into(), json!(text));
        }
    }
    let header = fields.list_map("Header")?;
    if !header.is_empty() {
        echo.insert("Header".into(), json!(header));
    }
    if fields.boolean("TLSSkipVerify")? {
        echo.insert("TLSSkipVerify".into(), json!(true));
    }
    Ok(Value::Object(echo))
}
