//! `turno snapshot`: saved, looked at, restored, and refused whole when it is damaged.

use crate::harness::{Http, Registry, ends};

#[test]
fn everything_is_saved_and_comes_back() {
    let registry = Registry::start();
    let url = registry.url();
    let mut http = Http::open(registry.address).expect("it listens");
    let mut put = |path: &str, body: &str| {
        let (status, said) = http.put(path, body).expect("it answers");
        assert_eq!(status, 200, "{path}: {said}");
    };
    put("/v1/kv/color", "green");
    let web = r#"{"Name": "web", "Port": 80}"#;
    put("/v1/agent/service/register", web);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("it.snap");
    let shown = file.display();
    let snapshot = |what: &str| ends(&format!("snapshot {what} {shown} --consul {url}"));

    let saved = snapshot("save");
    assert_eq!(saved.code, Some(0), "{}", saved.stderr);
    let inspected = snapshot("inspect").stdout;
    for (name, value) in [("instances", "1"), ("keys", "1"), ("datacenter", "dc1")] {
        let line = inspected.lines().find(|line| line.starts_with(name));
        let found = line.and_then(|line| line.split_whitespace().last());
        assert_eq!(found, Some(value), "{inspected}");
    }

    put("/v1/kv/color", "red");
    put("/v1/agent/service/deregister/web", "");
    let restored = snapshot("restore");
    assert_eq!(restored.code, Some(0), "{}", restored.stderr);
    let color = Http::open(registry.address)
        .and_then(|mut http| http.get("/v1/kv/color?raw"))
        .expect("it answers");
    assert_eq!(color, (200, "green".to_owned()));
    assert_eq!(registry.passing("web").len(), 1);

    let good = std::fs::read(&file).expect("it is there");
    std::fs::write(&file, &good[..good.len() - 1]).expect("it is ours");
    for what in ["restore", "inspect"] {
        let refused = snapshot(what);
        assert_eq!(refused.code, Some(1), "{}", refused.stdout);
        assert!(
            refused.stderr.contains("it.snap") && refused.stderr.contains("cut off"),
            "{}",
            refused.stderr
        );
    }
}
