//! Definition files: validated, registered, kept, and taken out again; maintenance and members.

use std::{fs, path::Path};

use rustix::process::Signal;

use crate::harness::{Ended, Registry, Turno, ends, json, until};

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("written");
    path.display().to_string()
}

/// The ids of all instances.
fn ids(registry: &Registry) -> Vec<String> {
    let instances = registry.instances();
    let ids = instances.as_object().expect("an object").keys();
    ids.filter(|id| *id != "consul").cloned().collect()
}

fn succeeds(line: &str) -> String {
    let ended = ends(line);
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{line}: {ended:?}"
    );
    ended.stdout
}

#[test]
fn files_are_validated_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = write(
        folder.path(),
        "a.hcl",
        "service { name = \"web\" port = 1 }\ncheck { name = \"load\" ttl = \"9s\" }",
    );
    assert_eq!(
        succeeds(&format!("validate {good}")),
        "valid: 1 instance and 1 check of its own in 1 file\n"
    );
    assert_eq!(succeeds(&format!("validate -quiet {good}")), "");
    let bad = write(
        folder.path(),
        "b.json",
        "{\"service\": {\n  \"name\": \"db\", \"prot\": 2,\n  \"check\": {\"ttl\": \"soon\"}}}",
    );
    let Ended {
        code,
        stdout,
        stderr,
    } = ends(&format!("validate {}", folder.path().display()));
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{stderr}");
    assert!(
        lines[0].starts_with(&format!(
            "{bad}:2:17: service.prot: unknown key; expected one of"
        )),
        "{stderr}"
    );
    assert!(
        lines[1].starts_with(&format!("{bad}:3:20: service.check.ttl: invalid duration")),
        "{stderr}"
    );
    assert_eq!(lines[2], "turno: not valid: 2 problems");
}

#[test]
fn a_file_is_registered_once_and_taken_out() {
    let registry = Registry::start();
    let url = registry.url();
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(
        folder.path(),
        "web.hcl",
        "services = [{ id = \"web-1\" name = \"web\" }, { id = \"web-2\" name = \"web\" }]",
    );
    let broken = write(folder.path(), "x.hcl", "service { name = \"x\" ports = 1 }");
    let refused = ends(&format!("register {file} {broken} --consul {url}"));
    assert_eq!(refused.code, Some(1));
    assert!(
        refused
            .stderr
            .starts_with(&format!("turno: {broken}:1:22: service.ports: unknown key")),
        "{refused:?}"
    );
    assert!(
        ids(&registry).is_empty(),
        "nothing is registered when anything is wrong"
    );

    let said = succeeds(&format!("register {file} --consul {url}"));
    assert_eq!(
        said,
        "registered instance web-1 of web\nregistered instance web-2 of web\n"
    );
    let said = succeeds(&format!(
        "maint -enable -service=web-1 -reason disk -http-addr={url}"
    ));
    assert_eq!(said, "maintenance enabled for instance web-1\n");
    assert_eq!(registry.passing("web"), ["web-2"]);
    let shown = succeeds(&format!("maint --consul {url}"));
    assert!(shown.contains("instance web-1  disk"), "{shown}");
    succeeds(&format!("maint -disable -service web-1 --consul {url}"));
    assert_eq!(
        succeeds(&format!("maint --consul {url}")),
        "nothing is in maintenance\n"
    );
    let unknown = ends(&format!("maint -enable -service nobody --consul {url}"));
    assert_eq!(
        (
            unknown.code,
            unknown.stderr.contains("no instance \"nobody\"")
        ),
        (Some(1), true),
        "{unknown:?}"
    );

    succeeds(&format!("deregister web-1 --consul {url}"));
    let again = ends(&format!("deregister {file} --consul {url}"));
    assert_eq!(
        (again.code, again.stdout.as_str()),
        (Some(1), "deregistered instance web-2\n")
    );
    assert!(again.stderr.ends_with(": web-1\n"), "{again:?}");
    assert!(ids(&registry).is_empty());

    let members = succeeds(&format!("members --consul {url}"));
    assert!(
        members.starts_with("node ") && members.contains(" alive "),
        "{members}"
    );
}

#[test]
fn an_agent_follows_its_files_and_sighup() {
    let registry = Registry::start();
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "web.hcl", "service { name = \"web\" }");
    let line = format!(
        "agent --config-dir {} --consul {}",
        folder.path().display(),
        registry.url()
    );
    let mut agent = Turno::start(&line);
    agent.line("turno: ready", |line| {
        (line == "turno: ready").then_some(())
    });
    assert_eq!(ids(&registry), ["web"]);
    write(
        folder.path(),
        "db.json",
        "{\"service\": {\"name\": \"db\"}}",
    );
    until("the new file to count", || {
        (ids(&registry) == ["db", "web"]).then_some(())
    });
    write(folder.path(), "web.hcl", "service {");
    until("the broken file to be named", || {
        agent
            .stderr()
            .contains("web.hcl:1:10: the text ends")
            .then_some(())
    });
    agent.signal(Signal::HUP);
    until("the files to be read again", || {
        agent
            .stderr()
            .contains("reading the definition files again")
            .then_some(())
    });
    assert_eq!(
        ids(&registry),
        ["db", "web"],
        "what a broken file said stays"
    );
    fs::remove_file(folder.path().join("web.hcl")).expect("removed");
    until("the removed file to count", || {
        (ids(&registry) == ["db"]).then_some(())
    });
    assert!(agent.stop().success());
    assert!(ids(&registry).is_empty());
}

#[test]
fn an_agent_that_is_killed_leaves_what_the_next_one_takes_over() {
    let registry = Registry::start();
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["a", "b"] {
        write(
            folder.path(),
            &format!("{name}.hcl"),
            &format!("service {{ name = \"{name}\" }}"),
        );
    }
    let line = format!(
        "agent --config-dir {} --consul {}",
        folder.path().display(),
        registry.url()
    );
    let mut first = Turno::start(&line);
    first.line("turno: ready", |line| {
        (line == "turno: ready").then_some(())
    });
    first.signal(Signal::KILL);
    first.ended();
    assert_eq!(ids(&registry), ["a", "b"]);
    fs::remove_file(folder.path().join("a.hcl")).expect("removed");
    let mut next = Turno::start(&line);
    next.line("turno: ready", |line| {
        (line == "turno: ready").then_some(())
    });
    assert_eq!(ids(&registry), ["b"]);
    assert!(next.stop().success());
}

#[test]
fn an_agent_can_be_the_registry_too() {
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        "web.hcl",
        "service { name = \"web\" port = 7 }",
    );
    let line = format!(
        "agent --config-dir {} --registry-listen 127.0.0.1:0",
        folder.path().display()
    );
    let mut agent = Turno::start(&line);
    let address = agent.address("registry listening on");
    agent.line("turno: ready", |line| {
        (line == "turno: ready").then_some(())
    });
    let services = json(address, "/v1/agent/services");
    assert_eq!(services["web"]["Port"], 7);
    assert!(agent.stop().success());
}

#[test]
fn an_agent_says_what_it_lacks() {
    let nothing = ends("agent");
    assert_eq!(nothing.code, Some(2));
    assert!(
        nothing
            .stderr
            .contains("give --config-dir DIR or --config-file FILE"),
        "{nothing:?}"
    );
    let nowhere = ends("agent --config-dir /nowhere/at/all");
    assert_eq!(nowhere.code, Some(1));
    assert!(
        nowhere
            .stderr
            .starts_with("turno: cannot read /nowhere/at/all: "),
        "{nowhere:?}"
    );
    let half = ends("agent --config-dir . --node vm-1");
    assert_eq!(half.code, Some(2), "{half:?}");
    let short = ends("agent --config-dir . --node vm-1 --node-address 10.0.0.1 --ttl 5s");
    assert_eq!(short.code, Some(2));
    assert!(
        short.stderr.contains("the TTL is from 20s to 48h"),
        "{short:?}"
    );
}
