//! What the README promises of `turno haproxy` under load: no failed request, no needless reload, prompt removals.
//!
//! A default run is short. `TURNO_E2E_HAPROXY=full` makes it 200 changes and 20 reloads.

use std::fs;
use std::time::{Duration, Instant};

use e2e::haproxy::Driven;
use e2e::load::Origin;
use e2e::parts::{self, Part};
use e2e::registry::{Kind, Registration, Registry};
use e2e::turno::{Hello, Wrapped};
use e2e::wait;
use e2e::wrk::Load;

use crate::{assert_clean, say};

on_both_registries!(
    instances_that_come_and_go_under_load_cost_nothing,
    reloads_under_load_lose_nothing_and_leave_nobody_behind,
    a_rolling_restart_behind_haproxy_is_not_noticed,
    a_removal_reaches_haproxy_promptly,
);

/// Seconds of load, more than any of this takes on the slowest machine: it is ended when the work is done.
const LONG: u64 = 900;

/// Whether the long run is asked for.
fn is_full() -> bool {
    std::env::var("TURNO_E2E_HAPROXY").is_ok_and(|value| value == "full")
}

/// How often a thing is done: a few times, or as often as was promised.
fn times(few: usize, full: usize) -> usize {
    if is_full() { full } else { few }
}

/// Two replicas that stay.
fn stayers(registry: &Registry) -> [Hello; 2] {
    ["stays-1", "stays-2"].map(|name| {
        let replica = Hello::start(name);
        registry.register(&Registration::new(name, replica.address));
        registry.await_passing("web", name);
        replica
    })
}

fn instances_that_come_and_go_under_load_cost_nothing(kind: Kind) {
    if !parts::available(&[Part::Haproxy]) {
        return;
    }
    let registry = Registry::start(kind);
    let stay = stayers(&registry).map(|replica| (replica.address, replica));
    let haproxy = Driven::start(registry.address, &[]);
    let comers: Vec<Hello> = ["c1", "c2", "c3"].into_iter().map(Hello::start).collect();
    let changes = times(16, 200);
    let load = Load::new(haproxy.address, 64, LONG).start();

    let mut present = vec![stay[0].0, stay[1].0];
    for change in 0..changes {
        let comer = &comers[change % comers.len()];
        if let Some(at) = present.iter().position(|address| *address == comer.address) {
            registry.deregister(&comer.id);
            present.remove(at);
        } else {
            registry.register(&Registration::new(&comer.id, comer.address));
            present.push(comer.address);
        }
        haproxy.await_ready_servers(&present);
    }
    let report = load.enough();
    assert_clean(&report);
    assert_eq!(
        haproxy.count("reloads") + haproxy.count("refused"),
        0,
        "{}",
        haproxy.view()
    );
    say(&format!(
        "{changes} joins and leaves under {:.0} requests/s: {} requests, 0 failed, 0 reloads",
        report.rate(),
        report.requests
    ));
}

fn reloads_under_load_lose_nothing_and_leave_nobody_behind(kind: Kind) {
    if !parts::available(&[Part::Haproxy]) {
        return;
    }
    let drain = Duration::from_secs(5);
    let registry = Registry::start(kind);
    let _stay = stayers(&registry);
    let flags = [
        "--template",
        "{dir}/t.hbs",
        "--wait",
        "10ms",
        "--drain",
        "5s",
    ];
    let shipped = fs::read_to_string(parts::checkout().join("templates/haproxy.cfg.hbs"));
    let shipped = shipped.expect("it comes with the project");
    let haproxy = Driven::start_in(registry.address, &flags, |dir| {
        fs::write(dir.join("t.hbs"), &shipped).expect("it is written");
    });
    let reloads = times(3, 20);
    let load = Load::new(haproxy.address, 64, LONG).start();

    let mut workers = Vec::new();
    for number in 1..=reloads {
        workers.extend(haproxy.processes().1);
        let changed = format!("{shipped}# version {number}\n");
        fs::write(haproxy.path("t.hbs"), changed).expect("it is written");
        wait::until_true(format!("reload {number}"), wait::SOON, || {
            haproxy.count("reloads") == number as u64
        });
    }
    let gone = wait::until_true("old workers to end", drain + wait::SOON, || {
        haproxy.processes().2.is_empty()
    });
    let report = load.enough();
    assert_clean(&report);
    assert_eq!(workers.len(), reloads);
    let left = workers.iter().filter(|pid| is_haproxy(**pid)).count();
    assert_eq!(left, 0, "old workers are left");
    say(&format!(
        "{reloads} reloads under {:.0} requests/s: {} requests, 0 failed; the last old worker ended after {gone:?}",
        report.rate(),
        report.requests
    ));
}

/// Whether the process lives and is no zombie.
fn is_haproxy(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.contains("haproxy") && !stat.contains(") Z ")
}

fn a_rolling_restart_behind_haproxy_is_not_noticed(kind: Kind) {
    if !parts::available(&[Part::Haproxy]) {
        return;
    }
    let registry = Registry::start(kind);
    let mut replicas = ["a1", "b1"].map(|name| Wrapped::hello(registry.address, name));
    let passing = |count| {
        wait::until_true(format!("{count} passing instances"), wait::SOON, || {
            registry.passing("web").len() == count
        });
    };
    passing(2);
    let haproxy = Driven::start(registry.address, &[]);
    let load = Load::new(haproxy.address, 64, LONG).start();
    for (replica, name) in replicas.iter_mut().zip(["a2", "b2"]) {
        let next = Wrapped::hello(registry.address, name);
        passing(3);
        wait::until_true("it to be in HAProxy", wait::SOON, || {
            haproxy.ready().len() == 3
        });
        let status = replica.stop();
        assert_eq!(status.code(), Some(0), "{}", replica.process.output());
        *replica = next;
        passing(2);
    }
    let report = load.enough();
    assert_clean(&report);
    assert_eq!(haproxy.count("reloads"), 0);
}

/// What a user is promised for a removal, judged by the median: single delays on a busy machine may be anything.
const PROMPT: Duration = Duration::from_millis(50);

fn a_removal_reaches_haproxy_promptly(kind: Kind) {
    if !parts::available(&[Part::Haproxy]) {
        return;
    }
    let registry = Registry::start(kind);
    let stays = Origin::start("stays", Duration::ZERO);
    registry.register(&Registration::new("stays", stays.address));
    let comes = Origin::start("comes", Duration::ZERO);
    let haproxy = Driven::start(registry.address, &[]);
    haproxy.await_ready_servers(&[stays.address]);
    let (mut joins, mut leaves) = (Vec::new(), Vec::new());
    for _ in 0..times(10, 100) {
        let registration = Registration::new("comes", comes.address);
        let asked = Instant::now();
        registry.register_quickly(&registration);
        haproxy.await_ready_servers(&[stays.address, comes.address]);
        joins.push(asked.elapsed());
        pause();
        let asked = Instant::now();
        registry.deregister_quickly("comes");
        haproxy.await_ready_servers(&[stays.address]);
        leaves.push(asked.elapsed());
        pause();
    }
    let (joined, left) = (shown(&mut joins), shown(&mut leaves));
    say(&format!(
        "from the request to the registry until HAProxy does it: join {joined}, leave {left}"
    ));
    assert_eq!(haproxy.count("reloads"), 0);
    // A machine that does other things at the same time says nothing about time.
    if is_full() {
        assert!(leaves[leaves.len() / 2] <= PROMPT, "{leaves:?}");
    }
}

/// Changes come at odd moments, not in step with anything.
fn pause() {
    std::thread::sleep(Duration::from_millis(fastrand::u64(120..280)));
}

/// Sorts the times, and says what they were.
fn shown(times: &mut [Duration]) -> String {
    times.sort();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    let last = times[times.len() - 1];
    format!(
        "p50 {:.1?} p99 {:.1?} max {last:.1?} of {}",
        at(50),
        at(99),
        times.len()
    )
}
