//! The patterns of docs/patterns, as its examples have them: each runs, and its parts find each other through the registry.

use std::process::Command;

use e2e::process::Process;
use e2e::registry::{Kind, Registry};
use e2e::{turno, wait};

/// An example's part, as `cargo run -p broker --example NAME -- ROLE` starts it.
fn part(registry: &Registry, example: &str, role: &str) -> Process {
    let program = turno::binary().with_file_name("examples").join(example);
    assert!(
        program.is_file(),
        "no {}: run `cargo build -p broker --examples` first, as scripts/test does",
        program.display()
    );
    let mut command = Command::new(program);
    command
        .arg(role)
        .env("CONSUL_HTTP_ADDR", format!("http://{}", registry.address));
    Process::start(&format!("{example} {role}"), command)
}

/// Lets it end by itself, and returns what it said.
fn good_end(mut process: Process) -> String {
    let status = process.wait(wait::SOON * 4);
    assert_eq!(status.code(), Some(0), "{}", process.output());
    process.output()
}

#[test]
fn request_and_reply() {
    let registry = Registry::start(Kind::Embedded);
    let server = part(&registry, "req_rep", "server");
    let asking = part(&registry, "req_rep", "client");
    let said = good_end(asking);
    for answer in [
        "one -> ONE",
        "two -> TWO",
        "three -> THREE",
        "four -> FOUR",
        "stop -> STOP",
    ] {
        assert!(said.contains(answer), "{said}");
    }
    good_end(server);
}

#[test]
fn a_pipeline_with_a_bar() {
    let registry = Registry::start(Kind::Embedded);
    let sink = part(&registry, "pipeline", "sink");
    let workers: Vec<Process> = (0..3)
        .map(|_| part(&registry, "pipeline", "worker"))
        .collect();
    let ventilator = part(&registry, "pipeline", "ventilator");
    let said = good_end(sink);
    assert!(said.contains("] 100/100"), "{said}");
    assert!(said.contains("sum of the squares: 328350"), "{said}");
    good_end(ventilator);
    let done: usize = workers
        .into_iter()
        .map(|worker| {
            let said = good_end(worker);
            let number = said
                .lines()
                .find_map(|line| line.strip_suffix(" tasks done"));
            number
                .and_then(|it| it.parse::<usize>().ok())
                .unwrap_or_else(|| panic!("{said}"))
        })
        .sum();
    assert_eq!(done, 100, "each task was done once");
}

#[test]
fn publish_and_subscribe_late_and_slowly() {
    let registry = Registry::start(Kind::Embedded);
    let publisher = part(&registry, "pub_sub", "publisher");
    wait::until_true("the publisher", wait::SOON, || {
        !registry.passing("example-updates").is_empty()
    });
    let late = part(&registry, "pub_sub", "subscriber");
    let slow = part(&registry, "pub_sub", "slow");
    for subscriber in [late, slow] {
        let said = good_end(subscriber);
        assert!(said.contains("up to date: 10 things"), "{said}");
        crate::say(said.lines().last().unwrap_or_default());
    }
    good_end(publisher);
}

#[test]
fn a_request_reply_broker() {
    let registry = Registry::start(Kind::Embedded);
    let broker = part(&registry, "request_reply_broker", "broker");
    let worker = part(&registry, "request_reply_broker", "worker");
    let said = good_end(part(&registry, "request_reply_broker", "client"));
    for answer in ["one -> eno", "two -> owt", "three -> eerht"] {
        assert!(said.contains(answer), "{said}");
    }
    good_end(worker);
    good_end(broker);
}

#[test]
fn a_load_balancing_broker() {
    let registry = Registry::start(Kind::Embedded);
    let broker = part(&registry, "load_balancing_broker", "broker");
    let workers: Vec<Process> = (0..3)
        .map(|_| part(&registry, "load_balancing_broker", "worker"))
        .collect();
    let said = good_end(part(&registry, "load_balancing_broker", "client"));
    assert!(said.contains("20 answers"), "{said}");
    for number in 0..20 {
        assert!(
            said.lines().any(|line| line == format!("REQUEST {number}")),
            "{said}"
        );
    }
    for worker in workers {
        good_end(worker);
    }
    assert!(good_end(broker).contains("20 requests served"));
}
