//! `turno template`: what it reads, how seldom it asks, and what it does when the registry is away.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use e2e::http::Connection;
use e2e::process::Process;
use e2e::registry::{Kind, Registry};
use e2e::turno::listening;
use e2e::{http, turno, wait};
use serde_json::{Value, json};

use crate::say;

on_both_registries!(
    keys_nodes_and_what_is_read_through_them,
    one_subscription_however_many_templates_and_no_rendering_for_a_note,
    the_file_never_shrinks_while_the_registry_is_away,
    a_burst_of_500_registrations_costs_three_reloads_at_most,
);

/// A folder with templates, and the watcher over them.
struct Watched {
    folder: tempfile::TempDir,
    process: Option<Process>,
    admin: SocketAddr,
}

impl Watched {
    /// Starts the watcher with a template `NAME.hbs` for each target `NAME`.
    fn start(
        registry: &Registry,
        templates: &[(&str, &str)],
        command: &str,
        wait: &str,
    ) -> Watched {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let url = format!("http://{}", registry.address);
        let mut arguments: Vec<String> = [
            "template",
            "--admin",
            "127.0.0.1:0",
            "--consul",
            &url,
            "--wait",
            wait,
        ]
        .map(str::to_owned)
        .to_vec();
        for (name, text) in templates {
            fs::write(path(&format!("{name}.hbs")), text).expect("it is written");
            let command = command.replace("{folder}", &folder.path().display().to_string());
            arguments.push("-t".to_owned());
            arguments.push(format!(
                "{}:{}:{command}",
                path(&format!("{name}.hbs")),
                path(name)
            ));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut process = Process::start("turno template", turno::command(&arguments));
        let admin = listening(&mut process, "admin listening on http://");
        Watched {
            folder,
            process: Some(process),
            admin,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn await_text(&mut self, name: &str, expected: &str) {
        let path = self.path(name);
        wait::until_true(format!("{name} to be {expected:?}"), wait::SOON, || {
            self.process
                .as_mut()
                .expect("it was started")
                .assert_running();
            read(&path) == expected
        });
    }

    fn status(&self) -> Value {
        let text = http::get(self.admin, "/v1/status")
            .expect("it answers")
            .text();
        serde_json::from_str(&text).expect("JSON")
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn put(registry: &Registry, path: &str, body: &str) {
    let mut connection = Connection::open(registry.address).expect("it listens");
    let answer = connection
        .request("PUT", path, &[("Connection", "close")], body.as_bytes())
        .expect("it answers");
    assert_eq!(answer.status, 200, "PUT {path}: {}", answer.text());
}

/// An instance without a check: it passes at once.
fn instance(service: &str, id: &str, port: u16) -> String {
    json!({ "Name": service, "ID": id, "Address": "127.0.0.1", "Port": port }).to_string()
}

fn register(registry: &Registry, service: &str, id: &str, port: u16) {
    put(
        registry,
        "/v1/agent/service/register",
        &instance(service, id, port),
    );
}

fn keys_nodes_and_what_is_read_through_them(kind: Kind) {
    let registry = Registry::start(kind);
    put(&registry, "/v1/kv/config/list", "web");
    let template = r#"{{key "config/list"}}:{{#each (service (key "config/list")) as |s|}}{{s.ID}} {{/each}}|{{#each (tree "config") as |p|}}{{p.Key}}={{p.Value}} {{/each}}|{{#each (nodes) as |n|}}{{n.Node}} {{/each}}|{{keyOrDefault "config/extra" "none"}}"#;
    register(&registry, "web", "w1", 1);
    register(&registry, "api", "a1", 2);
    let mut watched = Watched::start(&registry, &[("out", template)], "", "10ms");
    watched.await_text("out", "web:w1 |list=web |e2e |none");
    put(&registry, "/v1/kv/config/extra", "more");
    watched.await_text("out", "web:w1 |extra=more list=web |e2e |more");
    put(&registry, "/v1/kv/config/list", "api");
    watched.await_text("out", "api:a1 |extra=more list=api |e2e |more");
    let status = watched.status();
    let reads: Vec<&str> = status["dependencies"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|dependency| dependency["dependency"].as_str())
        .collect();
    assert!(
        reads.contains(&"service api") && !reads.contains(&"service web"),
        "{reads:?}"
    );
}

fn one_subscription_however_many_templates_and_no_rendering_for_a_note(kind: Kind) {
    let registry = Registry::start(kind);
    let body = json!({
        "Name": "web", "ID": "w1", "Address": "127.0.0.1", "Port": 1,
        "Check": { "CheckID": "c1", "TTL": "600s", "Status": "passing" },
    });
    put(&registry, "/v1/agent/service/register", &body.to_string());
    let templates = [
        (
            "one",
            r#"{{#each (service "web") as |s|}}{{s.ID}} {{/each}}"#,
        ),
        (
            "two",
            r#"{{#each (service "web|passing") as |s|}}{{s.ID}} {{/each}}{{len (service "web" health="any")}}"#,
        ),
    ];
    let mut watched = Watched::start(&registry, &templates, "", "10ms");
    watched.await_text("two", "w1 1");
    watched.await_text("one", "w1 ");
    let before = watched.status();
    assert_eq!(
        before["dependencies"].as_array().map(Vec::len),
        Some(1),
        "{before}"
    );
    for note in 0..3 {
        put(
            &registry,
            &format!("/v1/agent/check/pass/c1?note=run{note}"),
            "",
        );
        // The next query is asked 100 ms later at the soonest.
        std::thread::sleep(Duration::from_millis(120));
    }
    register(&registry, "web", "w2", 2);
    watched.await_text("one", "w1 w2 ");
    watched.await_text("two", "w1 w2 2");
    let after = watched.status();
    for number in 0..2 {
        let renders = |status: &Value| {
            status["templates"][number]["renders"]
                .as_u64()
                .expect("a count")
        };
        assert_eq!(
            renders(&after) - renders(&before),
            1,
            "before {before}\nafter {after}"
        );
    }
    let metrics = http::get(watched.admin, "/metrics")
        .expect("it answers")
        .text();
    for name in [
        "turno_dependency_age_seconds{dependency=\"service web\"}",
        "turno_template_renders_total",
        "turno_dependency_index",
    ] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
}

fn the_file_never_shrinks_while_the_registry_is_away(kind: Kind) {
    never_shrinks(
        Registry::start(kind),
        "it has forgotten everything, and is not believed yet",
    );
    never_shrinks(Registry::start_durable(kind), "it has its data");
}

fn never_shrinks(mut registry: Registry, back_how: &str) {
    register(&registry, "web", "w1", 1);
    register(&registry, "web", "w2", 2);
    put(&registry, "/v1/kv/config/a", "1");
    let template = r#"{{#each (services) as |e|}}{{#unless (eq e.Name "consul")}}{{e.Name}} {{/unless}}{{/each}}{{#each (service "web") as |s|}}{{s.ID}} {{/each}}{{#each (ls "config") as |p|}}{{p.Key}}={{p.Value}} {{/each}}"#;
    let mut watched = Watched::start(&registry, &[("out", template)], "", "10ms");
    watched.await_text("out", "web w1 w2 a=1 ");
    registry.kill();
    wait::until_true("the failures to be seen", wait::SOON, || {
        let status = watched.status();
        let list = status["dependencies"].as_array().expect("a list").clone();
        list.iter()
            .all(|dependency| dependency["failing_for"].as_u64() > Some(0))
    });
    // Not a condition waited for: the outage itself is what is tested.
    let end = Instant::now() + crate::outage_wanted(Duration::ZERO);
    while Instant::now() < end {
        assert_eq!(watched.text("out"), "web w1 w2 a=1 ");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(watched.text("out"), "web w1 w2 a=1 ");
    registry.start_again();
    wait::until_true("the empty registry to be asked", wait::SOON, || {
        let status = watched.status();
        let list = status["dependencies"].as_array().expect("a list").clone();
        list.iter().all(|dependency| dependency["failing_for"] == 0)
    });
    assert_eq!(watched.text("out"), "web w1 w2 a=1 ", "{back_how}");
    register(&registry, "web", "w3", 3);
    watched.await_text("out", "web w1 w2 w3 a=1 ");
    register(&registry, "web", "w1", 11);
    register(&registry, "web", "w2", 12);
    put(&registry, "/v1/kv/config/a", "2");
    watched.await_text("out", "web w1 w2 w3 a=2 ");
    registry.deregister("w3");
    watched.await_text("out", "web w1 w2 a=2 ");
}

fn a_burst_of_500_registrations_costs_three_reloads_at_most(kind: Kind) {
    const BURST: u16 = 500;
    let registry = Registry::start(kind);
    register(&registry, "web", "w0", 1);
    let template = r#"{{len (service "web")}}"#;
    let reload = "echo reload >> {folder}/reloads";
    let mut watched = Watched::start(&registry, &[("out", template)], reload, "500ms:10s");
    watched.await_text("out", "1");
    let reloads = |watched: &Watched| watched.text("reloads").lines().count();
    wait::until_true("the first reload", wait::SOON, || reloads(&watched) == 1);
    let mut connection = Connection::open(registry.address).expect("it listens");
    let started = Instant::now();
    for number in 1..=BURST {
        let body = instance("web", &format!("w{number}"), 1 + number);
        let answer = connection
            .request("PUT", "/v1/agent/service/register", &[], body.as_bytes())
            .expect("it answers");
        assert_eq!(answer.status, 200);
    }
    let took = started.elapsed();
    watched.await_text("out", &(BURST + 1).to_string());
    wait::until_true("the reload after it", wait::SOON, || reloads(&watched) > 1);
    let count = reloads(&watched) - 1;
    say(&format!(
        "{BURST} registrations in {took:?} cost {count} reloads"
    ));
    assert!(count <= 3, "{count} reloads");
}
