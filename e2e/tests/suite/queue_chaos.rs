//! `turno mq` while workers and brokers are killed at random: every request is answered, with its own answer.
//!
//! Short by default; `MQ_CHAOS_SECONDS` makes it longer.

use std::time::{Duration, Instant};

use e2e::process::Process;
use e2e::registry::{Kind, Registry};
use e2e::turno;
use e2e::wait;

const SECONDS_VARIABLE: &str = "MQ_CHAOS_SECONDS";
const SECONDS: u64 = 8;
const CLIENTS: usize = 8;
const WORKERS: usize = 6;
const BROKERS: usize = 2;
/// How often a random worker is killed …
const WORKER_DIES: Duration = Duration::from_millis(300);
/// … and a random broker.
const BROKER_DIES: Duration = Duration::from_secs(3);
/// Requests of each client a second; it has four under way at most.
const RATE: u64 = 25;

fn part(registry: &Registry, arguments: &[&str]) -> Process {
    let consul = format!("http://{}", registry.address);
    let mut command = turno::command(&["mq"]);
    command.args(arguments).args(["--consul", &consul]);
    Process::start(arguments[0], command)
}

fn broker(registry: &Registry) -> Process {
    part(
        registry,
        &["broker", "--bind", "tcp://127.0.0.1:0", "--no-worker-bind"],
    )
}

/// A worker that attaches where chance puts it, or at this broker.
fn worker(registry: &Registry, broker: Option<&Process>) -> Process {
    let address = broker.map(|it| {
        wait::until("the broker to listen", wait::SOON, || {
            let output = it.output();
            let (_, rest) = output.split_once("mq listening on tcp://")?;
            let (address, _) = rest.split_once(' ')?;
            Some(address.to_owned())
        })
        .0
    });
    let offer = ["worker", "--service", "up", "--builtin", "sleep:20"];
    let place = address.iter().flat_map(|it| ["--broker", it]);
    part(
        registry,
        &offer.into_iter().chain(place).collect::<Vec<_>>(),
    )
}

/// A client that asks for so many seconds, and what it is called.
fn client(registry: &Registry, number: usize, seconds: u64) -> Process {
    let (id, count) = (format!("c{number}"), (seconds * RATE).to_string());
    let rate = RATE.to_string();
    let asking = ["client", "--service", "up", "--id", &id, "-n", &count];
    let pace = ["--concurrency", "4", "--rate", &rate, "--timeout", "60s"];
    part(registry, &[&asking[..], &pace].concat())
}

#[test]
fn every_request_is_answered_though_workers_and_brokers_are_killed_at_random() {
    let seconds = std::env::var(SECONDS_VARIABLE).ok();
    let seconds = seconds.and_then(|it| it.parse().ok()).unwrap_or(SECONDS);
    let registry = Registry::start(Kind::Embedded);
    let mut brokers: Vec<Process> = (0..BROKERS).map(|_| broker(&registry)).collect();
    let mut workers: Vec<Process> = (0..WORKERS).map(|_| worker(&registry, None)).collect();
    wait::until_true("both brokers to be registered", wait::SOON, || {
        registry.passing("mq").len() == BROKERS
    });
    let clients = 0..CLIENTS;
    let mut clients: Vec<Process> = clients.map(|it| client(&registry, it, seconds)).collect();
    // A broker that nobody works for keeps its requests until somebody does: each has somebody in the beginning and in the
    // end, wherever chance has put the others.
    let stay = |brokers: &[Process]| -> Vec<Process> {
        let at = brokers.iter();
        at.map(|broker| worker(&registry, Some(broker))).collect()
    };
    let _first = stay(&brokers);
    wait::until_true("the first answers", wait::SOON, || {
        clients.iter().all(|it| it.output().contains(" -> "))
    });

    let (start, mut killed_workers, mut killed_brokers) = (Instant::now(), 0, 0);
    let end = start + Duration::from_secs(seconds);
    let (mut next_worker, mut next_broker) = (start + WORKER_DIES, start + BROKER_DIES);
    while Instant::now() < end {
        std::thread::sleep(
            next_worker
                .min(next_broker)
                .saturating_duration_since(Instant::now()),
        );
        let now = Instant::now();
        if now >= next_worker {
            next_worker += WORKER_DIES;
            killed_workers += 1;
            let victim = &mut workers[fastrand::usize(..WORKERS)];
            victim.kill();
            *victim = worker(&registry, None);
        }
        if now >= next_broker {
            next_broker += BROKER_DIES;
            killed_brokers += 1;
            let victim = &mut brokers[fastrand::usize(..BROKERS)];
            victim.kill();
            *victim = broker(&registry);
        }
    }
    let _last = stay(&brokers);

    let count = seconds * RATE;
    let mut slowest = String::new();
    for (number, client) in clients.iter_mut().enumerate() {
        let status = client.wait(wait::SOON * 4);
        let output = client.output();
        assert_eq!(status.code(), Some(0), "{output}");
        let sum = format!("{count} requests, {count} answered, 0 failed");
        assert!(output.contains(&sum), "{output}");
        let answers: Vec<&str> = output.lines().filter(|it| it.contains(" -> ")).collect();
        assert_eq!(answers.len() as u64, count, "{output}");
        for line in answers {
            let (question, answer) = line.split_once(" -> ").expect("both");
            assert!(question.starts_with(&format!("c{number}-")), "{line}");
            assert_eq!(question, answer, "each its own answer");
        }
        slowest = output.lines().last().unwrap_or_default().to_owned();
    }
    crate::say(&format!(
        "{killed_workers} workers and {killed_brokers} brokers killed in {seconds} s: {} of {} requests answered rightly; \
         the last client: {slowest}",
        count * CLIENTS as u64,
        count * CLIENTS as u64
    ));
}
