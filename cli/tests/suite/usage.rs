//! Help, mistakes, and what each is worth as an exit status.

use std::{net::TcpListener, process::Stdio};

use crate::harness::{Ended, command, ends};

const COMMANDS: [&str; 15] = [
    "up",
    "scale",
    "registry",
    "run",
    "lb",
    "microservice",
    "microservice hello",
    "services",
    "explain",
    "agent",
    "register",
    "deregister",
    "validate",
    "members",
    "maint",
];

/// One line on standard error that says all of `words`, nothing on standard output.
fn assert_complains(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (Some(code), ""),
        "{ended:?}"
    );
    let line = ended.stderr.trim_end();
    assert!(
        line.starts_with("turno: ") && !line.contains('\n'),
        "{ended:?}"
    );
    for word in words {
        assert!(line.contains(word), "no {word:?} in {line}");
    }
}

#[test]
fn every_command_helps_with_examples() {
    for name in COMMANDS {
        let ended = ends(&format!("{name} --help"));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{name}");
        assert!(
            ended.stdout.contains("Examples:\n  "),
            "{name}: {}",
            ended.stdout
        );
        assert!(
            ended.stdout.contains("--consul"),
            "{name}: {}",
            ended.stdout
        );
    }
    let ended = ends("--help");
    for name in COMMANDS.iter().filter(|name| !name.contains(' ')) {
        assert!(
            ended.stdout.contains(&format!("\n  {name} ")),
            "{name}: {}",
            ended.stdout
        );
    }
    assert!(ends("--version").stdout.starts_with("turno "));
}

#[test]
fn a_secret_in_the_environment_is_not_in_the_help() {
    let mut command = command("up --help");
    let ended: Ended = command
        .env("TURNO_ADMIN_TOKEN", "s3cret")
        .output()
        .expect("it runs")
        .into();
    assert!(!ended.stdout.contains("s3cret"), "{}", ended.stdout);
}

#[test]
fn mistakes_are_one_line_and_status_2() {
    let cases: [(&str, &[&str]); 19] = [
        ("--colour", &["--colour"]),
        ("servces", &["servces", "services"]),
        ("services --log-format xml", &["xml", "text or json"]),
        ("explain", &["<SERVICE>"]),
        ("scale hello", &["hello", "SERVICE=N"]),
        ("scale hello=1000", &["0 to 64"]),
        ("up --replicas 65", &["0 to 64"]),
        ("up --listen 8080", &["--listen", "8080"]),
        ("up --policy fast", &["fast", "round-robin"]),
        (
            "up --consul http://x --data-dir d",
            &["--data-dir", "--consul"],
        ),
        (
            "agent --config-dir . --acl-token t",
            &["--acl-token", "--registry-listen"],
        ),
        (
            "up --consul http://x --registry-listen 127.0.0.1:0",
            &["--consul", "--registry-listen"],
        ),
        ("lb", &["--route", "--config"]),
        ("lb --route web", &["web", "expected [HOST]/PATH=SERVICE"]),
        ("lb --route /=a --route /=b", &["/"]),
        ("lb --config x.toml --route /=a", &["--config", "--route"]),
        ("run --name web", &["<CMD>"]),
        ("run --name web --weight 0 -- true", &["--weight"]),
        ("run --name web --address 0.0.0.0 -- true", &["0.0.0.0"]),
    ];
    for (line, words) in cases {
        assert_complains(&ends(line), 2, words);
    }
}

#[test]
fn failures_are_one_line_and_status_1() {
    let nobody = "http://127.0.0.1:1";
    let cases: [(String, &[&str]); 6] = [
        (
            format!("services --consul {nobody}"),
            &["cannot reach", "127.0.0.1:1"],
        ),
        (
            format!("explain web --consul {nobody}"),
            &["cannot reach", "127.0.0.1:1"],
        ),
        (
            "scale hello=1 --admin 127.0.0.1:1".to_owned(),
            &["127.0.0.1:1", "is it running", "admin address"],
        ),
        (
            "lb --config /no/such/file.toml".to_owned(),
            &["/no/such/file.toml"],
        ),
        (
            "lb --listen 127.0.0.1:0 --route /=a --admin 0.0.0.0:0".to_owned(),
            &["0.0.0.0:0", "token"],
        ),
        (
            format!("up --consul {nobody} --listen 127.0.0.1:0 --admin 127.0.0.1:0"),
            &["cannot reach"],
        ),
    ];
    for (line, words) in cases {
        assert_complains(&ends(&line), 1, words);
    }
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("it is bound").to_string();
    for line in [
        format!("registry --listen {taken}"),
        format!("microservice hello --listen {taken}"),
        format!("lb --listen {taken} --route /=web"),
        format!("lb --listen 127.0.0.1:0 --admin {taken} --route /=web"),
        format!("up --listen {taken} --admin 127.0.0.1:0 --registry-listen 127.0.0.1:0"),
        format!("up --listen 127.0.0.1:0 --admin {taken} --registry-listen 127.0.0.1:0"),
        format!("up --listen 127.0.0.1:0 --admin 127.0.0.1:0 --registry-listen {taken}"),
    ] {
        assert_complains(&ends(&line), 1, &[&taken, "in use"]);
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut child = command("--help")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    let ended: Ended = child.wait_with_output().expect("it ends").into();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}
