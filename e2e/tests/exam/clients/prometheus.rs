//! A Prometheus that finds its targets by its `consul_sd`: one process, and every job twice, once for each registry. The
//! two must have the same targets with the same labels, at every moment of an instance's life.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

use e2e::parts::{self, Part};
use e2e::process::Process;
use e2e::registry::{Kind, Registry};
use e2e::{http, ports, wait};
use serde_json::Value;

use super::put;

/// Jobs: a name, and what it asks of the registry beside all services.
const JOBS: [(&str, &str); 3] = [
    ("all", ""),
    (
        "prod",
        "services: [web]\n    tags: [prod]\n    allow_stale: false",
    ),
    ("meta", "node_meta: {rack: r1}"),
];

/// A target as its labels.
type Target = BTreeSet<(String, String)>;

const REGISTER: &str = "/v1/agent/service/register";

/// What is done, and how many targets each job has afterwards.
type Step = (&'static [(&'static str, &'static str)], [usize; JOBS.len()]);

fn start(folder: &std::path::Path, address: SocketAddr, registries: [SocketAddr; 2]) -> Process {
    let mut text = "global:\n  scrape_interval: 1h\nscrape_configs:\n".to_owned();
    for (job, more) in JOBS {
        for (side, registry) in ["consul", "turno"].iter().zip(registries) {
            text += &format!(
                "- job_name: {job}-{side}\n  consul_sd_configs:\n  - server: {registry}\n    refresh_interval: 200ms\n    {more}\n"
            );
        }
    }
    let file = folder.join("prometheus.yml");
    fs::write(&file, text).expect("the folder was just made");
    let mut command = Command::new(Part::Prometheus.path());
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!(
        "--storage.tsdb.path={}",
        folder.join("data").display()
    ));
    command.arg(format!("--web.listen-address={address}"));
    Process::start("prometheus", command)
}

/// The targets of one job. The registry's own service is left out: its port is none of the embedded one's.
fn targets(all: &Value, job: &str) -> BTreeSet<Target> {
    let mut found = BTreeSet::new();
    for target in all["data"]["activeTargets"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let labels = &target["discoveredLabels"];
        if labels["job"] != job || labels["__meta_consul_service"] == "consul" {
            continue;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let labels = labels.as_object().into_iter().flatten();
        let kept = labels.filter(|(name, _)| *name != "job");
        found.insert(
            kept.map(|(name, value)| (name.clone(), text(value)))
                .collect(),
        );
    }
    found
}

#[test]
fn prometheus_finds_the_same_targets() {
    if !parts::available(&[Part::Consul, Part::Prometheus]) {
        return;
    }
    // Prometheus passes changes on every five seconds.
    let steps: [Step; 3] = [
        (
            &[
                (
                    REGISTER,
                    r#"{"ID":"a","Name":"web","Tags":["prod","x"],"Address":"10.0.0.1","Port":9100,"Meta":{"team-name":"t"}}"#,
                ),
                (REGISTER, r#"{"ID":"b","Name":"web","Port":9101}"#),
                (
                    "/v1/catalog/register",
                    r#"{"Node":"other","Address":"10.0.0.9","TaggedAddresses":{"lan":"10.0.0.9","wan":"1.2.3.4"},"NodeMeta":{"rack":"r1"},"Service":{"Service":"db","Port":5432,"Tags":["prod"]}}"#,
                ),
            ],
            [3, 1, 1],
        ),
        (
            &[
                (
                    REGISTER,
                    r#"{"ID":"b","Name":"web","Tags":["prod"],"Port":9101,"Check":{"TTL":"1h"}}"#,
                ),
                (REGISTER, r#"{"ID":"c","Name":"late","Port":9102}"#),
            ],
            [4, 2, 1],
        ),
        (
            &[
                ("/v1/agent/service/deregister/a", ""),
                ("/v1/agent/service/deregister/c", ""),
                ("/v1/catalog/deregister", r#"{"Node":"other"}"#),
            ],
            [1, 1, 0],
        ),
    ];
    let registries = [Kind::Consul, Kind::Embedded].map(Registry::start);
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let address = ports::free_address();
    let mut prometheus = start(
        folder.path(),
        address,
        [0, 1].map(|at| registries[at].address),
    );
    for (changes, expected) in steps {
        for (path, body) in changes {
            for registry in &registries {
                put(registry.address, path, body);
            }
        }
        let started = Instant::now();
        for ((job, _), count) in JOBS.iter().zip(expected) {
            loop {
                prometheus.assert_running();
                let answer = http::get(address, "/api/v1/targets");
                let all: Value = answer
                    .ok()
                    .and_then(|answer| serde_json::from_slice(&answer.body).ok())
                    .unwrap_or_default();
                let [consul, ours] =
                    ["consul", "turno"].map(|side| targets(&all, &format!("{job}-{side}")));
                if consul.len() == count && consul == ours {
                    break;
                }
                assert!(
                    started.elapsed() < wait::SOON * 2,
                    "{count} targets of {job} after {changes:?}:\nConsul {consul:?}\nours   {ours:?}"
                );
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        }
    }
}
