//! Brokers of one name hand over to each other what has no free worker at home, and whoever dies costs no request.

use e2e::process::Process;
use e2e::registry::{Kind, Registry};
use e2e::turno;
use e2e::wait;

use crate::queues::{broker, part};

/// Where a broker takes requests, as it said.
pub(crate) fn front(broker: &Process) -> String {
    let output = broker.output();
    let line = output
        .lines()
        .find(|line| line.ends_with("for clients and workers"));
    let address = line.and_then(|line| line.split_whitespace().find(|it| it.contains("://")));
    address.expect("it says so first of all").to_owned()
}

/// A worker of `up` that is attached to one of the brokers registered.
fn attached(registry: &Registry) -> Process {
    let worker = part(
        registry,
        &["worker", "--service", "up", "--builtin", "sleep:10"],
    );
    wait::until_true("the worker to be attached", wait::SOON, || {
        worker.output().contains("attached")
    });
    worker
}

/// A client that asks this broker for so many answers, four at once.
fn asking(registry: &Registry, broker: &str, id: &str, many: &str) -> Process {
    let arguments = [
        "client",
        "--broker",
        broker,
        "--service",
        "up",
        "--id",
        id,
        "-n",
        many,
        "--concurrency",
        "4",
        "--rate",
        "100",
    ];
    part(registry, &arguments)
}

fn answered(asking: &Process) -> usize {
    asking.output().matches(" -> ").count()
}

/// Waits until it has ended well, with its own answer to each of its requests.
fn ends_well(mut asking: Process, id: &str, many: usize) {
    let code = asking.wait(wait::SOON * 2).code();
    let output = asking.output();
    assert_eq!(code, Some(0), "{output}");
    for number in 1..=many {
        let line = format!("{id}-{number} -> {id}-{number}\n");
        assert!(output.contains(&line), "{number}: {output}");
    }
}

/// Waits until requests that come to this broker are answered, wherever the workers are.
fn serves(broker: &str) {
    wait::until_true("the broker to know of the workers", wait::SOON, || {
        let ask = ["mq", "client", "--broker", broker, "--service", "up", "x"];
        turno::run(&ask).code == 0
    });
}

pub(crate) fn both(registry: &Registry) {
    wait::until_true("both brokers to be registered", wait::SOON, || {
        registry.passing("mq").len() == 2
    });
}

#[test]
fn workers_at_one_broker_serve_the_clients_of_all_until_it_is_killed_and_after() {
    let registry = Registry::start(Kind::Embedded);
    let home = broker(&registry, &[]);
    wait::until_true("the broker to be registered", wait::SOON, || {
        registry.passing("mq").len() == 1
    });
    // There is no other broker they could be attached to.
    let _workers = [
        attached(&registry),
        attached(&registry),
        attached(&registry),
    ];
    let mut other = broker(&registry, &[]);
    both(&registry);
    let address = front(&other);
    serves(&address);

    let here = asking(&registry, "mq", "h", "300");
    let there = asking(&registry, &address, "t", "300");
    wait::until_true("answers at both", wait::SOON, || {
        answered(&here) >= 100 && answered(&there) >= 100
    });
    drop(home); // kill -9: what it had of the other's is asked of the workers again, when they have come
    ends_well(there, "t", 300);
    ends_well(here, "h", 300);
    assert_eq!(other.stop(wait::SOON).code(), Some(0));
    let output = other.output();
    let end = output.lines().find(|it| it.contains("handed_over"));
    let end = end.expect("it says so at its end").to_owned();
    assert!(!end.contains("handed_over=0"), "{end}");
    crate::say(&end);
}

#[test]
fn a_coordinator_comes_and_goes() {
    let registry = Registry::start(Kind::Embedded);
    let mut coordinator = part(
        &registry,
        &[
            "coordinator",
            "--in",
            "tcp://127.0.0.1:0",
            "--out",
            "tcp://127.0.0.1:0",
        ],
    );
    wait::until_true("the coordinator to be registered", wait::SOON, || {
        registry.passing("mq-coordinator").len() == 1
    });
    let _home = broker(&registry, &[]);
    let _worker = attached(&registry);
    let other = broker(&registry, &[]);
    both(&registry);
    serves(&front(&other));
    assert_eq!(coordinator.stop(wait::SOON).code(), Some(0));
    serves(&front(&other));
    // One that comes later hears of the others from themselves.
    let third = broker(&registry, &[]);
    serves(&front(&third));
}

#[test]
fn a_broker_that_keeps_to_itself_does_so() {
    let registry = Registry::start(Kind::Embedded);
    let _home = broker(&registry, &[]);
    let _worker = attached(&registry);
    let alone = broker(&registry, &["--no-federation"]);
    both(&registry);
    let alone = front(&alone);
    let ask = ["mq", "client", "--broker", &alone, "--service", "up", "x"];
    let answer = turno::run(&ask);
    assert_eq!(answer.code, 1, "{}", answer.stdout);
    assert!(answer.stderr.contains("404"), "{}", answer.stderr);
}
