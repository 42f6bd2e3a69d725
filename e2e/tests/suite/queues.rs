//! `turno mq`: brokers, workers, clients and a logger find each other by name, and whoever dies costs no request.

use std::path::Path;

use e2e::process::{Ended, Process};
use e2e::registry::{Kind, Registry};
use e2e::turno;
use e2e::wait;

on_both_registries!(all_parts_find_each_other_and_leave_in_order);

/// A `turno mq` part that runs until it is stopped.
pub(crate) fn part(registry: &Registry, arguments: &[&str]) -> Process {
    let consul = format!("http://{}", registry.address);
    let mut command = turno::command(&["mq"]);
    command.args(arguments).args(["--consul", &consul]);
    Process::start(arguments[0], command)
}

pub(crate) fn broker(registry: &Registry, more: &[&str]) -> Process {
    let ports = [
        "broker",
        "--bind",
        "tcp://127.0.0.1:0",
        "--worker-bind",
        "tcp://127.0.0.1:0",
    ];
    let mut process = part(registry, &[&ports, more].concat());
    wait::until_true("the broker to listen", wait::SOON, || {
        process.assert_running();
        process.output().contains("for two-port workers")
    });
    process
}

/// A worker of this broker and no other.
fn works_for(registry: &Registry, broker: &Process) -> Process {
    let output = broker.output();
    let address = output
        .lines()
        .find_map(|line| {
            let line = line.strip_prefix("mq listening on tcp://")?;
            line.strip_suffix(" for clients and workers")
        })
        .expect("a broker says where it listens");
    part(
        registry,
        &[
            "worker",
            "--service",
            "up",
            "--builtin",
            "sleep:10",
            "--broker",
            address,
        ],
    )
}

fn client(registry: &Registry, arguments: &[&str]) -> Ended {
    let consul = format!("http://{}", registry.address);
    turno::run(&[&["mq", "client", "--consul", &consul], arguments].concat())
}

/// Whether the file says this, at the end of a line or in the middle.
fn says(file: &Path, words: &str) -> bool {
    std::fs::read_to_string(file).is_ok_and(|text| text.contains(words))
}

fn all_parts_find_each_other_and_leave_in_order(kind: Kind) {
    let registry = Registry::start(kind);
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let lines = folder.path().join("mq.jsonl");
    let file = lines.to_str().expect("a plain path");
    let mut logger = part(
        &registry,
        &["logger", "--bind", "tcp://127.0.0.1:0", "--file", file],
    );
    // Started before its broker: it waits.
    let mut worker = part(
        &registry,
        &["worker", "--service", "up", "--builtin", "upper"],
    );
    let mut broker = broker(&registry, &["--logger", "log"]);
    wait::until_true("broker and logger to be registered", wait::SOON, || {
        registry.passing("mq").len() == 1 && registry.passing("log").len() == 1
    });

    let done = client(
        &registry,
        &[
            "--service",
            "up",
            "-n",
            "10",
            "--id",
            "c",
            "--concurrency",
            "2",
        ],
    );
    assert_eq!(done.code, 0, "{}", done.stderr);
    for number in 1..=10 {
        let line = format!("c-{number} -> C-{number}\n");
        assert!(done.stdout.contains(&line), "{}", done.stdout);
    }
    assert!(
        done.stdout.contains("10 requests, 10 answered, 0 failed"),
        "{}",
        done.stdout
    );
    wait::until_true("a line about an answer", wait::SOON, || {
        // The logger may have been found late; then there will be more.
        client(&registry, &["--service", "up", "x"]).code == 0
            && says(&lines, "\"event\":\"answered\"")
    });

    assert_eq!(broker.stop(wait::SOON).code(), Some(0));
    assert_eq!(registry.passing("mq"), Vec::<String>::new());
    assert_eq!(worker.stop(wait::SOON).code(), Some(0));
    assert_eq!(logger.stop(wait::SOON).code(), Some(0));
    let alone = client(&registry, &["--service", "up", "--timeout", "200ms", "x"]);
    assert_eq!(alone.code, 1);
    assert!(
        alone.stderr.contains("no broker was reached within 200ms"),
        "{}",
        alone.stderr
    );
}

#[test]
fn a_broker_and_workers_killed_hard_cost_no_request() {
    let registry = Registry::start(Kind::Embedded);
    let mut brokers = vec![broker(&registry, &[]), broker(&registry, &[])];
    wait::until_true("both brokers to be registered", wait::SOON, || {
        registry.passing("mq").len() == 2
    });
    let worker = || {
        part(
            &registry,
            &["worker", "--service", "up", "--builtin", "sleep:10"],
        )
    };
    let mut workers: Vec<Process> = (0..4).map(|_| worker()).collect();
    // Those four attach where chance puts them; a broker that nobody works for keeps its requests until somebody does.
    let _stays: Vec<Process> = brokers
        .iter()
        .map(|broker| works_for(&registry, broker))
        .collect();
    let consul = format!("http://{}", registry.address);
    let mut asking = Process::start("client", {
        let mut command = turno::command(&["mq", "client", "--service", "up", "--id", "c"]);
        command.args([
            "-n",
            "400",
            "--concurrency",
            "8",
            "--rate",
            "200",
            "--consul",
            &consul,
        ]);
        command
    });
    let answered = |asking: &Process| asking.output().matches(" -> ").count();
    for (killed, enough) in [(0, 50), (1, 100), (2, 150)] {
        wait::until_true("some answers", wait::SOON, || answered(&asking) >= enough);
        workers[killed].kill();
        workers[killed] = worker();
    }
    wait::until_true("some answers", wait::SOON, || answered(&asking) >= 200);
    drop(brokers.remove(0)); // kill -9
    assert_eq!(
        asking.wait(wait::SOON * 2).code(),
        Some(0),
        "{}",
        asking.output()
    );
    let output = asking.output();
    assert!(
        output.contains("400 requests, 400 answered, 0 failed"),
        "{output}"
    );
    for number in 1..=400 {
        assert!(
            output.contains(&format!("c-{number} -> c-{number}\n")),
            "{number}: {output}"
        );
    }
    crate::say(output.lines().last().unwrap_or_default());
}
