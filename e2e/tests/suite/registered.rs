//! Registering with plain `curl`, before any balancer comes in.

use std::time::Duration;

use e2e::load::Origin;
use e2e::registry::{Kind, Registration, Registry};
use e2e::wait;

on_both_registries!(
    an_instance_passes_when_its_check_does_and_is_gone_when_deregistered,
    a_restart_forgets
);

fn an_instance_passes_when_its_check_does_and_is_gone_when_deregistered(kind: Kind) {
    let registry = Registry::start(kind);
    let origin = Origin::start("a", Duration::ZERO);
    registry.register(&Registration::new("a", origin.address).unproven());
    registry.await_passing("web", "a");
    drop(origin);
    wait::until_true("it to be critical", wait::SOON, || {
        registry.passing("web").is_empty()
    });
    registry.deregister("a");
    assert_eq!(registry.passing("web"), Vec::<String>::new());
}

fn a_restart_forgets(kind: Kind) {
    let mut registry = Registry::start(kind);
    let origin = Origin::start("a", Duration::ZERO);
    registry.register(&Registration::new("a", origin.address));
    registry.await_passing("web", "a");
    registry.kill();
    registry.start_again();
    assert_eq!(registry.passing("web"), Vec::<String>::new());
}
