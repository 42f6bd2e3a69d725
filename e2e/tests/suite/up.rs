//! `turno up`, the first command of the README: the whole thing on one machine.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use e2e::browser::Browser;
use e2e::load::Background;
use e2e::parts::{self, Part};
use e2e::process::Process;
use e2e::registry::{Kind, Registry};
use e2e::turno;
use e2e::{http, ports, wait};
use serde_json::{Value, json};

on_both_registries!(up_rotates_replaces_and_scales);

fn up_rotates_replaces_and_scales(kind: Kind) {
    // With `turno up` the embedded registry is its own; Consul is one that it is told of.
    let consul = (kind == Kind::Consul).then(|| Registry::start(kind));
    let (listen, admin, own) = (
        ports::free_address(),
        ports::free_address(),
        ports::free_address(),
    );
    let mut command = turno::command(&["up", "--replicas", "3"]);
    command.args([
        "--listen",
        &listen.to_string(),
        "--admin",
        &admin.to_string(),
    ]);
    match &consul {
        Some(consul) => command.args(["--consul", &format!("http://{}", consul.address)]),
        None => command.args(["--registry-listen", &own.to_string()]),
    };
    let mut up = Process::start("turno up", command);
    await_instances(&mut up, listen, 3);

    let load = Background::start(listen, 8);
    let victim = one_replica(&up);
    rustix::process::kill_process(victim, rustix::process::Signal::KILL).expect("the replica runs");
    await_end(victim);
    await_instances(&mut up, listen, 3);
    for count in [5, 2] {
        let ended = turno::run(&[
            "scale",
            &format!("hello={count}"),
            "--admin",
            &admin.to_string(),
        ]);
        assert_eq!(ended.code, 0, "{ended:?}");
        await_instances(&mut up, listen, count);
    }
    let tally = load.finish();

    assert_eq!(tally.failures, Vec::<String>::new());
    let ended = up.stop(wait::SOON);
    assert_eq!(ended.code(), Some(0), "{}", up.output());
    if let Some(consul) = &consul {
        assert_eq!(
            consul.passing("hello"),
            Vec::<String>::new(),
            "it deregisters on its way out"
        );
    }
}

#[test]
fn the_dashboard_shows_the_brokers_there_are() {
    let registry = Registry::start(Kind::Embedded);
    let (listen, admin) = (ports::free_address(), ports::free_address());
    let consul = format!("http://{}", registry.address);
    let mut command = turno::command(&["up", "--replicas", "1", "--consul", &consul]);
    command.args(["--listen", &listen.to_string()]);
    command.args(["--admin", &admin.to_string()]);
    let mut up = Process::start("turno up", command);
    await_instances(&mut up, listen, 1);
    let brokers = || {
        let answer = http::get(admin, "/v1/up/brokers").expect("up answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let list: Value = serde_json::from_slice(&answer.body).expect("JSON");
        list.as_array().cloned().expect("a list")
    };
    assert_eq!(brokers(), Vec::<Value>::new());
    let page = http::get(admin, "/").expect("a page");
    assert!(page.text().contains("v1/up/brokers"), "it asks for them");

    let broker = |name, more: &[&str]| {
        let ports = ["--bind", "tcp://127.0.0.1:0", "--no-worker-bind"];
        let line = [&["broker", "--name", name][..], &ports, more].concat();
        crate::queues::part(&registry, &line)
    };
    let mut shown = broker("jobs", &["--admin", "127.0.0.1:0"]);
    let _hidden = broker("secret", &[]);
    let offer = ["--service", "echo", "--builtin", "echo"];
    let line = [&["worker", "--broker", "jobs"][..], &offer].concat();
    let _worker = crate::queues::part(&registry, &line);
    let asking = ["client", "--broker", "jobs", "--service", "echo", "-n", "3"];
    let asked = turno::run(&[&["mq"], &asking[..], &["--consul", &consul, "hello"]].concat());
    assert_eq!(asked.code, 0, "{asked:?}");

    let (all, _) = wait::until("both brokers", wait::SOON, || {
        let all = brokers();
        (all.len() == 2).then_some(all)
    });
    let view = &all[0]["view"];
    assert_eq!(view["broker"], "jobs", "{all:?}");
    assert_eq!(view["counters"]["answered"], 3);
    assert_eq!(view["counters"]["requeued"], 0);
    assert_eq!(view["census"]["workers"], 1);
    let echo = &view["services"][0];
    let echo = (&echo["name"], &echo["queued"], &echo["workers"]);
    assert_eq!(echo, (&json!("echo"), &json!(0), &json!(1)));
    let why = all[1]["error"].as_str().expect("a reason");
    assert!(why.contains("--admin"), "{why}");

    // A person sees as much.
    if parts::available(&[Part::Chromium]) {
        let mut page = Browser::start();
        page.open(&format!("http://{admin}/"));
        let id = all[0]["id"].as_str().expect("an id");
        let sums = "3 answered, 0 redelivered";
        page.await_text(&[id, "1 workers", sums, "echo", "start it with --admin"]);
    }

    // One that is killed is shown as one that does not answer, as long as it is registered.
    shown.kill();
    let all = brokers();
    assert_eq!(all[0]["view"], Value::Null, "{all:?}");
    let why = all[0]["error"].as_str().expect("a reason");
    assert!(why.contains("cannot reach"), "{why}");
}

/// Waits until exactly `count` instances answer, each at least once in thirty requests.
fn await_instances(up: &mut Process, listen: SocketAddr, count: usize) {
    wait::until_true(format!("{count} instances"), wait::SOON, || {
        up.assert_running();
        let Ok(mut client) = http::Connection::open(listen) else {
            return false;
        };
        let mut seen = BTreeSet::new();
        for _ in 0..30 {
            match client.get("/") {
                Ok(answer) if answer.status == 200 => seen.insert(answer.text()),
                _ => return false,
            };
        }
        seen.len() == count
    });
}

/// A child of `turno up`.
fn one_replica(up: &Process) -> rustix::process::Pid {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", up.id())).expect("it runs");
    let children: String = tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok())
        .collect::<Vec<_>>()
        .join(" ");
    let first = children
        .split_whitespace()
        .next()
        .and_then(|id| id.parse().ok());
    first
        .and_then(rustix::process::Pid::from_raw)
        .unwrap_or_else(|| panic!("no replicas: {}", up.output()))
}

fn await_end(id: rustix::process::Pid) {
    wait::until_true("the replica to be gone", wait::SOON, || {
        rustix::process::test_kill_process(id).is_err()
    });
}
