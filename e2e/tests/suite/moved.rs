//! Moving up: an embedded registry becomes the front of a real Consul, under load, and nobody notices.

use std::time::Duration;

use e2e::load::{Background, Origin};
use e2e::parts::Part;
use e2e::registry::{Kind, Registration, Registry};
use e2e::turno::{self, Balancer, Wrapped};
use e2e::wait;

use crate::say;

#[test]
fn an_embedded_registry_moves_to_a_real_consul_under_load() {
    if !e2e::parts::available(&crate::PARTS) || !e2e::parts::available(&[Part::Consul]) {
        return;
    }
    let embedded = Registry::start(Kind::Embedded);
    let mut consul = Registry::start(Kind::Consul);
    let _wrapped = Wrapped::hello(embedded.address, "wrapped");
    let curled = Origin::start("curled", Duration::ZERO);
    embedded.register(&Registration::new("curled", curled.address).weight(2));
    embedded.put("/v1/kv/config/colour?flags=7", &["-d", "blue"]);
    embedded.put("/v1/kv/config/theirs", &["-d", "old"]);
    consul.put("/v1/kv/config/theirs", &["-d", "newer"]);
    wait::until_true("2 passing instances", wait::SOON, || {
        embedded.passing("web").len() == 2
    });
    let mut balancer = Balancer::start(embedded.address, "round-robin");
    balancer.await_rotation(2);
    let load = Background::start(balancer.address, 8);

    let [here, there] = [embedded.address, consul.address].map(|a| format!("http://{a}"));
    let joined = turno::run(&["registry", "join", &there, "--consul", &here]);

    assert_eq!(joined.code, 0, "{} {}", joined.stdout, joined.stderr);
    say(joined.stdout.lines().next().unwrap_or_default());
    let mut moved = consul.passing("web");
    moved.sort();
    assert_eq!(moved, ["curled", "wrapped"]);
    assert_eq!(key(&consul, "config/colour"), "blue");
    assert_eq!(key(&consul, "config/theirs"), "newer");

    // What is registered at the old address is in Consul, and in rotation.
    let newcomer = Origin::start("newcomer", Duration::ZERO);
    embedded.register(&Registration::new("newcomer", newcomer.address));
    consul.await_passing("web", "newcomer");
    balancer.await_rotation(3);

    // The target away: the registry says so as an agent would, the balancer goes on with what it knew.
    consul.kill();
    let answer = e2e::http::get(embedded.address, "/v1/health/service/web").expect("an answer");
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (500, "No cluster leader")
    );
    balancer.await_rotation(3);
    let tally = load.finish();
    assert_eq!(tally.failures, Vec::<String>::new());
    assert_eq!(tally.by_instance.len(), 3, "{:?}", tally.by_instance);
    say(&format!("{:?} requests, none failed", tally.counts()));
}

fn key(registry: &Registry, key: &str) -> String {
    let answer = e2e::http::get(registry.address, &format!("/v1/kv/{key}?raw"));
    answer.map(|answer| answer.text()).unwrap_or_default()
}
