//! The body of `agent/service/register`, and the parts of it that catalog registrations share.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::check::embedded;
use super::fields::{Fields, Path};
use super::{Result, json};
use crate::catalog::{Instance, Key, Origin, Pairs, ServiceDefinition, Weights};

/// What Go calls the type of the whole body.
const BODY: &str = "value of type struct { EnableTagOverrideSnake bool \"json:\\\"enable_tag_override\\\"\"; \
                    TaggedAddressesSnake map[string]structs.ServiceAddress \"json:\\\"tagged_addresses\\\"\"; \
                    *structs.Alias }";

/// The body of `agent/service/register`. The id may be empty.
pub(in super::super) fn service_registration(body: &[u8]) -> Result<ServiceDefinition> {
    let mut fields = Fields::new(json::parse(body)?, Path::Under(String::new()), BODY)?;
    let mut instance = instance(&mut fields, "Name")?;
    instance.enable_tag_override |= fields.boolean("enable_tag_override")?;
    if instance.tagged_addresses.is_empty() {
        instance.tagged_addresses = addresses(&mut fields, "tagged_addresses")?;
    }
    let check = match fields.take("Check") {
        Some(value) => embedded(value, ".Check")?,
        None => Default::default(),
    };
    let checks = fields
        .list("Checks", "structs.CheckTypes")?
        .into_iter()
        .map(|value| embedded(value, ".Checks"))
        .collect::<Result<_>>()?;
    fields.ignore(&["Token", "tagged_addresses"]);
    fields.finish()?;
    Ok(ServiceDefinition {
        instance,
        check,
        checks,
    })
}

/// The fields that describe an instance; `name` is what the field of its service's name is called.
pub(super) fn instance(fields: &mut Fields, name: &str) -> Result<Instance> {
    let tags: Vec<Key> = fields.strings("Tags")?.into_iter().map(Key::from).collect();
    Ok(Instance {
        id: fields.string("ID")?.into(),
        name: fields.string(name)?.into(),
        tags: tags.into(),
        address: fields.string("Address")?.into(),
        tagged_addresses: addresses(fields, "TaggedAddresses")?,
        meta: fields.string_map("Meta")?.map(Into::into),
        port: fields.integer("Port")?,
        weights: weights(fields)?,
        enable_tag_override: fields.boolean("EnableTagOverride")?,
        kind: fields.string("Kind")?.into(),
        proxy: fields.take("Proxy").map(Arc::new),
        connect: fields.take("Connect").filter(is_native).map(Arc::new),
        origin: Origin::default(),
    })
}

/// Of Consul's connect block only the mark of a native service is kept: no sidecars are run here.
fn is_native(connect: &Value) -> bool {
    connect.get("Native").and_then(Value::as_bool) == Some(true)
}

fn weights(fields: &mut Fields) -> Result<Weights> {
    let Some(value) = fields.take("Weights") else {
        return Ok(Weights::default());
    };
    let of_type = "struct field .Weights of type structs.Weights";
    let mut weights = Fields::new(value, Path::Under("Weights.Weights".into()), of_type)?;
    let read = Weights {
        passing: weights.integer("Passing")?,
        warning: weights.integer("Warning")?,
    };
    weights.finish()?;
    Ok(read)
}

fn addresses(fields: &mut Fields, name: &str) -> Result<Pairs<(Key, i64)>> {
    let Some(value) = fields.take(name) else {
        return Ok(Pairs::default());
    };
    let map = fields.object(value, name, "map[string]structs.ServiceAddress")?;
    let mut addresses = BTreeMap::new();
    for (key, value) in map {
        if !value.is_object() && !value.is_null() {
            return Err(fields.wrong(&value, name, "structs.ServiceAddress"));
        }
        let path = Path::Under(format!("ServiceAddress.{name}"));
        let mut address = Fields::new(value, path, "value of type structs.ServiceAddress")?;
        let read = (address.string("Address")?.into(), address.integer("Port")?);
        address.finish()?;
        addresses.insert(key, read);
    }
    Ok(addresses.into_iter().collect())
}
