//! `turno template`: whatever is wrong is named, the old file stays, and the other templates go on.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::http::Connection;
use e2e::process::Process;
use e2e::registry::{Kind, Registry};
use e2e::{turno, wait};
use rustix::process::Signal;
use serde_json::json;

on_both_registries!(
    what_is_wrong_is_named_and_leaves_the_rest_alone,
    the_configuration_is_read_again_unless_it_is_wrong,
);

fn register(registry: &Registry, id: &str) {
    let body = json!({ "Name": "web", "ID": id, "Address": "127.0.0.1", "Port": 1 }).to_string();
    let mut connection = Connection::open(registry.address).expect("it listens");
    let path = "/v1/agent/service/register";
    let answer = connection
        .request("PUT", path, &[], body.as_bytes())
        .expect("it answers");
    assert_eq!(answer.status, 200);
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

const GOOD: &str = r#"{{#each (service "web") as |s|}}{{s.ID}} {{/each}}"#;

fn start(registry: &Registry, folder: &Path, config: &str) -> Process {
    let path = folder.join("template.toml");
    fs::write(&path, config).expect("it is written");
    let url = format!("http://{}", registry.address);
    let path = path.display().to_string();
    let arguments = ["template", "--config", &path, "--consul", &url];
    Process::start("turno template", turno::command(&arguments))
}

fn what_is_wrong_is_named_and_leaves_the_rest_alone(kind: Kind) {
    let registry = Registry::start(kind);
    register(&registry, "w1");
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    fs::write(path("good.hbs"), GOOD).expect("written");
    fs::write(
        path("bad.hbs"),
        "line 1\n{{#each (service \"web\") as |s|}}\n{{s.Nope}}{{/each}}",
    )
    .expect("written");
    fs::write(path("missing.hbs"), "{{key \"not/there\"}}").expect("written");
    for name in ["bad", "missing", "checked", "reloaded", "slow"] {
        fs::write(path(name), "old").expect("written");
    }
    let config = r#"
wait = "10ms"
[[template]]
source = "good.hbs"
target = "good"
mode = "0640"
backup = true
[[template]]
source = "bad.hbs"
target = "bad"
[[template]]
source = "missing.hbs"
target = "missing"
[[template]]
source = "good.hbs"
target = "checked"
check = "echo 'line 7: no such keyword' >&2; test ! -s {candidate}"
[[template]]
source = "good.hbs"
target = "reloaded"
command = "echo 'reload refused' >&2; exit 3"
[[template]]
source = "good.hbs"
target = "slow"
command = "sleep 60"
command_timeout = "300ms"
[[template]]
source = "good.hbs"
target = "/proc/turno/unwritable"
"#;
    let mut process = start(&registry, folder.path(), config);
    for expected in [
        "bad.hbs: line 3, column 1: there is no s.Nope",
        "key not/there does not exist",
        "line 7: no such keyword",
        "reload refused",
        "took longer than 0.3s and was ended",
        "/proc/turno/unwritable",
    ] {
        wait::until_true(format!("{expected:?} to be said"), wait::SOON, || {
            process.assert_running();
            process.output().contains(expected)
        });
    }
    for name in ["bad", "missing", "checked", "reloaded", "slow"] {
        wait::until_true(format!("{name} to be as it was"), wait::SOON, || {
            read(&path(name)) == "old"
        });
    }
    register(&registry, "w2");
    wait::until_true("the good one to go on", wait::SOON, || {
        read(&path("good")) == "w1 w2 "
    });
    assert_eq!(read(&path("good.bak")), "w1 ");
    // What helps is seen: the key appears.
    let mut connection = Connection::open(registry.address).expect("it listens");
    connection
        .request("PUT", "/v1/kv/not/there", &[], b"now")
        .expect("it answers");
    wait::until_true("the key to be used", wait::SOON, || {
        read(&path("missing")) == "now"
    });
    process.assert_running();
}

fn the_configuration_is_read_again_unless_it_is_wrong(kind: Kind) {
    let registry = Registry::start(kind);
    register(&registry, "w1");
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let config = |target: &str| {
        format!("wait = \"10ms\"\n[[template]]\ncontents = '''{GOOD}'''\ntarget = \"{target}\"\n")
    };
    let mut process = start(&registry, folder.path(), &config("one"));
    wait::until_true("the first file", wait::SOON, || read(&path("one")) == "w1 ");
    fs::write(path("template.toml"), "wiat = 1\n").expect("written");
    process.signal(Signal::HUP);
    wait::until_true("the mistake to be named", wait::SOON, || {
        process
            .output()
            .contains("template.toml: line 1: unknown field `wiat`")
    });
    register(&registry, "w2");
    wait::until_true("the old one to go on", wait::SOON, || {
        read(&path("one")) == "w1 w2 "
    });
    fs::write(path("template.toml"), config("two")).expect("written");
    process.signal(Signal::HUP);
    wait::until_true("the new file", wait::SOON, || {
        read(&path("two")) == "w1 w2 "
    });
    register(&registry, "w3");
    wait::until_true("the new one to follow", wait::SOON, || {
        read(&path("two")) == "w1 w2 w3 "
    });
    assert_eq!(read(&path("one")), "w1 w2 ", "nobody makes it any more");
    process.assert_running();
}
