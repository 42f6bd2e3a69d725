//! Replicas come and go under load, and clients do not notice.

use std::time::{Duration, Instant};

use e2e::load::{Background, Origin};
use e2e::registry::{Kind, Registration, Registry};
use e2e::turno::{Balancer, Hello, Wrapped};
use e2e::wait;
use e2e::wrk::Load;

use crate::{assert_clean, say};

on_both_registries!(
    a_replica_registered_with_curl_joins_at_once,
    a_replica_that_is_deregistered_under_load_leaves_at_once,
    a_replica_killed_under_load_is_not_noticed,
    a_rolling_restart_under_load_is_not_noticed,
);

/// What a user is promised: from the check's passing to the first request, and from deregistering to the last one.
const PROMPT: Duration = Duration::from_millis(250);

fn a_replica_registered_with_curl_joins_at_once(kind: Kind) {
    let registry = Registry::start(kind);
    let first = Origin::start("first", Duration::ZERO);
    registry.register(&Registration::new("first", first.address));
    let mut balancer = Balancer::start(registry.address, "round-robin");
    balancer.await_rotation(1);
    let load = Background::start(balancer.address, 4);

    // Single delays on a machine that also runs the load may be anything, so it is the median that must hold.
    let mut delays: Vec<Duration> = Vec::new();
    let mut joined = Vec::new();
    for number in 0..5 {
        let name = format!("joins-{number}");
        let origin = Origin::start(&name, Duration::ZERO);
        registry.register(&Registration::new(&name, origin.address).unproven());
        let passed = registry.await_passing("web", &name);
        let (first, _) = wait::until("its first request", wait::SOON, || origin.first());
        delays.push(first.saturating_duration_since(passed));
        joined.push(origin);
    }
    let tally = load.finish();

    delays.sort();
    say(&format!("first request after the check passed: {delays:?}"));
    assert_eq!(tally.failures, Vec::<String>::new());
    assert!(delays[2] <= PROMPT, "{delays:?}");
}

fn a_replica_that_is_deregistered_under_load_leaves_at_once(kind: Kind) {
    let registry = Registry::start(kind);
    let origins = ["a", "b", "c"].map(|name| (name, Origin::start(name, Duration::ZERO)));
    for (name, origin) in &origins {
        registry.register(&Registration::new(name, origin.address));
    }
    let mut balancer = Balancer::start(registry.address, "round-robin");
    balancer.await_rotation(3);
    let load = Load::new(balancer.address, 64, 4).start();
    let leaving = &origins[2].1;
    let before = leaving.requests();
    wait::until_true("the load to reach it", wait::SOON, || {
        leaving.requests() > before + 1_000
    });

    let asked = Instant::now();
    registry.deregister("c");
    let report = load.finish();

    assert_clean(&report);
    let last = leaving.last().expect("it got requests");
    assert!(last > asked, "it must be under load until it leaves");
    let last = last.duration_since(asked);
    say(&format!(
        "last request {last:?} after `curl` was started, at {:.0} requests/s",
        report.rate()
    ));
    assert!(
        last <= PROMPT,
        "it still got requests {last:?} after it was deregistered"
    );
}

fn a_replica_killed_under_load_is_not_noticed(kind: Kind) {
    let registry = Registry::start(kind);
    let mut replicas = ["a", "b", "c"].map(Hello::start);
    for replica in &replicas {
        registry.register(&Registration::new(&replica.id, replica.address));
    }
    let mut balancer = Balancer::start(registry.address, "round-robin");
    balancer.await_rotation(3);
    let mut load = Load::new(balancer.address, 64, 5).start();
    await_traffic(&balancer);

    replicas[1].process.kill();
    assert!(load.is_running(), "it must die under load");
    let report = load.finish();

    assert_clean(&report);
    say(&format!(
        "kill -9 under {:.0} requests/s: none failed",
        report.rate()
    ));
    balancer.await_rotation(2);
}

fn a_rolling_restart_under_load_is_not_noticed(kind: Kind) {
    let registry = Registry::start(kind);
    let mut replicas: Vec<Wrapped> = ["a1", "b1", "c1"]
        .iter()
        .map(|name| Wrapped::hello(registry.address, name))
        .collect();
    await_passing(&registry, 3);
    let mut balancer = Balancer::start(registry.address, "round-robin");
    balancer.await_rotation(3);
    let mut load = Load::new(balancer.address, 64, 20).start();
    await_traffic(&balancer);

    for (replica, name) in replicas.iter_mut().zip(["a2", "b2", "c2"]) {
        let status = replica.stop();
        assert_eq!(status.code(), Some(0), "{}", replica.process.output());
        *replica = Wrapped::hello(registry.address, name);
        await_passing(&registry, 3);
    }
    assert!(load.is_running(), "the restarts must happen under load");
    let report = load.finish();

    assert_clean(&report);
    say(&format!(
        "rolling restart under {:.0} requests/s: none failed",
        report.rate()
    ));
    balancer.await_rotation(3);
}

fn await_passing(registry: &Registry, count: usize) {
    wait::until_true(format!("{count} passing instances"), wait::SOON, || {
        registry.passing("web").len() == count
    });
}

/// Waits until the balancer has answered some thousand requests of the load.
fn await_traffic(balancer: &Balancer) {
    let answered = || balancer.metric("requests_total");
    let before = answered();
    wait::until_true("traffic", wait::SOON, || answered() > before + 1_000);
}
