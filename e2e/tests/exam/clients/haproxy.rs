//! HAProxy that finds its servers by itself: `server-template` over SRV records, asked of the registry's DNS. It must know
//! the same servers with the same weights whichever registry it asks, at every moment of an instance's life.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use e2e::haproxy::{ask, servers};
use e2e::parts::{self, Part};
use e2e::process::Process;
use e2e::registry::{Kind, Registry};
use e2e::{http, ports, wait};
use serde_json::json;

use super::put;
use crate::target;

/// More than there are instances, so that none is left out.
const SLOTS: usize = 6;

/// A registry with a HAProxy that asks its DNS.
struct Side {
    registry: Registry,
    process: Process,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Side {
    fn start(kind: Kind) -> Side {
        let registry = Registry::start_with_dns(kind);
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let address = ports::free_address();
        let dns = registry.dns.expect("it was asked for");
        let socket = folder.path().join("stats.sock");
        let text = format!(
            "global\n  stats socket {socket} mode 600 level admin\n\
             defaults\n  mode http\n  timeout connect 2s\n  timeout client 10s\n  timeout server 10s\n\
             resolvers registry\n  nameserver first {dns}\n  accepted_payload_size 8192\n  timeout resolve 100ms\n  \
             hold valid 100ms\n  hold nx 100ms\n  hold obsolete 100ms\n\
             frontend front\n  bind {address}\n  default_backend web\n\
             backend web\n  server-template web {SLOTS} _web._tcp.service.consul resolvers registry resolve-prefer ipv4 \
             init-addr none\n",
            socket = socket.display(),
        );
        let file = folder.path().join("haproxy.cfg");
        fs::write(&file, text).expect("the folder was just made");
        let mut command = Command::new(Part::Haproxy.path());
        command.arg("-db").arg("-f").arg(file);
        let process = Process::start("haproxy", command);
        Side {
            registry,
            process,
            address,
            folder,
        }
    }

    /// Address and weight of every server that gets requests.
    fn ready(&mut self) -> BTreeSet<(String, u32)> {
        self.process.assert_running();
        let socket = self.folder.path().join("stats.sock");
        let answer = ask(&socket, "show servers state web").unwrap_or_default();
        let ready = servers(&answer).into_values().filter(|server| server.ready);
        ready
            .map(|server| (server.address, server.weight))
            .collect()
    }
}

/// One of the instances. Without an address of its own it has its node's, and SRV names the node instead.
fn instance(id: &str, server: SocketAddr, own_address: bool, weight: u32) -> String {
    let mut body = json!({
        "ID": id, "Name": "web", "Port": server.port(), "Weights": { "Passing": weight, "Warning": 1 },
        "Check": { "TTL": "1h", "Status": "passing" },
    });
    if own_address {
        body["Address"] = json!(server.ip().to_string());
    }
    body.to_string()
}

/// What is done, and which servers with which weights HAProxy must know afterwards.
type Step = (&'static str, String, Vec<(SocketAddr, u32)>);

#[test]
fn haproxy_finds_the_same_servers_over_dns() {
    if !parts::available(&[Part::Consul, Part::Haproxy]) {
        return;
    }
    let [a, b, c] = std::array::from_fn(|_| target::start());
    let register = "/v1/agent/service/register";
    // SRV weights are 1 to 65535, HAProxy's 1 to 256.
    let steps: [Step; 8] = [
        (register, instance("a", a, true, 256), vec![(a, 1)]),
        (
            register,
            instance("b", b, false, 2560),
            vec![(a, 1), (b, 10)],
        ),
        (
            register,
            instance("c", c, true, 5120),
            vec![(a, 1), (b, 10), (c, 20)],
        ),
        (
            "/v1/agent/check/fail/service:b",
            String::new(),
            vec![(a, 1), (c, 20)],
        ),
        (
            "/v1/agent/check/pass/service:b",
            String::new(),
            vec![(a, 1), (b, 10), (c, 20)],
        ),
        (
            "/v1/agent/service/maintenance/c?enable=true",
            String::new(),
            vec![(a, 1), (b, 10)],
        ),
        (
            "/v1/agent/service/deregister/a",
            String::new(),
            vec![(b, 10)],
        ),
        (
            "/v1/agent/service/maintenance/c?enable=false",
            String::new(),
            vec![(b, 10), (c, 20)],
        ),
    ];
    let mut sides = [Kind::Consul, Kind::Embedded].map(Side::start);
    for (path, body, expected) in steps {
        let expected: BTreeSet<(String, u32)> = expected
            .into_iter()
            .map(|(server, weight)| (server.to_string(), weight))
            .collect();
        for side in &sides {
            put(side.registry.address, path, &body);
        }
        for side in &mut sides {
            let what = format!("{expected:?} after {path}, by {:?}", side.registry);
            wait::until_true(&what, wait::SOON, || side.ready() == expected);
            let answer = http::get(side.address, "/200").expect("HAProxy answers");
            assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        }
    }
}
