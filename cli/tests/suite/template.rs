//! `turno template`: files that follow the registry.

use std::{fs, path::Path};

use crate::harness::{Http, Registry, Turno, ends, until};

/// A registered instance that passes, or is taken away again.
fn put(registry: &Registry, path: &str, body: &str) {
    let mut http = Http::open(registry.address).expect("it listens");
    let (status, text) = http.put(path, body).expect("it answers");
    assert_eq!(status, 200, "{text}");
}

fn register(registry: &Registry, id: &str, port: u16) {
    let body = format!(r#"{{"Name":"web","ID":"{id}","Address":"127.0.0.1","Port":{port}}}"#);
    put(registry, "/v1/agent/service/register", &body);
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn a_file_follows_the_registry_and_its_template() {
    let registry = Registry::start();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let template = "{{#each (service \"web\") as |s|}}{{s.ID}}={{s.Port}} {{/each}}";
    fs::write(path("t.hbs"), template).expect("written");
    register(&registry, "a", 1);
    let line = format!(
        "template --consul {} --wait 10ms -t {}:{}",
        registry.url(),
        path("t.hbs").display(),
        path("out").display()
    );
    let mut watcher = Turno::start(&line);
    until("the first rendering", || {
        (read(&path("out")) == "a=1 ").then_some(())
    });
    register(&registry, "b", 2);
    until("an addition", || {
        (read(&path("out")) == "a=1 b=2 ").then_some(())
    });
    put(&registry, "/v1/agent/service/deregister/a", "");
    until("a removal", || (read(&path("out")) == "b=2 ").then_some(()));

    fs::write(path("t.hbs"), "{{#each").expect("written");
    until("the broken template to be named", || {
        watcher.stderr().contains("t.hbs: line 1").then_some(())
    });
    register(&registry, "c", 3);
    until("the last good version to be used", || {
        (read(&path("out")) == "b=2 c=3 ").then_some(())
    });
    fs::write(path("t.hbs"), format!("# {template}")).expect("written");
    until("the new template", || {
        (read(&path("out")) == "# b=2 c=3 ").then_some(())
    });
    assert_eq!(watcher.stop().code(), Some(0), "{}", watcher.stderr());
}

#[test]
fn once_renders_what_is_known_and_ends() {
    let registry = Registry::start();
    let folder = tempfile::tempdir().expect("a folder");
    let (source, target) = (folder.path().join("t.hbs"), folder.path().join("out"));
    fs::write(&source, "{{#each (services) as |s|}}{{s.Name}} {{/each}}").expect("written");
    register(&registry, "a", 1);
    let files = format!(
        "-t {}:{} --consul {}",
        source.display(),
        target.display(),
        registry.url()
    );
    let dry = ends(&format!("template --once --dry {files}"));
    assert_eq!(dry.code, Some(0), "{}", dry.stderr);
    assert_eq!(
        dry.stdout.trim_end(),
        format!("> {}\nconsul web", target.display())
    );
    assert!(!target.exists());
    assert_eq!(ends(&format!("template --once {files}")).code, Some(0));
    assert_eq!(read(&target), "consul web ");
    fs::write(&source, "{{#each (services) as |s|}}{{s.Name}}\n{{/each}}").expect("written");
    fs::write(&target, "consul\nold\n").expect("written");
    let dry = ends(&format!("template --once --dry {files}"));
    assert!(
        dry.stdout
            .contains("(rendered)\n@@ -1,2 +1,2 @@\n consul\n-old\n+web\n"),
        "{}",
        dry.stdout
    );
    assert_eq!(read(&target), "consul\nold\n");
    register(&registry, "b", 2);
    fs::write(&source, "another text {{#each (services)}}{{/each}}").expect("written");
    let refused = ends(&format!("template --once --check false {files}"));
    assert_eq!(refused.code, Some(14), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("its check failed"),
        "{}",
        refused.stderr
    );
}

#[test]
fn what_cannot_work_says_so() {
    let nothing = ends("template --once -t only-a-template");
    assert_eq!(nothing.code, Some(2));
    assert!(
        nothing.stderr.contains("expected IN:OUT[:COMMAND]"),
        "{}",
        nothing.stderr
    );
    let missing = ends("template --once -t /nonexistent/t.hbs:out");
    assert_eq!(missing.code, Some(14));
    assert!(
        missing.stderr.contains("cannot read /nonexistent/t.hbs"),
        "{}",
        missing.stderr
    );
}

#[test]
fn each_way_to_fail_has_its_exit_status() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(
        path("t.hbs"),
        "{{file \"/etc/hostname\"}}{{len (service \"web\")}}",
    )
    .expect("written");
    fs::write(path("t.toml"), "[[template]]\ntarget = \"x\"\n").expect("written");
    let config = ends(&format!("template --config {}", path("t.toml")));
    assert_eq!(config.code, Some(15), "{}", config.stderr);
    assert!(
        config
            .stderr
            .contains("t.toml: line 1: template: expected either source or contents"),
        "{}",
        config.stderr
    );
    let nothing = ends("template --once");
    assert_eq!(nothing.code, Some(2), "{}", nothing.stderr);
    let line = format!("-t {}:{}", path("t.hbs"), path("out"));
    let denied = ends(&format!("template --once --deny file {line}"));
    assert_eq!(denied.code, Some(14), "{}", denied.stderr);
    assert!(
        denied.stderr.contains("file is switched off"),
        "{}",
        denied.stderr
    );
    let unknown = ends(&format!("template --once --deny flie {line}"));
    assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);
    // Nobody listens on port 1: it waits.
    let mut waiting = Turno::start(&format!(
        "template --once --consul http://127.0.0.1:1 {line}"
    ));
    until("the registry to be missed", || {
        waiting
            .stderr()
            .contains("nothing is rendered before it answers")
            .then_some(())
    });
    assert_eq!(waiting.stop().code(), Some(12), "{}", waiting.stderr());
    assert!(
        waiting.stderr().contains("service web"),
        "{}",
        waiting.stderr()
    );
}
