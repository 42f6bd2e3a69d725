//! `turno template` and the templates that come with it, with a real HAProxy behind them.

use std::fs;
use std::process::Command;
use std::time::Duration;

use e2e::load::Origin;
use e2e::parts::{self, Part};
use e2e::process::Process;
use e2e::registry::{Kind, Registration, Registry};
use e2e::{http, ports, turno, wait};

on_both_registries!(haproxy_follows_the_registry);

fn haproxy_follows_the_registry(kind: Kind) {
    if !parts::available(&[Part::Haproxy]) {
        return;
    }
    let registry = Registry::start(kind);
    let one = Origin::start("one", Duration::ZERO);
    let two = Origin::start("two", Duration::ZERO);
    registry.register(&Registration::new("one", one.address));
    registry.await_passing("web", "one");

    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (source, target, pid) = (path("haproxy.cfg.hbs"), path("haproxy.cfg"), path("pid"));
    let address = ports::free_address();
    let shipped = fs::read_to_string(parts::checkout().join("templates/haproxy-reload.cfg.hbs"));
    let template = shipped
        .expect("it comes with the project")
        .replace("\"hello\"", "\"web\"")
        .replace("127.0.0.1:8090", &address.to_string());
    fs::write(&source, template).expect("it is written");

    let url = format!("http://{}", registry.address);
    let program = Part::Haproxy.path().display().to_string();
    let check = format!("{program} -c -f {{candidate}}");
    let rendered = format!("{source}:{target}");
    let once = [
        "template", "--once", "--check", &check, "-t", &rendered, "--consul", &url,
    ];
    let ended = turno::run(&once);
    assert_eq!(ended.code, 0, "{ended:?}");
    let text = fs::read_to_string(&target).expect("it is rendered");
    assert!(
        text.contains(&format!("-one {} weight 1", one.address)),
        "{text}"
    );

    let mut command = Command::new(&program);
    command.args(["-W", "-p", &pid, "-f", &target]);
    let mut haproxy = Process::start("haproxy", command);
    wait::until_true("HAProxy to answer", wait::SOON, || {
        haproxy.assert_running();
        http::get(address, "/").is_ok()
    });

    let reload = format!("{source}:{target}:kill -USR2 $(cat {pid})");
    let follow = [
        "template", "--check", &check, "--wait", "50ms", "-t", &reload, "--consul", &url,
    ];
    let _watcher = Process::start("turno template", turno::command(&follow));
    registry.register(&Registration::new("two", two.address));
    wait::until_true("the new instance to be asked", wait::SOON, || {
        let _ = http::get(address, "/");
        two.requests() > 0
    });
    registry.deregister("one");
    wait::until_true("the old instance to leave the file", wait::SOON, || {
        fs::read_to_string(&target).is_ok_and(|text| !text.contains(&one.address.to_string()))
    });
    haproxy.assert_running();
}
