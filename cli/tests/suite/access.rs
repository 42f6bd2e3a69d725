//! Tokens and addresses of the embedded registry, as a person gives them to the program.

use std::{fs, net::SocketAddr, path::Path};

use rustix::process::Signal;

use crate::harness::{Http, Turno, command, ends, until};

const TOKEN: &str = "s3cret-of-the-test";

fn with_token(folder: &Path) -> String {
    let path = folder.join("token");
    fs::write(&path, format!("{TOKEN}\n")).expect("written");
    path.display().to_string()
}

/// Asks with a token, or without one if it is empty.
fn ask(address: SocketAddr, token: &str, request: &str) -> (u16, String) {
    let field = match token {
        "" => "content-length: 0\r\n".to_owned(),
        token => format!("x-consul-token: {token}\r\ncontent-length: 0\r\n"),
    };
    let mut http = Http::open(address).expect("it listens");
    http.ask(request, &field).expect("it answers")
}

#[test]
fn beyond_loopback_it_wants_a_token_or_a_word() {
    for line in [
        "registry --listen 0.0.0.0:0",
        "agent --reap --registry-listen 0.0.0.0:0",
        "up --listen 127.0.0.1:0 --admin 127.0.0.1:0 --registry-listen 0.0.0.0:0",
    ] {
        let ended = ends(line);
        assert_eq!(ended.code, Some(1), "{line}: {ended:?}");
        for part in ["not on loopback", "--acl-token-file", "--open-to-network"] {
            assert!(ended.stderr.contains(part), "{line}: {}", ended.stderr);
        }
    }
    let mut open = Turno::start("registry --listen 0.0.0.0:0 --open-to-network");
    let port = open.address("registry listening on").port();
    let (status, _) = ask(([127, 0, 0, 1], port).into(), "", "PUT /v1/kv/a");
    assert_eq!(status, 200);
    assert!(
        open.stderr().contains("NO access control"),
        "{}",
        open.stderr()
    );
}

#[test]
fn one_token_guards_what_is_written_and_shows_nowhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = with_token(folder.path());
    let mut by_environment = command("registry --listen 127.0.0.1:0");
    by_environment
        .env("TURNO_ACL_TOKEN", TOKEN)
        .env("RUST_LOG", "trace");
    let mut by_file = command(&format!(
        "registry --listen 0.0.0.0:0 --acl-token-file {file}"
    ));
    by_file.env("RUST_LOG", "trace");
    for command in [by_environment, by_file] {
        let mut registry = Turno::spawn(command);
        let port = registry.address("registry listening on").port();
        let address = ([127, 0, 0, 1], port).into();
        let denied = (403, "Permission denied".to_owned());
        assert_eq!(ask(address, "", "PUT /v1/kv/a"), denied);
        assert_eq!(ask(address, TOKEN, "PUT /v1/kv/a").0, 200);
        let asked = format!("PUT /v1/kv/b?token={TOKEN}");
        assert_eq!(ask(address, "", &asked).0, 200);
        assert_eq!(
            ask(address, "", "GET /v1/kv/b").0,
            200,
            "reading stays open"
        );
        let wrong = ask(address, "wrong", "GET /v1/kv/b");
        assert_eq!(wrong, (403, "ACL not found".to_owned()));
        assert!(registry.stop().success());
        let said = registry.stdout() + &registry.stderr();
        assert!(!said.contains(TOKEN), "{said}");
    }
}

#[test]
fn token_files_are_read_again_at_sighup_and_a_mistake_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.hcl");
    let write = |secret: &str| {
        let text = format!(
            "token \"kv\" {{ secret = \"{secret}\"\n key_prefix \"\" {{ policy = \"write\" }} }}"
        );
        fs::write(&rules, text).expect("written");
    };
    write("one");
    let line = format!(
        "registry --listen 127.0.0.1:0 --acl-file {}",
        rules.display()
    );
    let mut registry = Turno::start(&line);
    let address = registry.address("registry listening on");
    registry.line("ready", |line| line.contains("turno: ready").then_some(()));
    assert_eq!(ask(address, "one", "PUT /v1/kv/a").0, 200);
    assert_eq!(ask(address, "", "GET /v1/kv/a").0, 403, "reading is closed");
    write("two");
    registry.signal(Signal::HUP);
    until("the new token", || {
        (ask(address, "two", "PUT /v1/kv/a").0 == 200).then_some(())
    });
    assert_eq!(ask(address, "one", "PUT /v1/kv/a").0, 403);
    fs::write(&rules, "token \"kv\" {").expect("written");
    registry.signal(Signal::HUP);
    until("the mistake in the log", || {
        registry.stderr().contains("rules.hcl:1:").then_some(())
    });
    assert_eq!(ask(address, "two", "PUT /v1/kv/a").0, 200);
    let ended = ends(&line);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("rules.hcl:1:"), "{}", ended.stderr);
}

#[test]
fn the_parts_of_one_process_get_past_its_guard() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = with_token(folder.path());
    let mut up = Turno::start(&format!(
        "up --replicas 1 --listen 127.0.0.1:0 --admin 127.0.0.1:0 --registry-listen 127.0.0.1:0 \
         --acl-token-file {file} --acl-default deny"
    ));
    let registry = up.address("registry");
    up.line("ready", |line| line.contains("turno: ready").then_some(()));
    let passing = "GET /v1/health/service/hello?passing";
    until("the replica to pass", || {
        let (_, passing) = ask(registry, TOKEN, passing);
        passing.contains("\"hello\"").then_some(())
    });
    assert_eq!(ask(registry, "", passing), (200, "[]".to_owned()));
    assert!(up.stop().success());

    // What its own files define is defined on this machine, scripts included; what comes over the network is not.
    let script = "service { name = \"s\" check { args = [\"true\"] interval = \"1s\" } }";
    fs::write(folder.path().join("s.hcl"), script).expect("written");
    let mut agent = Turno::start(&format!(
        "agent --config-file {} --registry-listen 127.0.0.1:0 --enable-local-script-checks",
        folder.path().join("s.hcl").display()
    ));
    let registry = agent.address("registry listening on");
    until("the script's word", || {
        let (_, passing) = ask(registry, "", "GET /v1/health/service/s?passing");
        passing.contains("\"s\"").then_some(())
    });
    let body = r#"{"Name": "t", "Check": {"Args": ["true"], "Interval": "1s"}}"#;
    let mut http = Http::open(registry).expect("it listens");
    let (status, said) = http
        .put("/v1/agent/service/register", body)
        .expect("an answer");
    assert!(
        status != 200 && said.contains("Scripts are disabled"),
        "{status} {said}"
    );
}
