//! A host without a Consul agent is cut off: its instances leave the catalog within their time, and come back by themselves.

use std::fs;
use std::time::{Duration, Instant};

use e2e::namespace::Host;
use e2e::parts::{self, Part};
use e2e::process::Process;
use e2e::registry::{Kind, Registry};
use e2e::{turno, wait};

use crate::say;

/// The shortest that is allowed.
const TTL: Duration = Duration::from_secs(20);
/// What the machine may need beyond it: a look of the reaper, and its busy neighbours.
const SLACK: Duration = Duration::from_secs(20);

#[test]
fn a_host_that_is_cut_off_leaves_and_comes_back() {
    if !parts::available(&crate::PARTS) || !parts::available(&[Part::Consul]) {
        return;
    }
    let Some(host) = Host::make() else { return };
    let consul = Registry::start(Kind::Consul);
    let here = format!("http://{}", consul.address);
    let _reaper = Process::start(
        "reaper",
        turno::command(&["agent", "--reap", "--consul", &here]),
    );
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("web.json");
    fs::write(
        &file,
        r#"{"service": {"id": "far", "name": "web", "port": 80}}"#,
    )
    .expect("just made");
    let seen = format!("http://{}", host.reach(consul.address));
    let ttl = format!("{}s", TTL.as_secs());
    let agent = turno::command(&[
        "agent",
        "--config-file",
        file.to_str().expect("a plain name"),
        "--node",
        "far-host",
        "--node-address",
        &host.far.to_string(),
        "--ttl",
        &ttl,
        "--consul",
        &seen,
    ]);
    let mut agent = Process::start("agent", host.command(&agent));
    let there = || consul.passing("web") == ["far"];
    wait::until_true("the instance to be there", wait::SOON, || {
        agent.assert_running();
        there()
    });

    host.cable(false);
    let cut = Instant::now();
    wait::until_true("the instance to be gone", TTL + SLACK, || !there());
    say(&format!(
        "gone {:?} after the cable was pulled, with a TTL of {TTL:?}",
        cut.elapsed()
    ));

    host.cable(true);
    let back = Instant::now();
    wait::until_true("the instance to be back", TTL + SLACK, || {
        agent.assert_running();
        there()
    });
    say(&format!(
        "back {:?} after the cable was plugged in",
        back.elapsed()
    ));
}
