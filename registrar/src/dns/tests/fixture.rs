//! The catalog that questions are asked of, and the same as requests to a real Consul.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::View;
use crate::catalog::{
    Catalog, CheckDefinition, ExternalService, Health, Instance, Key, LocalNode, Node, Origin,
    ServiceDefinition, Shared, Weights, Write,
};

/// A service of the local node.
struct Local {
    id: String,
    name: &'static str,
    tags: &'static [&'static str],
    address: String,
    port: i64,
    weights: (i64, i64),
    /// The status of its check, if it has one.
    status: Option<&'static str>,
}

fn plain(id: &str, name: &'static str, address: &str, port: i64) -> Local {
    Local {
        id: id.into(),
        name,
        tags: &[],
        address: address.into(),
        port,
        weights: (1, 1),
        status: None,
    }
}

fn locals() -> Vec<Local> {
    let mut all = vec![
        Local {
            tags: &["V1", "a.b", "primary"],
            weights: (5, 2),
            ..plain("web-0", "Web", "10.0.0.1", 80)
        },
        Local {
            tags: &["v2"],
            weights: (7, 3),
            status: Some("warning"),
            ..plain("web-1", "web", "10.0.0.2", 81)
        },
        Local {
            status: Some("critical"),
            ..plain("web-2", "web", "10.0.0.3", 82)
        },
        plain("bare", "bare", "", 90),
        plain("noport", "noport", "10.0.0.9", 0),
        plain("host", "host", "example.test", 91),
        plain("hostc", "hostc", "web.service.consul", 91),
        plain("hostn", "hostn", "ext.node.consul", 91),
        plain("hostx", "hostx", "none.service.consul", 91),
        plain("loop", "loop", "loop.service.consul", 91),
        plain("six", "six", "2001:db8::1", 92),
        plain("mix6", "mix", "2001:db8::2", 92),
        plain("mix4", "mix", "10.0.1.1", 92),
        plain("half-0", "half", "10.0.1.2", 92),
        plain("half-1", "half", "half.example.test", 92),
        Local {
            status: Some("critical"),
            ..plain("down", "down", "10.0.0.4", 93)
        },
    ];
    let numbered = |count, name: &'static str, net: &'static str| {
        (0..count).map(move |n| {
            let address = format!("{net}.{}", n + 1);
            plain(&format!("{name}-{n}"), name, &address, 8000 + n)
        })
    };
    all.extend(numbered(10, "many", "10.1.0"));
    all.extend(numbered(40, "lots", "10.2.0"));
    all.extend((0..5).map(|n| plain(&format!("dup-{n}"), "dup", "10.3.0.1", 8000 + n)));
    all
}

/// A node from elsewhere with at most one service: (node, address, metadata, service, address and port).
struct Elsewhere {
    node: &'static str,
    address: &'static str,
    meta: &'static [(&'static str, &'static str)],
    tagged: &'static [(&'static str, &'static str)],
    service: Option<(&'static str, &'static str, i64)>,
    service_tagged: &'static [(&'static str, &'static str)],
}

const NOTHING: Elsewhere = Elsewhere {
    node: "",
    address: "",
    meta: &[],
    tagged: &[],
    service: None,
    service_tagged: &[],
};

fn elsewhere() -> Vec<Elsewhere> {
    vec![
        Elsewhere {
            node: "ext",
            address: "10.9.0.1",
            meta: &[("b", "world"), ("rfc1035-a", "hello")],
            tagged: &[("wan", "198.51.100.1"), ("lan", "10.9.0.1")],
            service: Some(("extweb", "", 99)),
            ..NOTHING
        },
        Elsewhere {
            node: "exthost",
            address: "ext.example.test",
            service: Some(("eh", "", 98)),
            ..NOTHING
        },
        Elsewhere {
            node: "hostmeta",
            address: "meta.example.test",
            meta: &[("a=b", "c`d")],
            service: Some(("hm", "", 97)),
            ..NOTHING
        },
        Elsewhere {
            node: "six",
            address: "2001:db8::99",
            service: Some(("n6", "", 98)),
            ..NOTHING
        },
        Elsewhere {
            node: "web2.dotted",
            address: "10.9.0.2",
            ..NOTHING
        },
        Elsewhere {
            node: "ext2",
            address: "10.9.0.3",
            tagged: &[("lan_ipv6", "2001:db8::33")],
            service: Some(("tg", "10.9.1.1", 98)),
            service_tagged: &[
                ("lan", "10.9.1.2"),
                ("wan", "10.9.1.3"),
                ("lan_ipv6", "2001:db8::77"),
            ],
            ..NOTHING
        },
        Elsewhere {
            node: "ext3",
            address: "10.9.0.4",
            tagged: &[("lan_ipv6", "2001:db8::44")],
            service: Some(("nt", "", 98)),
            ..NOTHING
        },
    ]
}

/// The catalog, with one prepared query that gives the service `web`.
#[derive(Debug)]
pub(super) struct Fixture(Catalog);

impl Fixture {
    pub(super) fn new() -> Fixture {
        let mut catalog = Catalog::new(&LocalNode {
            name: "n1".into(),
            id: "5e51a1b2-0000-0000-0000-000000000001".into(),
            address: "127.0.0.1".into(),
            datacenter: "dc1".into(),
        });
        for local in locals() {
            let definition = ServiceDefinition {
                instance: instance(&local),
                check: CheckDefinition {
                    status: local.status.unwrap_or_default().into(),
                    ttl: if local.status.is_some() {
                        3_600_000_000_000
                    } else {
                        0
                    },
                    ..CheckDefinition::default()
                },
                checks: Vec::new(),
            };
            let done = catalog.register_service(Duration::ZERO, definition, false);
            drop(done.expect("the definition is good"));
        }
        for node in elsewhere() {
            let done = catalog.write(Duration::ZERO, write(&node));
            drop(done.expect("the write is good"));
        }
        Fixture(catalog)
    }
}

fn instance(local: &Local) -> Instance {
    let tags: Vec<Key> = local.tags.iter().map(|tag| Key::from(*tag)).collect();
    Instance {
        id: local.id.as_str().into(),
        name: local.name.into(),
        tags: tags.into(),
        address: local.address.as_str().into(),
        tagged_addresses: Default::default(),
        meta: None,
        port: local.port,
        weights: Weights {
            passing: local.weights.0,
            warning: local.weights.1,
        },
        enable_tag_override: false,
        kind: "".into(),
        proxy: None,
        connect: None,
        origin: Origin::Agent,
    }
}

fn write(node: &Elsewhere) -> Write {
    let map = |pairs: &[(&str, &str)]| {
        let owned = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        (!pairs.is_empty()).then(|| owned.collect())
    };
    let service = node.service.map(|(name, address, port)| {
        let mut instance = instance(&plain(name, name, address, port));
        instance.origin = Origin::Catalog;
        let tagged = node.service_tagged.iter();
        instance.tagged_addresses = tagged
            .map(|(name, address)| (*name, ((*address).into(), 1)))
            .collect();
        ExternalService(instance)
    });
    Write {
        node: node.node.into(),
        address: node.address.into(),
        tagged_addresses: map(node.tagged),
        node_meta: map(node.meta),
        service,
        ..Write::default()
    }
}

/// The same for a real Consul: method, path and body of each request.
pub(super) fn requests() -> Vec<(&'static str, &'static str, Value)> {
    let mut requests = Vec::new();
    for local in locals() {
        let mut body = json!({
            "ID": local.id, "Name": local.name, "Tags": local.tags, "Address": local.address,
            "Port": local.port, "Weights": {"Passing": local.weights.0, "Warning": local.weights.1},
        });
        if let Some(status) = local.status {
            body["Check"] = json!({"TTL": "1h", "Status": status});
        }
        requests.push(("PUT", "/v1/agent/service/register", body));
    }
    for node in elsewhere() {
        let object = |pairs: &[(&str, &str)]| -> Value {
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), json!(v)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let mut body = json!({
            "Node": node.node, "Address": node.address,
            "NodeMeta": object(node.meta), "TaggedAddresses": object(node.tagged),
        });
        if let Some((name, address, port)) = node.service {
            let tagged: serde_json::Map<_, _> = node
                .service_tagged
                .iter()
                .map(|(k, v)| ((*k).to_owned(), json!({"Address": v, "Port": 1})))
                .collect();
            body["Service"] = json!({
                "ID": name, "Service": name, "Address": address, "Port": port,
                "TaggedAddresses": tagged,
            });
        }
        requests.push(("PUT", "/v1/catalog/register", body));
    }
    let query = json!({"Name": "near", "Service": {"Service": "web"}});
    requests.push(("POST", "/v1/query", query));
    requests
}

impl View for Fixture {
    fn datacenter(&self) -> Key {
        View::datacenter(&self.0)
    }

    fn node(&self, name: &str) -> Option<Shared<Node>> {
        View::node(&self.0, name)
    }

    fn service(&self, name: &str) -> Vec<Health> {
        View::service(&self.0, name)
    }

    fn prepared(&self, name: &str) -> Option<(Vec<Health>, u32)> {
        let mut found = View::service(&self.0, "web");
        found.retain(|health| &*health.instance.id != "web-2");
        (name == "near").then_some((found, 0))
    }

    fn node_at(&self, address: IpAddr) -> Option<Key> {
        View::node_at(&self.0, address)
    }

    fn service_at(&self, address: IpAddr) -> Option<Key> {
        View::service_at(&self.0, address)
    }
}
