//! An answer as JSON, with the names consul-template gives to its parts. Pure; the same answer gives the same text, in
//! whatever order it came.

use std::collections::BTreeMap;

use consul::types::{CatalogNode, HealthCheck, KvEntry, Node, Service, ServiceEntry, Status};
use serde_json::{Map, Value, json};

use super::{Health, Reply, View};
use crate::discovery::{Rotation, rotation};

/// What `view` shows of `reply`. `prefix` is that of the question, for keys.
pub(crate) fn shape(reply: &Reply, view: &View, prefix: &str) -> Value {
    match reply {
        Reply::Instances(entries) => {
            let any = Health::Any;
            let health = match view {
                View::Healthy(health) => health,
                _ => &any,
            };
            let wanted = entries.iter().filter(|entry| is_wanted(entry, health));
            wanted.map(instance).collect()
        }
        Reply::Services(services) => services
            .iter()
            .map(|(name, tags)| json!({ "Name": name, "Tags": sorted(tags) }))
            .collect(),
        Reply::Nodes(nodes) => nodes.iter().map(node).collect(),
        Reply::Node(found) => found.as_ref().map_or(Value::Null, node_with_services),
        Reply::Datacenters(names) => {
            let mut names = names.clone();
            names.sort();
            json!(names)
        }
        Reply::Keys(entries) => match view {
            View::List => below(entries, prefix, false),
            View::Tree => below(entries, prefix, true),
            _ => entries
                .values()
                .next()
                .map_or(Value::Null, |entry| pair(entry, &entry.key)),
        },
        Reply::File(text) => text.clone().map_or(Value::Null, Value::String),
    }
}

fn is_wanted(entry: &ServiceEntry, health: &Health) -> bool {
    match health {
        Health::Any => true,
        Health::Usable => matches!(rotation(entry), Rotation::In { .. }),
        Health::Status(words) => words.contains(status(entry)),
    }
}

/// The aggregated status: maintenance before critical before warning before passing.
fn status(entry: &ServiceEntry) -> &'static str {
    let maintenance = |check: &HealthCheck| {
        check.check_id == "_node_maintenance" || check.check_id.starts_with("_service_maintenance:")
    };
    if entry.checks.iter().any(maintenance) {
        return Status::Maintenance.as_str();
    }
    entry.status().as_str()
}

/// An instance, and `Weight`: its share for its present status.
fn instance(entry: &ServiceEntry) -> Value {
    let weight = match rotation(entry) {
        Rotation::In { weight } => weight,
        Rotation::Out { .. } => 0,
    };
    let (node, service) = (&entry.node, &entry.service);
    let mut checks: Vec<&HealthCheck> = entry.checks.iter().collect();
    checks.sort_by(|a, b| (&a.node, &a.check_id).cmp(&(&b.node, &b.check_id)));
    object([
        ("ID", json!(service.id)),
        ("Name", json!(service.service)),
        ("Address", json!(entry.address())),
        ("Port", json!(service.port)),
        ("Tags", json!(sorted(&service.tags))),
        ("ServiceMeta", json!(service.meta)),
        ("ServiceTaggedAddresses", json!(service.tagged_addresses)),
        ("Node", json!(node.node)),
        ("NodeID", json!(node.id)),
        ("NodeAddress", json!(node.address)),
        ("NodeDatacenter", json!(node.datacenter)),
        ("NodeMeta", json!(node.meta)),
        ("NodeTaggedAddresses", json!(node.tagged_addresses)),
        ("Status", json!(status(entry))),
        ("Checks", checks.into_iter().map(check).collect()),
        (
            "Weights",
            json!({ "Passing": service.weights.passing, "Warning": service.weights.warning }),
        ),
        ("Weight", json!(weight)),
    ])
}

/// Without the output: a text that changes with every run of a check is no change.
fn check(check: &HealthCheck) -> Value {
    object([
        ("CheckID", json!(check.check_id)),
        ("Name", json!(check.name)),
        ("Status", json!(check.status.as_str())),
        ("ServiceID", json!(check.service_id)),
        ("ServiceName", json!(check.service_name)),
        ("Type", json!(check.kind)),
    ])
}

fn node(node: &Node) -> Value {
    object([
        ("ID", json!(node.id)),
        ("Node", json!(node.node)),
        ("Address", json!(node.address)),
        ("Datacenter", json!(node.datacenter)),
        ("TaggedAddresses", json!(node.tagged_addresses)),
        ("Meta", json!(node.meta)),
    ])
}

fn node_with_services(found: &CatalogNode) -> Value {
    let service = |service: &Service| {
        object([
            ("ID", json!(service.id)),
            ("Service", json!(service.service)),
            ("Tags", json!(sorted(&service.tags))),
            ("Meta", json!(service.meta)),
            ("Port", json!(service.port)),
            ("Address", json!(service.address)),
            ("EnableTagOverride", json!(service.enable_tag_override)),
        ])
    };
    // By name, then by id, as consul-template sorts them.
    let mut services: Vec<&Service> = found.services.values().collect();
    services.sort_by(|a, b| (&a.service, &a.id).cmp(&(&b.service, &b.id)));
    json!({
        "Node": node(&found.node),
        "Services": services.into_iter().map(service).collect::<Vec<_>>(),
    })
}

/// The keys below `prefix`, which is a folder: `a` has `a/b` below it, but not `ab`.
fn below(entries: &BTreeMap<String, KvEntry>, prefix: &str, deep: bool) -> Value {
    let folder = folder(prefix);
    let pairs = entries.values().filter_map(|entry| {
        let rest = entry.key.strip_prefix(&folder)?;
        // A key that ends in a slash is a folder that somebody has made.
        let shown = !rest.is_empty() && !rest.ends_with('/') && (deep || !rest.contains('/'));
        shown.then(|| pair(entry, rest))
    });
    pairs.collect()
}

/// A prefix as a folder's name: empty, or with a slash at its end.
pub(super) fn folder(prefix: &str) -> String {
    let prefix = prefix.trim_matches('/');
    if prefix.is_empty() {
        String::new()
    } else {
        format!("{prefix}/")
    }
}

fn pair(entry: &KvEntry, key: &str) -> Value {
    object([
        ("Path", json!(entry.key)),
        ("Key", json!(key)),
        ("Value", json!(String::from_utf8_lossy(&entry.value))),
        ("Flags", json!(entry.flags)),
        ("CreateIndex", json!(entry.create_index)),
        ("ModifyIndex", json!(entry.modify_index)),
        ("LockIndex", json!(entry.lock_index)),
        ("Session", json!(entry.session)),
    ])
}

fn sorted(words: &[String]) -> Vec<&str> {
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.sort_unstable();
    words
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let fields = fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    Value::Object(fields.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::super::parse_health;
    use super::super::reply::tests::entry;
    use super::*;

    #[test]
    fn instances_are_chosen_by_health() {
        let mut out = entry("n3", "m", 1, "critical");
        out.checks[0].check_id = "_node_maintenance".to_owned();
        let entries = vec![
            entry("n2", "a", 1, "passing"),
            entry("n1", "b", 2, "warning"),
            entry("n1", "a", 3, "critical"),
            out,
        ];
        let reply = Reply::instances(entries.clone(), false);
        for (health, expected) in [
            ("passing", "n2/a"),
            ("usable", "n1/b n2/a"),
            ("any", "n1/a n1/b n2/a n3/m"),
            ("critical", "n1/a"),
            ("warning,passing", "n1/b n2/a"),
            ("maintenance", "n3/m"),
        ] {
            let view = View::Healthy(parse_health(health).expect("a health"));
            let shown = shape(&reply, &view, "");
            let word = |i: &Value| format!("{}/{}", i["Node"], i["ID"]).replace('"', "");
            let words: Vec<_> = shown.as_array().expect("a list").iter().map(word).collect();
            assert_eq!(words.join(" "), expected, "{health}");
        }
        let first = &shape(&reply, &View::Healthy(Health::Usable), "")[0];
        assert_eq!(
            (&first["Weight"], &first["Tags"], &first["Address"]),
            (&json!(1), &json!(["a", "b"]), &json!("10.0.0.1"))
        );
        let backward = Reply::instances(entries.into_iter().rev().collect(), false);
        assert_eq!(
            reply, backward,
            "the same instances in any order are the same answer"
        );
    }

    #[test]
    fn keys_below_a_folder() {
        let keys = ["a", "a/", "a/b", "a/c/d", "a/c/", "ab", "a/z"];
        let reply = Reply::keys(keys.map(|key| KvEntry {
            key: key.to_owned(),
            value: key.to_uppercase().into_bytes(),
            ..KvEntry::default()
        }));
        for (view, prefix, expected) in [
            (View::List, "a", "b z"),
            (View::List, "/a/", "b z"),
            (View::Tree, "a/", "b c/d z"),
            (View::List, "", "a ab"),
            (View::Tree, "a/c", "d"),
        ] {
            let shown = shape(&reply, &view, prefix);
            let keys: Vec<_> = shown
                .as_array()
                .expect("a list")
                .iter()
                .map(|pair| pair["Key"].as_str().expect("text"))
                .collect();
            assert_eq!(keys.join(" "), expected, "{view:?} {prefix}");
        }
        assert_eq!(shape(&reply, &View::Whole, "")["Value"], "A");
    }
}
