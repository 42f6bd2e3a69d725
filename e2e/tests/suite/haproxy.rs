//! `turno haproxy`: an HAProxy that follows the registry, is looked after, and is never made worse by a mistake.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use e2e::haproxy::{self, Driven};
use e2e::load::{self, Background, Origin};
use e2e::parts::{self, Part};
use e2e::registry::{Kind, Registration, Registry};
use e2e::{http, wait};
use rustix::process::{Pid, Signal};

use crate::say;

on_both_registries!(
    members_weights_and_drains_change_without_a_reload,
    the_registry_dies_comes_back_empty_and_with_its_data,
);

/// Origins named `a`, `b`, …, registered.
pub(crate) fn registered(registry: &Registry, names: &[&str]) -> Vec<Origin> {
    let origins = names.iter().map(|name| {
        let origin = Origin::start(name, Duration::ZERO);
        registry.register(&Registration::new(name, origin.address));
        registry.await_passing("web", name);
        origin
    });
    origins.collect()
}

fn addresses(origins: &[Origin]) -> Vec<SocketAddr> {
    origins.iter().map(|origin| origin.address).collect()
}

/// A template with something in it that makes its text another one, or a wrong one.
fn template(with: &str) -> String {
    let shipped = parts::checkout().join("templates/haproxy.cfg.hbs");
    fs::read_to_string(shipped).expect("it comes with the project") + with
}

fn members_weights_and_drains_change_without_a_reload(kind: Kind) {
    if !parts::available(&[Part::Haproxy]) {
        return;
    }
    let registry = Registry::start(kind);
    let origins = registered(&registry, &["a", "b"]);
    let policy = ["--policy", "weighted-round-robin"];
    let haproxy = Driven::start(registry.address, &policy);
    let [a, b] = [origins[0].address, origins[1].address];
    haproxy.await_ready_servers(&[a, b]);
    let worker = haproxy.processes().1;

    let c = Origin::start("c", Duration::ZERO);
    registry.register(&Registration::new("c", c.address).weight(7));
    haproxy.await_ready_servers(&[a, b, c.address]);
    let weight = |address: SocketAddr| {
        let servers = haproxy.servers().into_values();
        let mut of = servers.filter(|s| s.address == address.to_string());
        of.next().map(|server| server.weight)
    };
    assert_eq!((weight(a), weight(c.address)), (Some(1), Some(7)));
    registry.register(&Registration::new("a", a).weight(3));
    wait::until_true("the new weight", wait::SOON, || weight(a) == Some(3));

    registry.maintenance("b", true);
    haproxy.await_ready_servers(&[a, c.address]);
    let drained = |state: &str| {
        haproxy.view()["backends"]["web"]
            .to_string()
            .contains(state)
    };
    assert!(
        drained("\"drain\""),
        "it keeps its slot: {}",
        haproxy.view()
    );
    registry.maintenance("b", false);
    haproxy.await_ready_servers(&[a, b, c.address]);
    registry.deregister("a");
    haproxy.await_ready_servers(&[b, c.address]);

    // The file says the same, so that a restart finds the same.
    wait::until_true("the file to follow", wait::SOON, || {
        let file = haproxy.file();
        !file.contains(&a.to_string()) && file.contains(&format!("{} weight 7", c.address))
    });
    assert_eq!(haproxy.processes().1, worker);
    assert_eq!(haproxy.count("reloads"), 0);
    assert_eq!(haproxy.count("refused") + haproxy.count("repairs"), 0);
    let metrics = http::get(haproxy.admin, "/metrics")
        .expect("it answers")
        .text();
    assert!(
        metrics.contains("turno_haproxy_slots{backend=\"web\",state=\"ready\"} 2"),
        "{metrics}"
    );
}

fn the_registry_dies_comes_back_empty_and_with_its_data(kind: Kind) {
    if !parts::available(&[Part::Haproxy]) {
        return;
    }
    let outage = crate::outage_wanted(Duration::from_secs(3));
    for durable in [false, true] {
        let mut registry = match durable {
            true => Registry::start_durable(kind),
            false => Registry::start(kind),
        };
        let origins = registered(&registry, &["a", "b", "c"]);
        let haproxy = Driven::start(registry.address, &[]);
        let known = addresses(&origins);
        haproxy.await_ready_servers(&known);
        let load = Background::start(haproxy.address, 4);

        registry.kill();
        let all = |within: Duration| {
            let end = Instant::now() + within;
            while Instant::now() < end {
                assert_eq!(haproxy.ready().len(), 3, "servers were taken away");
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        // Not a condition waited for: the outage itself is what is tested.
        all(outage);
        registry.start_again();
        let back = Instant::now();
        all(Duration::from_secs(2));

        let d = Origin::start("d", Duration::ZERO);
        registry.register(&Registration::new("d", d.address));
        haproxy.await_ready_servers(&[known[0], known[1], known[2], d.address]);
        let follows = back.elapsed();
        if durable {
            registry.deregister("a");
            haproxy.await_ready_servers(&[known[1], known[2], d.address]);
        }
        let tally = load.finish();
        assert_eq!(tally.failures, Vec::<String>::new());
        assert_eq!(haproxy.count("reloads"), 0);
        let as_what = if durable { "with its data" } else { "empty" };
        say(&format!(
            "{outage:?} away, back {as_what}: no server lost, follows again {follows:?} after"
        ));
    }
}

#[test]
fn a_bad_template_and_a_failing_reload_change_nothing() {
    if !parts::available(&[Part::Haproxy]) {
        return;
    }
    let registry = Registry::start(Kind::Embedded);
    let origins = registered(&registry, &["a", "b"]);
    let flags = ["--template", "{dir}/t.hbs", "--wait", "10ms"];
    let haproxy = Driven::start_in(registry.address, &flags, |dir| {
        fs::write(dir.join("t.hbs"), template("")).expect("it is written");
    });
    let (file, worker) = (haproxy.file(), haproxy.processes().1);
    let refused = |with: &str, error: &str| {
        fs::write(haproxy.path("t.hbs"), template(with)).expect("it is written");
        wait::until_true(format!("the error {error:?}"), wait::SOON, || {
            haproxy.view()["last_error"].to_string().contains(error)
        });
        // The file comes back after HAProxy's answer; then everything is as it was.
        wait::until_true("the old file", wait::SOON, || haproxy.file() == file);
        assert_eq!(haproxy.processes().1, worker);
        assert_eq!(
            load::requests(haproxy.address, 2, 20).failures,
            Vec::<String>::new()
        );
    };
    refused("{{#each nobody}}", "t.hbs: line");
    refused("\nbackend x\n    bogus\n", "unknown keyword 'bogus'");
    // The check cannot see that somebody has that address.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken_at = taken.local_addr().expect("it is bound");
    let frontend = format!("\nfrontend x\n    bind {taken_at}\n");
    refused(&frontend, "has not loaded the new file");
    assert!(haproxy.count("reloads_failed") >= 1);
    // Meanwhile members change as ever.
    registry.deregister("a");
    haproxy.await_ready_servers(&[origins[1].address]);

    // What failed is tried again, and works when the reason is gone.
    drop(taken);
    wait::until_true("the reload", wait::SOON, || haproxy.count("reloads") == 1);
    assert!(haproxy.file().contains(&taken_at.to_string()));
    assert_ne!(haproxy.processes().1, worker);
    haproxy.await_ready_servers(&[origins[1].address]);
}

#[test]
fn haproxy_that_dies_is_started_again_and_outlives_turno() {
    if !parts::available(&[Part::Haproxy]) {
        return;
    }
    let registry = Registry::start(Kind::Embedded);
    let origins = registered(&registry, &["a", "b"]);
    let mut haproxy = Driven::start(registry.address, &[]);
    haproxy.await_ready_servers(&addresses(&origins));

    let master = haproxy
        .processes()
        .0
        .and_then(|pid| i32::try_from(pid).ok());
    let master = master.and_then(Pid::from_raw).expect("a master");
    let _ = rustix::process::kill_process_group(master, Signal::KILL);
    wait::until_true("HAProxy to be started again", wait::SOON, || {
        haproxy.count("starts") == 2
    });
    haproxy.await_ready_servers(&addresses(&origins));

    // turno is killed, an instance leaves, and the next turno takes over the same worker.
    let slots = haproxy.servers();
    let worker = haproxy.processes().1;
    haproxy.restart_turno(|haproxy| {
        assert_eq!(
            load::requests(haproxy.address, 2, 20).failures,
            Vec::<String>::new()
        );
        registry.deregister("a");
    });
    haproxy.await_ready_servers(&[origins[1].address]);
    assert_eq!(haproxy.processes().1, worker);
    assert_eq!((haproxy.count("reloads"), haproxy.count("starts")), (0, 0));
    let slot_of = |servers: &std::collections::BTreeMap<String, haproxy::Server>| {
        let at = origins[1].address.to_string();
        servers
            .iter()
            .find(|(_, s)| s.address == at)
            .map(|(name, _)| name.clone())
    };
    assert_eq!(slot_of(&slots), slot_of(&haproxy.servers()));

    // A clean stop takes HAProxy along.
    haproxy.process.signal(Signal::TERM);
    assert!(haproxy.process.wait(Duration::from_secs(60)).success());
    assert_eq!(haproxy.processes().0, None);
}

#[test]
fn what_others_do_to_haproxy_is_put_right() {
    if !parts::available(&[Part::Haproxy]) {
        return;
    }
    let registry = Registry::start(Kind::Embedded);
    let origins = registered(&registry, &["a", "b"]);
    let haproxy = Driven::start(registry.address, &[]);
    let known = addresses(&origins);
    haproxy.await_ready_servers(&known);
    haproxy.ask("set server web/s1 state maint");
    haproxy.ask("set server web/s2 weight 9");
    haproxy.await_ready_servers(&known);
    wait::until_true("the repairs to be counted", wait::SOON, || {
        haproxy.count("repairs") >= 2
    });
    assert!(haproxy.servers().values().all(|server| server.weight == 1));
    // Reloaded by somebody else: the file is the state.
    let worker = haproxy.processes().1;
    haproxy.ask_master("reload");
    wait::until_true("another worker", wait::SOON, || {
        let now = haproxy.processes().1;
        now.is_some() && now != worker
    });
    haproxy.await_ready_servers(&known);
    assert_eq!(haproxy.count("reloads"), 0);
}

#[test]
fn a_service_that_outgrows_its_slots_gets_more_by_a_reload() {
    if !parts::available(&[Part::Haproxy]) {
        return;
    }
    let registry = Registry::start(Kind::Embedded);
    let mut origins = registered(&registry, &["a"]);
    let haproxy = Driven::start(registry.address, &["--slots", "2"]);
    haproxy.await_ready_servers(&addresses(&origins));
    let load = Background::start(haproxy.address, 4);
    origins.extend(registered(&registry, &["b", "c", "d", "e"]));
    haproxy.await_ready_servers(&addresses(&origins));
    assert_eq!(load.finish().failures, Vec::<String>::new());
    // HAProxy serves a moment before turno has seen that it does.
    wait::until_true("the reload to be counted", wait::SOON, || {
        haproxy.count("reloads") > 0
    });
    let reloads = haproxy.count("reloads");
    assert!((1..=2).contains(&reloads), "{reloads} reloads for a burst");
    assert_eq!(haproxy.servers().len(), 8);
}
