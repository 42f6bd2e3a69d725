//! Who gets the next request.

use std::time::Duration;

use e2e::load::{self, Origin, Tally};
use e2e::registry::{Kind, Registration, Registry};
use e2e::turno::{Balancer, Hello};

on_both_registries!(
    round_robin_over_one_connection_is_exact,
    round_robin_over_32_connections_is_exact,
    weights_are_exact_and_smooth,
    least_connections_spares_the_slow_one,
);

/// 3,000 requests over three replicas.
const REQUESTS: u64 = 3_000;

fn round_robin_over_one_connection_is_exact(kind: Kind) {
    let tally = rotate(kind, 1);
    assert_eq!(
        (tally.failures, tally.by_instance.into_values().collect()),
        (vec![], vec![1_000; 3])
    );
}

fn round_robin_over_32_connections_is_exact(kind: Kind) {
    let tally = rotate(kind, 32);
    assert_eq!(
        (tally.failures, tally.by_instance.into_values().collect()),
        (vec![], vec![1_000; 3])
    );
}

fn rotate(kind: Kind, connections: usize) -> Tally {
    let registry = Registry::start(kind);
    let replicas = ["a", "b", "c"].map(Hello::start);
    for replica in &replicas {
        registry.register(&Registration::new(&replica.id, replica.address));
    }
    let mut balancer = Balancer::start(registry.address, "round-robin");
    balancer.await_rotation(3);
    load::requests(balancer.address, connections, REQUESTS)
}

fn weights_are_exact_and_smooth(kind: Kind) {
    let registry = Registry::start(kind);
    let (heavy, light) = (Hello::start("heavy"), Hello::start("light"));
    registry.register(&Registration::new("heavy", heavy.address).weight(3));
    registry.register(&Registration::new("light", light.address).weight(1));
    let mut balancer = Balancer::start(registry.address, "weighted-round-robin");
    balancer.await_rotation(2);

    let sequence = load::sequence(balancer.address, 4_000);

    let is_heavy = |body: &String| body.contains("heavy");
    assert_eq!(sequence.iter().filter(|body| is_heavy(body)).count(), 3_000);
    let longest = sequence
        .chunk_by(|one, next| one == next)
        .map(<[String]>::len)
        .max();
    assert!(longest <= Some(3), "{longest:?} in a row to one");
}

fn least_connections_spares_the_slow_one(kind: Kind) {
    let registry = Registry::start(kind);
    let quick = Duration::from_millis(2);
    let origins = [("a", quick), ("b", quick), ("slow", quick * 20)]
        .map(|(name, delay)| Origin::start(name, delay));
    for (name, origin) in ["a", "b", "slow"].iter().zip(&origins) {
        registry.register(&Registration::new(name, origin.address));
    }
    let mut balancer = Balancer::start(registry.address, "least-connections");
    balancer.await_rotation(3);

    let tally = load::requests_for(balancer.address, 32, Duration::from_secs(3));

    assert_eq!(tally.failures, Vec::<String>::new());
    let all: u64 = tally.by_instance.values().sum();
    let share = 100.0 * tally.by_instance.get("slow").copied().unwrap_or(0) as f64 / all as f64;
    crate::say(&format!(
        "the replica that is 20 times slower got {share:.1} % of {all} requests"
    ));
    assert!(share < 15.0, "{share:.1} %: {:?}", tally.by_instance);
}
