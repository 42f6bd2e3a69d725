//! The registry dies and comes back knowing nothing.

use std::time::{Duration, Instant};

use e2e::load::{self, Origin};
use e2e::registry::{Kind, Registration, Registry};
use e2e::turno::{Balancer, Wrapped};
use e2e::wait;
use e2e::wrk::Load;

use crate::{assert_clean, say};

on_both_registries!(
    the_registry_dies_under_load_and_comes_back_empty,
    the_balancer_says_that_its_data_is_old,
    a_registry_that_forgot_everything_takes_nothing_away_at_once,
);

/// What a user is promised: after the registry is back, changes flow again within this time.
const FLOWS: Duration = Duration::from_secs(2);

/// How long the registry is away. The README promises 60 s; a default run is not held up for so long.
fn outage() -> Duration {
    let seconds = std::env::var("TURNO_E2E_OUTAGE")
        .ok()
        .and_then(|value| value.parse().ok());
    Duration::from_secs(seconds.unwrap_or(4))
}

fn the_registry_dies_under_load_and_comes_back_empty(kind: Kind) {
    let mut registry = Registry::start(kind);
    let _replicas = ["a", "b", "c"].map(|name| Wrapped::hello(registry.address, name));
    wait::until_true("3 passing instances", wait::SOON, || {
        registry.passing("web").len() == 3
    });
    let mut balancer = Balancer::start(registry.address, "round-robin");
    balancer.await_rotation(3);
    let outage = outage();
    let mut load = Load::new(balancer.address, 64, outage.as_secs() + 15).start();

    registry.kill();
    // Not a condition waited for: the outage itself is what is tested.
    std::thread::sleep(outage);
    registry.start_again();
    let back = Instant::now();

    let newcomer = Origin::start("newcomer", Duration::ZERO);
    registry.register(&Registration::new("newcomer", newcomer.address));
    let (first, _) = wait::until("the newcomer's first request", wait::SOON, || {
        newcomer.first()
    });
    let flows = first.saturating_duration_since(back);
    say(&format!(
        "after {outage:?} without a registry, changes flowed again in {flows:?}"
    ));
    balancer.await_rotation(4);
    assert!(load.is_running(), "all this must happen under load");
    let report = load.finish();

    assert_clean(&report);
    assert!(flows <= FLOWS, "{flows:?}");
}

fn the_balancer_says_that_its_data_is_old(kind: Kind) {
    let mut registry = Registry::start(kind);
    let origin = Origin::start("a", Duration::ZERO);
    registry.register(&Registration::new("a", origin.address));
    let mut balancer = Balancer::start(registry.address, "round-robin");
    balancer.await_rotation(1);
    let fresh = e2e::http::get(balancer.admin, "/ready")
        .expect("the admin listener answers")
        .text();

    registry.kill();

    wait::until_true("/ready to say so", wait::SOON, || {
        e2e::http::get(balancer.admin, "/ready").is_ok_and(|answer| answer.text() != fresh)
    });
    balancer.await_rotation(1);
}

fn a_registry_that_forgot_everything_takes_nothing_away_at_once(kind: Kind) {
    let mut registry = Registry::start(kind);
    // Registered with curl: nobody will tell the new registry of it.
    let origin = Origin::start("a", Duration::ZERO);
    registry.register(&Registration::new("a", origin.address));
    let mut balancer = Balancer::start(registry.address, "round-robin");
    balancer.await_rotation(1);

    registry.kill();
    registry.start_again();

    let tally = load::requests_for(balancer.address, 4, FLOWS + FLOWS);
    assert_eq!(tally.failures, Vec::<String>::new());
    assert!(tally.by_instance.contains_key("a"));
}
