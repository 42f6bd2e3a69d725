//! Two programs that want to be the same in one registry: the second is told, and the first goes on undisturbed.

use std::fs;

use rustix::process::Signal;

use crate::harness::{Registry, Turno, command, json, until};

/// A program that listens on its port and says so.
const SERVER: &str = "import http.server as h, os\n\
s = h.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), h.SimpleHTTPRequestHandler)\n\
print('up', flush=True)\n\
s.serve_forever()";

/// `turno run --name web …` with a server that says when it listens.
fn run(registry: &Registry, options: &str) -> Turno {
    let mut line = command(&format!(
        "run --name web --consul {} {options} -- python3 -c",
        registry.url()
    ));
    line.arg(SERVER);
    Turno::spawn(line)
}

fn up(program: &mut Turno) {
    program.line("up", |line| (line == "up").then_some(()));
}

#[test]
fn the_same_line_twice_is_two_instances() {
    let registry = Registry::start();
    let (mut one, mut two) = (run(&registry, ""), run(&registry, ""));
    up(&mut one);
    up(&mut two);
    until("both to pass", || {
        (registry.passing("web").len() == 2).then_some(())
    });
    one.stop();
    assert_eq!(registry.passing("web").len(), 1);
    two.stop();
}

#[test]
fn an_id_that_somebody_has_is_refused() {
    let registry = Registry::start();
    let mut first = run(&registry, "--id web-1");
    up(&mut first);
    until("it to pass", || {
        (registry.passing("web") == ["web-1"]).then_some(())
    });
    let row = registry.instances()["web-1"].clone();

    let port = row["Port"].as_u64().expect("a port");
    for (options, flag) in [
        ("--id web-1", "another --id"),
        (&format!("--port {port} --id web-1"), "another --id"),
    ] {
        let mut second = run(&registry, options);
        assert_eq!(second.ended().code(), Some(1), "{}", second.stderr());
        let said = second.stderr();
        assert!(
            said.starts_with("turno: instance \"web-1\" is registered already")
                && said.contains(&format!("127.0.0.1:{port}"))
                && said.contains(flag)
                && said.lines().count() == 1,
            "{said}"
        );
        assert_eq!(second.stdout(), "", "it was not started");
    }
    assert_eq!(registry.instances()["web-1"], row, "nobody touched it");

    // What an earlier life has left is nobody's.
    first.signal(Signal::KILL);
    first.ended();
    assert_eq!(registry.instances()["web-1"], row, "nobody took it out");
    let mut next = run(&registry, "--id web-1");
    up(&mut next);
    until("it to be registered anew", || {
        (registry.instances()["web-1"]["Port"] != row["Port"]).then_some(())
    });
    next.stop();
    assert_eq!(registry.instances(), serde_json::json!({}));
}

#[test]
fn of_two_agents_of_one_node_the_second_waits_and_says_for_whom() {
    let registry = Registry::start();
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(
        folder.path().join("web.hcl"),
        "service { name = \"web\" port = 7 }",
    )
    .expect("written");
    let line = format!(
        "agent --config-dir {} --node vm-7 --node-address 127.0.0.1 --consul {}",
        folder.path().display(),
        registry.url()
    );
    let ready = |line: &str| (line == "turno: ready").then_some(());
    let mut first = Turno::start(&line);
    first.line("turno: ready", ready);
    let mut second = Turno::start(&line);
    let keeper = format!("(process {})", first.pid().as_raw_nonzero());
    until("the second to say who keeps the node", || {
        let said = second.stderr();
        (said.contains("is kept by the agent") && said.contains(&keeper)).then_some(())
    });
    assert!(second.stderr().contains("choose another --node"));

    // Once the first is dead it is an earlier life, whose node goes on without a gap.
    let index = || {
        let node = json(registry.address, "/v1/catalog/node/vm-7");
        node["Services"]["web"]["CreateIndex"].clone()
    };
    let created = index();
    first.signal(Signal::KILL);
    first.ended();
    second.line("turno: ready", ready);
    assert!(second.stderr().contains("taking over from an earlier life"));
    assert_eq!(index(), created, "{}", second.stderr());
    assert!(!first.stderr().contains("has ended"), "{}", first.stderr());
    assert!(second.stop().success());
}
