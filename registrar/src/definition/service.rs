//! A service definition: its keys and their limits.
//!
//! The limits are those Consul has for a registration (weights, metadata), so that a file that is good here is not
//! refused there.

use std::collections::{BTreeMap, BTreeSet};

use consul::types::{Secret, ServiceRegistration, TaggedAddress, Weights};

use super::check::{self, Place};
use super::each;
use super::fields::{At, Fields, Sink};
use super::syntax::Node;

/// Most metadata pairs of one instance: Consul's 64 without the two by which an agent marks what it registered.
pub(super) const META_PAIRS: usize = 62;

/// Longest metadata key, in bytes.
const META_KEY: usize = 128;

/// Longest metadata value, in bytes.
const META_VALUE: usize = 512;

/// Largest weight.
const WEIGHT_MAX: i64 = 65_535;

const KEYS: [&str; 12] = [
    "id",
    "name",
    "tags",
    "address",
    "tagged_addresses",
    "meta",
    "port",
    "enable_tag_override",
    "weights",
    "check",
    "checks",
    "token",
];

/// Reads one service; `None` when something is wrong with it.
pub(super) fn read(node: Node, path: String, sink: &mut Sink<'_>) -> Option<ServiceRegistration> {
    let before = sink.count();
    let mut fields = Fields::of(node, path, sink)?;
    let name = fields.text("name", sink);
    if name.is_none() && sink.count() == before {
        sink.wrong(
            fields.at,
            &fields.path_of("name"),
            "missing: a service needs a name",
        );
    }
    let value = |text: Option<At<String>>| text.map(|text| text.value).unwrap_or_default();
    let mut service = ServiceRegistration {
        id: value(fields.text("id", sink)),
        name: value(name),
        tags: fields.texts("tags", sink),
        address: address(&mut fields, sink),
        tagged_addresses: tagged_addresses(&mut fields, sink),
        meta: meta(&mut fields, sink),
        port: fields.number("port", 0, 65_535, sink).unwrap_or(0),
        enable_tag_override: fields.flag("enable_tag_override", sink),
        weights: weights(&mut fields, sink),
        token: fields.text("token", sink).map(|text| Secret(text.value)),
        ..ServiceRegistration::default()
    };
    for key in ["check", "checks"] {
        for node in fields.take_all(key) {
            let path = fields.path_of(key);
            for (node, path) in each(node, &path, sink) {
                service
                    .checks
                    .extend(check::read(node, path, Place::Within, sink));
            }
        }
    }
    for key in ["kind", "proxy", "connect"] {
        for node in fields.take_all(key) {
            sink.wrong(
                node.at,
                &fields.path_of(key),
                "the service mesh is not supported",
            );
        }
    }
    let at = fields.at;
    let path = fields.path.clone();
    fields.finish(&KEYS, sink);
    let mut ids = BTreeSet::new();
    for id in service.check_ids() {
        if let Some(id) = ids.replace(id) {
            sink.wrong(at, &path, format!("two checks have the id {id:?}"));
        }
    }
    (sink.count() == before).then_some(service)
}

fn address(fields: &mut Fields, sink: &mut Sink<'_>) -> String {
    let Some(text) = fields.text("address", sink) else {
        return String::new();
    };
    if matches!(text.value.as_str(), "0.0.0.0" | "::" | "[::]") {
        let wrong = "an address that others can connect to is needed, not the one that means all of this machine's";
        fields.wrong(sink, "address", &text, wrong);
    }
    text.value
}

fn tagged_addresses(fields: &mut Fields, sink: &mut Sink<'_>) -> BTreeMap<String, TaggedAddress> {
    let Some(all) = fields.object("tagged_addresses", sink) else {
        return BTreeMap::new();
    };
    let path = all.path.clone();
    let mut addresses = BTreeMap::new();
    for (key, node) in all.into_pairs() {
        let at = node.at;
        let path = format!("{path}.{key}");
        let Some(mut one) = Fields::of(node, path.clone(), sink) else {
            continue;
        };
        let address = TaggedAddress {
            address: one
                .text("address", sink)
                .map(|text| text.value)
                .unwrap_or_default(),
            port: one.number("port", 0, 65_535, sink).unwrap_or(0),
        };
        one.finish(&["address", "port"], sink);
        if addresses.insert(key, address).is_some() {
            sink.wrong(at, &path, "given twice");
        }
    }
    addresses
}

fn weights(fields: &mut Fields, sink: &mut Sink<'_>) -> Option<Weights> {
    let mut weights = fields.object("weights", sink)?;
    let mut weight = |name, least| {
        let number = weights.number(name, least, WEIGHT_MAX, sink);
        number.and_then(|number| u32::try_from(number).ok())
    };
    // What is left out is 1, as in Consul's files (in its API a number left out is 0).
    let found = Weights {
        passing: weight("passing", 1).unwrap_or(1),
        warning: weight("warning", 0).unwrap_or(1),
    };
    weights.finish(&["passing", "warning"], sink);
    Some(found)
}

fn meta(fields: &mut Fields, sink: &mut Sink<'_>) -> BTreeMap<String, String> {
    let pairs = fields.text_map("meta", sink);
    let path = fields.path_of("meta");
    if pairs.len() > META_PAIRS {
        sink.wrong(
            fields.at,
            &path,
            format!("at most {META_PAIRS} pairs, found {}", pairs.len()),
        );
    }
    for (key, value) in &pairs {
        if let Some(text) = wrong_pair(key, &value.value) {
            sink.wrong(value.at, &format!("{path}.{key}"), text);
        }
    }
    pairs
        .into_iter()
        .map(|(key, value)| (key, value.value))
        .collect()
}

fn wrong_pair(key: &str, value: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if key.is_empty() || !key.bytes().all(allowed) {
        return Some("a key consists of letters, digits, - and _".to_owned());
    }
    if key.len() > META_KEY {
        return Some(format!("a key has at most {META_KEY} characters"));
    }
    if key.starts_with("consul-") {
        return Some("keys that begin with consul- are Consul's own".to_owned());
    }
    if key.starts_with("turno-") {
        return Some("keys that begin with turno- are turno's own".to_owned());
    }
    (value.len() > META_VALUE).then(|| {
        format!(
            "a value has at most {META_VALUE} bytes, this one {}",
            value.len()
        )
    })
}
