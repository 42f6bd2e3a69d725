//! What `turno haproxy` is asked to do: to attach to a running HAProxy, and which routes to make of a configuration file.

use std::fs;
use std::process::Command;
use std::time::Duration;

use e2e::haproxy::{self, Driven};
use e2e::load;
use e2e::parts::{self, Part};
use e2e::process::Process;
use e2e::registry::{Kind, Registry};
use e2e::{http, ports, wait};
use rustix::process::{Pid, Signal, kill_process};

use crate::haproxy::registered;

#[test]
fn a_running_haproxy_is_attached_to() {
    if !parts::available(&[Part::Haproxy]) {
        return;
    }
    let registry = Registry::start(Kind::Embedded);
    let origins = registered(&registry, &["a"]);
    let folder = tempfile::tempdir().expect("a folder");
    let (file, master) = (folder.path().join("h.cfg"), folder.path().join("m.sock"));
    let socket = folder.path().join("r.sock");
    let path = |path: &std::path::Path| path.display().to_string();
    let flags = [
        "--attach",
        "--file",
        &path(&file),
        "--master",
        &path(&master),
        "--socket",
        &path(&socket),
    ];

    let nobody = e2e::turno::run(&[&["haproxy", "--route", "/=web"][..], &flags[..]].concat());
    assert!(
        nobody.code == 1 && nobody.stderr.contains("no HAProxy to attach to"),
        "{nobody:?}"
    );

    let other = ports::free_address();
    let text =
        format!("defaults\n    mode http\n    timeout client 5s\nfrontend x\n    bind {other}\n");
    fs::write(&file, text).expect("it is written");
    let mut command = Command::new(Part::Haproxy.path());
    command
        .arg("-W")
        .arg("-S")
        .arg(&master)
        .arg("-f")
        .arg(&file);
    let mut running = Process::start("haproxy", command);
    wait::until_true("HAProxy's master", wait::SOON, || {
        haproxy::ask(&master, "show proc").is_ok_and(|answer| answer.contains("worker"))
    });
    let mut driven = Driven::start(registry.address, &flags);
    let tally = load::requests(driven.address, 2, 20);
    assert_eq!((tally.counts(), tally.failures), (vec![20], vec![]));
    let text = fs::read_to_string(&file).expect("a file");
    assert!(text.contains(&origins[0].address.to_string()), "{text}");
    driven.process.signal(Signal::TERM);
    assert!(driven.process.wait(Duration::from_secs(30)).success());
    running.assert_running();
    assert!(load::requests(driven.address, 2, 20).failures.is_empty());
    let pid = i32::try_from(running.id()).ok().and_then(Pid::from_raw);
    let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
}

#[test]
fn routes_go_by_host_and_path() {
    if !parts::available(&[Part::Haproxy]) {
        return;
    }
    let registry = Registry::start(Kind::Embedded);
    let origins = registered(&registry, &["a"]);
    let echo = e2e::load::Echo::start();
    let api = echo.address.to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("haproxy.toml");
    let (listen, dir) = (ports::free_address(), folder.path().display());
    let program = Part::Haproxy.path();
    let text = |more: &str| {
        format!(
            "listen = \"{listen}\"\ndir = \"{dir}\"\nprogram = \"{}\"\nwait = \"10ms\"\n\
             [[route]]\npath = \"/\"\nservice = \"web\"\n\
             [[route]]\npath = \"/api\"\nservice = \"api\"\nstrip_prefix = true\n\
             [[route]]\nhost = \"Shop.example\"\npath = \"/cart\"\nservice = \"api\"\n{more}\
             [[fixed]]\nservice = \"api\"\nendpoints = [\"{api}\"]\n",
            program.display()
        )
    };
    fs::write(&config, text("")).expect("it is written");
    let url = format!("http://{}", registry.address);
    let line = [
        "haproxy",
        "--config",
        config.to_str().expect("plain"),
        "--consul",
        &url,
    ];
    let mut process = Process::start("turno haproxy", e2e::turno::command(&line));
    wait::until_true("turno to be ready", wait::SOON, || {
        process.assert_running();
        process.output().contains("turno: ready")
    });
    let asked = |host: &str, path: &str| {
        let mut connection = http::Connection::open(listen).expect("it listens");
        let answer = connection.request("GET", path, &[("Host", host)], b"");
        let answer = answer.expect("it answers");
        (answer.status, answer.text())
    };
    for (host, path, expected) in [
        ("x", "/", "a"),
        ("x", "/apis", "a"),
        ("x", "/api", "/"),
        ("x", "/api/v1?q=1", "/v1?q=1"),
        ("x", "/cart/1", "a"),
        ("shop.example", "/cart/1", "/cart/1"),
        ("SHOP.example:80", "/cart", "/cart"),
        ("shop.example.", "/cart", "/cart"),
        ("shop.example", "/carts", "a"),
        ("shop.example", "/api/2", "/2"),
    ] {
        assert_eq!(
            asked(host, path),
            (200, expected.to_owned()),
            "{host}{path}"
        );
    }
    // A route more in the file: one reload.
    let more = "[[route]]\npath = \"/more\"\nservice = \"api\"\n";
    fs::write(&config, text(more)).expect("it is written");
    wait::until_true("the new route", wait::SOON, || {
        asked("x", "/more/1") == (200, "/more/1".to_owned())
    });
    // A template that is no good holds the file up until it is mended.
    let template = folder.path().join("own.hbs");
    fs::write(&template, "{{#each backends}}").expect("it is written");
    let last = "[[route]]\npath = \"/last\"\nservice = \"api\"\n";
    let with = format!("template = \"{}\"\n{}", template.display(), text(last));
    fs::write(&config, with).expect("it is written");
    wait::until_true("the mistake to be named", wait::SOON, || {
        process
            .output()
            .contains("the last good template stays in use")
    });
    let shipped = parts::checkout().join("templates/haproxy.cfg.hbs");
    fs::copy(shipped, &template).expect("it is mended");
    wait::until_true("the last route", wait::SOON, || {
        asked("x", "/last/1") == (200, "/last/1".to_owned())
    });
    drop(origins);
    process.signal(Signal::TERM);
    assert!(process.wait(Duration::from_secs(60)).success());
}
