//! What `turno services` and `turno explain` tell a person who wonders where the requests go.

use std::time::Duration;

use e2e::load::Origin;
use e2e::ports;
use e2e::registry::{Kind, Registration, Registry};
use e2e::turno;
use e2e::wait;

on_both_registries!(services_are_listed_and_explained);

fn services_are_listed_and_explained(kind: Kind) {
    let registry = Registry::start(kind);
    let good = Origin::start("good", Duration::ZERO);
    registry.register(&Registration::new("good-1", good.address));
    registry.register(&Registration::new("bad-1", ports::free_address()));
    wait::until_true("the bad one's check to fail", wait::SOON, || {
        registry.passing("web") == ["good-1"]
    });
    let url = format!("http://{}", registry.address);

    let services = turno::run(&["services", "--consul", &url]);
    assert_eq!(services.code, 0, "{services:?}");
    let line = services.stdout.lines().find(|line| line.contains("web"));
    assert!(
        line.is_some_and(|line| line.contains('1') && line.contains('2')),
        "{}",
        services.stdout
    );

    let explained = turno::run(&["explain", "web", "--consul", &url]);
    assert_eq!(explained.code, 0, "{explained:?}");
    let line = |id: &str| {
        explained
            .stdout
            .lines()
            .find(|line| line.contains(id))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(
        line("good-1").contains(&good.address.to_string()),
        "{}",
        explained.stdout
    );
    assert!(
        explained.stdout.contains("critical"),
        "it must say why bad-1 is out: {}",
        explained.stdout
    );
    assert!(!line("bad-1").is_empty(), "{}", explained.stdout);

    let unknown = turno::run(&["explain", "no-such-service", "--consul", &url]);
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(unknown.stderr.contains("no-such-service"), "{unknown:?}");
}
