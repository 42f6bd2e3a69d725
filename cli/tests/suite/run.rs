//! `turno run`: a program that knows nothing of registries joins, leaves, and keeps its exit status.

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Registry, Turno, command, until};

/// `turno run --name web …` with `script` as the program.
fn run(registry: &Registry, options: &str, script: &str) -> Turno {
    let mut line = command(&format!(
        "run --name web --consul {} {options} -- sh -c",
        registry.url()
    ));
    line.arg(script);
    Turno::spawn(line)
}

#[test]
fn the_exit_status_is_the_programs() {
    let registry = Registry::start();
    for (script, want) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)] {
        let mut program = run(&registry, "", script);
        assert_eq!(
            program.ended().code(),
            Some(want),
            "{script}: {}",
            program.stderr()
        );
        assert_eq!(registry.instances(), serde_json::json!({}), "{script}");
    }
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let mut line = command("run --name web -- /no/such/program");
    line.env("CONSUL_HTTP_ADDR", "127.0.0.1:1");
    let mut program = Turno::spawn(line);
    assert_eq!(program.ended().code(), Some(1));
    assert!(
        program
            .stderr()
            .starts_with("turno: cannot start \"/no/such/program\""),
        "{}",
        program.stderr()
    );
}

#[test]
fn the_program_is_told_its_port_and_registered_with_it() {
    let registry = Registry::start();
    let turno = env!("CARGO_BIN_EXE_turno");
    let script = format!("echo port $PORT; exec {turno} microservice hello");
    let options = "--id web-1 --tag a --tag b --meta version=2 --weight 3 --check-http /health";
    let mut program = run(&registry, options, &script);
    let port: u16 = program.line("port", |line| line.strip_prefix("port ")?.parse().ok());
    until("it to pass its check", || {
        (registry.passing("web") == ["web-1"]).then_some(())
    });
    let instance = &registry.instances()["web-1"];
    assert_eq!(instance["Port"], port);
    assert_eq!(instance["Address"], "127.0.0.1");
    assert_eq!(instance["Tags"], serde_json::json!(["a", "b"]));
    assert_eq!(instance["Meta"]["version"], "2");
    assert_eq!(instance["Weights"]["Passing"], 3);

    assert_eq!(program.stop().code(), Some(0), "{}", program.stderr());
    assert_eq!(registry.instances(), serde_json::json!({}));
}

#[test]
fn any_server_can_be_wrapped() {
    let registry = Registry::start();
    let line = format!(
        "run --name files --consul {} -- python3 -m http.server --bind 127.0.0.1 {{port}}",
        registry.url()
    );
    let mut python = Turno::start(&line);
    until("it to pass its TCP check", || {
        (registry.passing("files").len() == 1).then_some(())
    });
    python.signal(Signal::INT);
    // Python's server ends with status 0 on SIGINT when it is a program's main module.
    let status = python.ended();
    assert!(
        matches!(status.code(), Some(0 | 1 | 130)),
        "{status}: {}",
        python.stderr()
    );
    assert_eq!(registry.instances(), serde_json::json!({}));
}

#[test]
fn it_leaves_the_registry_before_it_is_told_to_stop() {
    let registry = Registry::start();
    // The program lists the registry at the moment in which it is told to stop.
    let script = format!(
        "trap 'echo told; python3 -c \"import urllib.request as u; print(u.urlopen(\\\"{}/v1/agent/services\\\").read().decode().split())\"; exit 3' TERM; \
         echo up; while :; do sleep 0.05; done",
        registry.url()
    );
    let mut program = run(&registry, "--id web-1", &script);
    program.line("up", |line| (line == "up").then_some(()));
    until("it to be registered", || {
        registry.instances().get("web-1").map(|_| ())
    });
    assert_eq!(program.stop().code(), Some(3), "{}", program.stderr());
    assert!(program.stdout().contains("told"), "{}", program.stdout());
    assert!(
        !program.stdout().contains("web-1"),
        "still registered when told: {}",
        program.stdout()
    );
    assert!(program.stdout().contains("['{}']"), "{}", program.stdout());
}

#[test]
fn a_hangup_is_passed_on_and_changes_nothing() {
    let registry = Registry::start();
    let script = "trap 'echo reloaded' HUP; echo up; while :; do sleep 0.05; done";
    let mut program = run(&registry, "--id web-1", script);
    program.line("up", |line| (line == "up").then_some(()));
    until("it to be registered", || {
        registry.instances().get("web-1").map(|_| ())
    });
    program.signal(Signal::HUP);
    program.line("reloaded", |line| (line == "reloaded").then_some(()));
    assert!(registry.instances().get("web-1").is_some(), "it left");
}

#[test]
fn three_signals_end_a_deaf_program() {
    let registry = Registry::start();
    let script = "trap 'echo deaf' TERM; echo up; while :; do sleep 0.05; done";
    let mut program = run(&registry, "", script);
    program.line("up", |line| (line == "up").then_some(()));
    program.signal(Signal::TERM);
    until("the first to be taken", || {
        program.stderr().contains("deregistering").then_some(())
    });
    program.signal(Signal::TERM);
    program.line("deaf", |line| (line == "deaf").then_some(()));
    program.signal(Signal::TERM);
    assert_eq!(program.ended().code(), Some(137), "{}", program.stderr());
}

/// Somebody who answers SIGTERM with a word, after starting somebody else, who holds standard output as well.
const FAMILY: &str = "trap 'echo told; exit 0' TERM; sh -c 'while :; do sleep 0.05; done' & \
     echo up; while :; do sleep 0.05; done";

#[test]
fn a_program_does_not_outlive_us_when_we_are_killed() {
    let registry = Registry::start();
    let mut program = run(&registry, "--id web-1", FAMILY);
    program.line("up", |line| (line == "up").then_some(()));
    program.signal(Signal::KILL);
    // Which waits for the end of standard output: of everybody who holds it.
    assert_eq!(program.ended().code(), None, "{}", program.stderr());
    assert!(program.stdout().contains("told"), "{}", program.stdout());
    assert!(
        program.stderr().contains("run was killed"),
        "{}",
        program.stderr()
    );
}

#[test]
fn nor_does_one_that_is_deaf() {
    let registry = Registry::start();
    let script = "trap 'echo deaf' TERM; echo up; while :; do sleep 0.05; done";
    let mut program = run(&registry, "", script);
    program.line("up", |line| (line == "up").then_some(()));
    program.signal(Signal::KILL);
    program.ended();
    assert!(program.stdout().contains("deaf"), "{}", program.stdout());
}

/// The process that ends the program when we are killed.
fn warden_of(parent: Pid) -> Pid {
    until("a warden", || {
        std::fs::read_dir("/proc")
            .ok()?
            .flatten()
            .find_map(|entry| {
                let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
                let is_child = status.contains(&format!("\nPPid:\t{}\n", parent.as_raw_pid()));
                let is_warden = status.starts_with("Name:\trun-warden\n");
                let pid = entry.file_name().to_str()?.parse().ok()?;
                (is_child && is_warden).then(|| Pid::from_raw(pid))?
            })
    })
}

#[test]
fn when_a_service_manager_ends_all_of_us_at_once_nobody_complains() {
    let registry = Registry::start();
    let script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let mut program = run(&registry, "", script);
    program.line("up", |line| (line == "up").then_some(()));
    kill_process(warden_of(program.pid()), Signal::TERM).expect("it is there");
    assert_eq!(program.stop().code(), Some(0), "{}", program.stderr());
    assert!(!program.stderr().contains("warden"), "{}", program.stderr());
}

#[test]
fn whom_a_program_leaves_behind_when_it_ends_stays() {
    let registry = Registry::start();
    let script = "sleep 1000 >/dev/null 2>&1 & echo left $!";
    let mut program = run(&registry, "", script);
    let left = program.line("left", |line| line.strip_prefix("left ")?.parse().ok());
    assert_eq!(program.ended().code(), Some(0), "{}", program.stderr());
    // The end of standard error, which was waited for, is the warden's end too.
    let left = Pid::from_raw(left).expect("a number");
    kill_process(left, Signal::KILL).expect("it is still there");
}

#[test]
fn a_registry_that_is_away_does_not_keep_the_program_from_running() {
    let mut line = command("run --name web --consul http://127.0.0.1:1 -- sh -c");
    line.arg("echo up; sleep 0.2; exit 5");
    let mut program = Turno::spawn(line);
    program.line("up", |line| (line == "up").then_some(()));
    assert_eq!(program.ended().code(), Some(5), "{}", program.stderr());
}
