//! Rows as Consul's endpoints take them: a check as the definition that would have made it, an instance with all its
//! checks, a node from outside as one write of the catalog. Pure; nothing is sent here.

use std::collections::BTreeMap;
use std::time::Duration;

use consul::types::{
    CheckDefinition, ServiceRegistration, Status as WireStatus, TaggedAddress, Weights,
    format_duration,
};
use serde_json::{Value, json};

use crate::catalog::{
    Check, ForeignNode, How, Instance, Node, OUTPUT_LIMIT, OwnCheck, OwnService, Prepared, Status,
};
use crate::check::{CheckKind, CheckSpec, Tls};

/// A check's definition. One that the target is to run starts out critical there: it passes when the target has seen
/// it pass.
pub(super) fn check(own: &OwnCheck) -> CheckDefinition {
    let row = &own.row;
    let mut definition = CheckDefinition {
        check_id: Some(row.id.to_string()),
        name: Some(row.name.to_string()),
        notes: text(&row.notes),
        service_id: text(&row.service_id),
        deregister_critical_service_after: own.deregister_after.map(format_duration),
        output_max_size: if own.output_limit == OUTPUT_LIMIT {
            0
        } else {
            i64::try_from(own.output_limit).unwrap_or_default()
        },
        ..CheckDefinition::default()
    };
    match &own.how {
        How::Run(spec) => run(&mut definition, spec),
        How::Ttl(period) => definition.ttl = Some(format_duration(*period)),
        How::Alias { node, service_id } => {
            definition.alias_node = text(node);
            definition.alias_service = text(service_id);
        }
    }
    definition
}

fn run(definition: &mut CheckDefinition, spec: &CheckSpec) {
    definition.interval = Some(format_duration(spec.interval));
    definition.timeout = (!spec.timeout.is_zero()).then(|| format_duration(spec.timeout));
    definition.success_before_passing = spec.success_before_passing;
    definition.failures_before_critical = spec.failures_before_critical;
    match &spec.kind {
        CheckKind::Http {
            url,
            method,
            headers,
            body,
            tls,
            disable_redirects,
        } => {
            definition.http = Some(url.clone());
            definition.method = text(method);
            definition.body = text(body);
            definition.disable_redirects = *disable_redirects;
            for (name, value) in headers {
                let values = definition.header.entry(name.clone()).or_default();
                values.push(value.clone());
            }
            secure(definition, Some(tls));
        }
        CheckKind::Tcp { address, tls } => {
            definition.tcp = Some(address.clone());
            definition.tcp_use_tls = tls.is_some();
            secure(definition, tls.as_ref());
        }
        CheckKind::Udp { address } => definition.udp = Some(address.clone()),
        CheckKind::Grpc { target, tls } => {
            definition.grpc = Some(target.clone());
            definition.grpc_use_tls = tls.is_some();
            secure(definition, tls.as_ref());
        }
        CheckKind::H2Ping { address, tls } => {
            definition.h2ping = Some(address.clone());
            definition.h2ping_use_tls = Some(tls.is_some());
            secure(definition, tls.as_ref());
        }
        CheckKind::Zmtp { address } => definition.zmtp = Some(address.clone()),
        CheckKind::Script { args, .. } => definition.args = args.clone(),
        CheckKind::OsService { name } => definition.os_service = Some(name.clone()),
    }
}

fn secure(definition: &mut CheckDefinition, tls: Option<&Tls>) {
    if let Some(tls) = tls {
        definition.tls_skip_verify = tls.skip_verify;
        definition.tls_server_name = text(&tls.server_name);
    }
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

/// An instance with its checks. One without an address of its own has that of its node, which the target's is not:
/// then it is written out.
pub(super) fn service(own: &OwnService, node: &Node, target_address: &str) -> ServiceRegistration {
    let row = &own.instance;
    let meta = row.meta.iter().flat_map(|pairs| pairs.iter());
    let address = if row.address.is_empty() && *node.address != *target_address {
        &node.address
    } else {
        &row.address
    };
    ServiceRegistration {
        id: row.id.to_string(),
        name: row.name.to_string(),
        tags: row.tags.iter().map(|tag| tag.to_string()).collect(),
        address: address.to_string(),
        tagged_addresses: tagged(row),
        meta: meta.map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        port: row.port,
        enable_tag_override: row.enable_tag_override,
        weights: Some(Weights {
            passing: u32::try_from(row.weights.passing).unwrap_or(1),
            warning: u32::try_from(row.weights.warning).unwrap_or(1),
        }),
        checks: own
            .checks
            .iter()
            .map(|own| CheckDefinition {
                // Within a service it says itself whose it is.
                service_id: None,
                ..check(own)
            })
            .collect(),
        kind: row.kind.to_string(),
        proxy: row.proxy.as_deref().cloned(),
        connect: row.connect.as_deref().cloned(),
        ..ServiceRegistration::default()
    }
}

fn tagged(row: &Instance) -> BTreeMap<String, TaggedAddress> {
    let all = row.tagged_addresses.iter();
    all.map(|(name, (address, port))| {
        let tagged = TaggedAddress {
            address: address.to_string(),
            port: *port,
        };
        (name.to_string(), tagged)
    })
    .collect()
}

/// The writes of the catalog that make a node from outside: one for each instance, or one for the node alone.
pub(super) fn foreign(node: &ForeignNode) -> Vec<Value> {
    let row = &node.node;
    let base = |service: Option<&Instance>, checks: Vec<&Check>| {
        let mut write = json!({
            "Node": &*row.name, "Address": &*row.address,
            "TaggedAddresses": row.tagged_addresses, "NodeMeta": row.meta,
            "Checks": checks.into_iter().map(|check| foreign_check(&row.name, check)).collect::<Vec<_>>(),
        });
        if !row.id.is_empty() {
            write["ID"] = json!(&*row.id);
        }
        if let Some(service) = service {
            write["Service"] = instance(service);
        }
        write
    };
    let of = |id: &str| -> Vec<&Check> {
        let checks = node.checks.iter().filter(|check| *check.service_id == *id);
        checks.map(|check| &check.value).collect()
    };
    // The node's own checks first: without them its instances would look healthier than they are.
    let mut writes = vec![base(None, of(""))];
    let instances = node.instances.iter();
    writes.extend(instances.map(|row| base(Some(row), of(&row.id))));
    writes
}

fn instance(row: &Instance) -> Value {
    let mut value = json!({
        "ID": &*row.id, "Service": &*row.name, "Tags": row.tags.iter().map(|tag| &**tag).collect::<Vec<_>>(),
        "Address": &*row.address, "Meta": row.meta, "Port": row.port, "EnableTagOverride": row.enable_tag_override,
        "Weights": {"Passing": row.weights.passing, "Warning": row.weights.warning},
        "TaggedAddresses": tagged(row),
    });
    for (name, block) in [("Proxy", &row.proxy), ("Connect", &row.connect)] {
        if let Some(block) = block {
            value[name] = (**block).clone();
        }
    }
    if !row.kind.is_empty() {
        value["Kind"] = json!(&*row.kind);
    }
    value
}

fn foreign_check(node: &str, check: &Check) -> Value {
    let mut value = json!({
        "Node": node, "CheckID": &*check.id, "Name": &*check.name, "Status": check.status.as_str(),
        "Notes": &*check.notes, "Output": &*check.output, "ServiceID": &*check.service_id,
    });
    if let Some(definition) = &check.definition {
        value["Definition"] = (**definition).clone();
    }
    value
}

/// A prepared query as `POST query` takes it; its id is the target's to choose.
pub(super) fn query(row: &Prepared) -> Value {
    json!({
        "Name": row.name, "Token": row.token,
        "Template": {"Type": row.template, "Regexp": row.regexp, "RemoveEmptyTags": row.remove_empty_tags},
        "Service": {
            "Service": row.service, "Failover": {"NearestN": row.nearest, "Datacenters": row.datacenters},
            "OnlyPassing": row.only_passing, "IgnoreCheckIDs": row.ignore_checks, "Near": row.near,
            "Tags": row.tags, "NodeMeta": row.node_meta, "ServiceMeta": row.service_meta, "Connect": row.connect,
        },
        "DNS": {"TTL": row.ttl},
    })
}

/// A status as the wire has it; words nobody knows are critical.
pub(super) fn status(status: &Status) -> WireStatus {
    match status {
        Status::Passing => WireStatus::Passing,
        Status::Warning => WireStatus::Warning,
        Status::Critical | Status::Other(_) => WireStatus::Critical,
    }
}

/// How long to give the target to run a check twice, whatever part of its interval it waits first.
pub(super) fn patience(own: &OwnCheck) -> Duration {
    match &own.how {
        How::Run(spec) => spec
            .interval
            .saturating_add(spec.timeout)
            .saturating_mul(spec.success_before_passing.max(1).saturating_add(1)),
        _ => Duration::ZERO,
    }
}
