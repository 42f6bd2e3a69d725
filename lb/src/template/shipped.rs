//! Tests of the templates that come with turno: each as it was agreed on, judged by the real programs, and the same for the
//! same snapshot in whatever order the registry lists it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use consul::types::ServiceEntry;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::dependency::{News, Question, Reply};
use super::{Engine, Knowledge};

/// A registry as a template sees it: instances by service.
type Entries = BTreeMap<String, Vec<ServiceEntry>>;

const TEMPLATES: [(&str, &str); 3] = [
    (
        "haproxy-reload.cfg",
        include_str!("../../../templates/haproxy-reload.cfg.hbs"),
    ),
    ("hosts", include_str!("../../../templates/hosts.hbs")),
    (
        "nginx.conf",
        include_str!("../../../templates/nginx.conf.hbs"),
    ),
];

/// How many snapshots are made: a few, or `TURNO_SNAPSHOTS`.
pub(crate) fn snapshots() -> u32 {
    let asked = std::env::var("TURNO_SNAPSHOTS").ok();
    asked.and_then(|number| number.parse().ok()).unwrap_or(100)
}

/// One in so many texts is given to the real program: that takes longer than all else.
pub(crate) const SAMPLED: u32 = 25;

/// The file in `golden/` must say `text`. `TURNO_GOLDEN=write` makes it say so.
pub(crate) fn assert_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../templates/golden")
        .join(name);
    if std::env::var("TURNO_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(&path, text).expect("it is written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text,
        golden,
        "{} (TURNO_GOLDEN=write if that is meant)",
        path.display()
    );
}

/// Where the real program is, if `scripts/real-parts` or the system has it.
fn real(program: &str) -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../.real-parts/bin")
        .join(program);
    let folders = ["/usr/sbin", "/usr/local/sbin", "/usr/bin"];
    let system = folders.map(|folder| Path::new(folder).join(program));
    let found = [unpacked]
        .into_iter()
        .chain(system)
        .find(|path| path.is_file());
    if found.is_none() {
        let in_ci = std::env::var("CI").is_ok_and(|value| !value.is_empty());
        assert!(!in_ci, "{program} is not installed");
        eprintln!("SKIPPED: {program} is not installed; `scripts/real-parts` would install it");
    }
    found
}

/// What the program that reads the file `name` says against it; `None`: nothing.
pub(crate) fn complaint(name: &str, text: &str) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, text).expect("it is written");
    let mut command = if name.starts_with("haproxy") {
        let mut command = Command::new(real("haproxy")?);
        command.arg("-c").arg("-f").arg(&file);
        command
    } else if name.starts_with("nginx") {
        let mut command = Command::new(real("nginx")?);
        let scratch = folder.path().display();
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {scratch}/{kind};"))
            .join("");
        let http = text.replacen("http {", &format!("http {{ {paths}"), 1);
        std::fs::write(&file, http).expect("it is written");
        command.args(["-t", "-q", "-p", &scratch.to_string(), "-e", "stderr"]);
        command
            .args(["-g", &format!("pid {scratch}/pid;"), "-c"])
            .arg(&file);
        command
    } else {
        return None;
    };
    let output = command.output().expect("it can be run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success()).then_some(said)
}

fn rendered(name: &str, template: &str, entries: &Entries) -> String {
    let engine = Engine::new(Path::new(name), template).expect("it is a template");
    let mut known = Knowledge::default();
    loop {
        let rendering = engine.render(&known, SystemTime::UNIX_EPOCH);
        let rendering = rendering.expect("it can be rendered");
        if let Some(text) = rendering.text {
            return text;
        }
        known.show(&rendering.asked);
        for question in rendering.missing {
            let reply = answer(&question, entries);
            known.learn(News { question, reply });
        }
    }
}

fn answer(asked: &Question, entries: &Entries) -> Reply {
    match asked {
        Question::Service { name, .. } => {
            Reply::instances(entries.get(name).cloned().unwrap_or_default(), false)
        }
        _ => Reply::Services(
            entries
                .keys()
                .map(|name| (name.clone(), Vec::new()))
                .collect(),
        ),
    }
}

fn entry(node: &str, id: &str, address: &str, port: i64, weight: u32) -> ServiceEntry {
    let entry = serde_json::json!({
        "Node": { "Node": node, "Address": "10.0.0.1" },
        "Service": { "ID": id, "Service": "hello", "Address": address, "Port": port,
            "Weights": { "Passing": weight, "Warning": 1 } },
        "Checks": [],
    });
    serde_json::from_value(entry).expect("an entry as Consul writes it")
}

#[test]
fn each_is_as_it_was_agreed_on() {
    let hello = vec![
        entry("n1", "hello-1", "10.0.0.5", 8080, 1),
        entry("n2", "hello 2; x\n", "", 8081, 65_535),
        entry("n2", "hello-3", "::1", 8082, 7),
        entry("n2", "no-port", "10.0.0.6", 0, 1),
    ];
    let entries = BTreeMap::from([("hello".to_owned(), hello), ("none".to_owned(), vec![])]);
    for (name, template) in TEMPLATES {
        let text = rendered(name, template, &entries);
        assert_golden(name, &text);
        assert_eq!(complaint(name, &text), None, "{text}");
        let empty = rendered(name, template, &Entries::new());
        assert_eq!(complaint(name, &empty), None, "{empty}");
    }
}

/// What makes HAProxy refuse a server: found by the test of any snapshot.
#[test]
fn an_instance_that_nobody_could_connect_to_is_left_out() {
    let odd = |address: &str| entry("n1", "odd", address, 80, 1);
    let good = entry("n1", "good", "10.0.0.5", 80, 1);
    for address in [".\nz\n", "a..b", "B:", "a b", &"a".repeat(64)] {
        let hello = vec![odd(address), good.clone()];
        let entries = BTreeMap::from([("hello".to_owned(), hello)]);
        for (name, template) in TEMPLATES {
            let text = rendered(name, template, &entries);
            assert_eq!(complaint(name, &text), None, "{text}");
            assert!(text.contains("10.0.0.5"), "{text}");
        }
    }
}

fn any_entry() -> impl Strategy<Value = ServiceEntry> {
    let name = || prop_oneof!["[a-z]{1,4}", "[ -~\n\u{e9}]{1,8}"];
    let address = prop_oneof![
        8 => "10\\.0\\.[0-9]\\.[1-9]",
        2 => Just("::1".to_owned()),
        2 => Just(String::new()),
        1 => "[ -~\n]{1,6}"
    ];
    let port =
        prop_oneof![4 => 1..65_536_i64, 1 => Just(0_i64), 1 => Just(70_000_i64), 1 => Just(-1_i64)];
    (name(), name(), address, port, 1..65_536_u32)
        .prop_map(|(node, id, address, port, weight)| entry(&node, &id, &address, port, weight))
}

#[test]
fn any_snapshot_gives_a_file_that_is_accepted_and_does_not_depend_on_the_order() {
    let config = Config {
        cases: snapshots(),
        failure_persistence: None,
        ..Config::default()
    };
    let made = std::cell::Cell::new(0);
    let any = proptest::collection::vec(any_entry(), 0..12);
    TestRunner::new(config)
        .run(&any, |hello| {
            made.set(made.get() + 1);
            let mut other_way = hello.clone();
            other_way.reverse();
            let entries = |hello| BTreeMap::from([("hello".to_owned(), hello)]);
            let (forth, back) = (entries(hello), entries(other_way));
            for (name, template) in TEMPLATES {
                let text = rendered(name, template, &forth);
                // Two with the same node and id are one to a registry.
                let distinct: std::collections::BTreeSet<_> = forth["hello"]
                    .iter()
                    .map(|e| (&e.node.node, &e.service.id))
                    .collect();
                if distinct.len() == forth["hello"].len() {
                    prop_assert_eq!(&text, &rendered(name, template, &back));
                }
                // nginx looks names up when it reads its file, and refuses one that it cannot find.
                let by_ip = |e: &ServiceEntry| e.address().parse::<std::net::IpAddr>().is_ok();
                let is_for = !name.starts_with("nginx") || forth["hello"].iter().all(by_ip);
                if is_for && made.get() % SAMPLED == 1 {
                    prop_assert_eq!(complaint(name, &text), None, "{}", text);
                }
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
