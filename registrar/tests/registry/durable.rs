//! A registry that is started again on its folder: every kind of state is there, as it was, and the index has gone on.

use std::path::Path;

use registrar::registry::{Registry, RegistryConfig};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::support::Running;

async fn start_in(folder: &Path) -> Running {
    let config = RegistryConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        node: "here".into(),
        data_dir: Some(folder.to_owned()),
        ..RegistryConfig::default()
    };
    let registry = Registry::bind(config).await.expect("a free port");
    let address = registry.local_addr();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(registry.run(shutdown.clone()));
    Running {
        address,
        shutdown,
        task,
    }
}

async fn put(registry: &Running, path: &str, body: &str) -> String {
    let got = registry.send("PUT", path, "", body).await;
    assert_eq!(got.status, 200, "{path}: {}", got.text());
    got.text()
}

/// What a folder holds at this moment, as a killed process would leave it.
fn copy_of(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("a copy");
    }
    copy
}

const PAGES: [&str; 9] = [
    "/v1/agent/services",
    "/v1/agent/checks",
    "/v1/catalog/nodes",
    "/v1/catalog/service/far",
    "/v1/health/service/web",
    "/v1/health/state/any",
    "/v1/kv/?recurse",
    "/v1/session/list",
    "/v1/query",
];

/// Writes one of everything.
async fn fill(registry: &Running) {
    let web = r#"{"ID":"w1","Name":"web","Port":80,"Tags":["a"],"Meta":{"m":"1"},"Checks":[
        {"CheckID":"ttl","TTL":"1h","Status":"passing"},
        {"CheckID":"tcp","TCP":"127.0.0.1:1","Interval":"1h","Timeout":"1s","Status":"warning"},
        {"CheckID":"alias","AliasService":"w2"}]}"#;
    put(registry, "/v1/agent/service/register", web).await;
    let second = r#"{"ID":"w2","Name":"web","Port":81}"#;
    put(registry, "/v1/agent/service/register", second).await;
    let gone = r#"{"ID":"gone","Name":"gone"}"#;
    put(registry, "/v1/agent/service/register", gone).await;
    put(registry, "/v1/agent/service/deregister/gone", "").await;
    put(
        registry,
        "/v1/agent/check/register",
        r#"{"Name":"node","TTL":"1h"}"#,
    )
    .await;
    put(
        registry,
        "/v1/agent/check/update/ttl",
        r#"{"Status":"warning","Output":"so so"}"#,
    )
    .await;
    put(
        registry,
        "/v1/agent/service/maintenance/w2?enable=true&reason=works",
        "",
    )
    .await;
    // Nobody listens there; what the first probe found must not come between two looks.
    registry
        .until("/v1/agent/checks", |checks| {
            checks["tcp"]["Status"] == "critical" && checks["alias"]["Status"] == "critical"
        })
        .await;
    let far = r#"{"Node":"n1","Address":"10.0.0.1","Service":{"Service":"far","Port":9},
        "Check":{"Name":"c","Status":"passing","Definition":{"TCP":"x"}}}"#;
    put(registry, "/v1/catalog/register", far).await;
    let session = put(
        registry,
        "/v1/session/create",
        r#"{"TTL":"60s","Behavior":"delete"}"#,
    )
    .await;
    let session: Value = serde_json::from_str(&session).expect("JSON");
    let id = session["ID"].as_str().expect("an id");
    put(
        registry,
        &format!("/v1/kv/lock?acquire={id}"),
        "\u{1}binary\u{0}",
    )
    .await;
    put(registry, "/v1/kv/a/b?flags=42", "").await;
    put(registry, "/v1/kv/a/c", "x").await;
    registry.send("DELETE", "/v1/kv/a/c", "", "").await;
    let txn = r#"[{"KV":{"Verb":"set","Key":"txn","Value":"eA=="}},{"Node":{"Verb":"set","Node":{"Node":"n2","Address":"b"}}}]"#;
    put(registry, "/v1/txn", txn).await;
    let query = r#"{"Name":"q","Service":{"Service":"web"}}"#;
    let made = registry.send("POST", "/v1/query", "", query).await;
    assert_eq!(made.status, 200, "{}", made.text());
}

async fn pages(registry: &Running) -> Vec<Value> {
    let mut all = Vec::new();
    for page in PAGES {
        all.push(registry.get(page).await.json());
    }
    all
}

#[tokio::test]
async fn everything_comes_back_after_a_crash_and_after_a_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut first = start_in(folder.path()).await;
    fill(&first).await;
    let index = first.get("/v1/health/service/web").await.index();
    let before = pages(&first).await;
    let crashed = copy_of(folder.path());
    first.shutdown.cancel();
    (&mut first.task).await.expect("it ends");
    for folder in [crashed.path(), folder.path()] {
        let again = start_in(folder).await;
        for (page, (was, is)) in PAGES.iter().zip(before.iter().zip(pages(&again).await)) {
            assert_eq!(*was, is, "{page}");
        }
        let got = again
            .get(&format!("/v1/health/service/web?index={index}&wait=60s"))
            .await;
        assert!(
            got.index() > index,
            "whoever waited with the old index is answered at once"
        );
        let newer = got.index();
        put(
            &again,
            "/v1/agent/service/register",
            r#"{"ID":"w3","Name":"web"}"#,
        )
        .await;
        assert!(again.get("/v1/health/service/web").await.index() > newer);
    }
}

#[tokio::test]
async fn a_ttl_that_runs_on_expires_after_the_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut first = start_in(folder.path()).await;
    let check = r#"{"Name":"short","TTL":"300ms","Status":"passing"}"#;
    put(&first, "/v1/agent/check/register", check).await;
    put(&first, "/v1/agent/check/pass/short", "").await;
    first.shutdown.cancel();
    (&mut first.task).await.expect("it ends");
    let again = start_in(folder.path()).await;
    let index = again.get("/v1/health/state/critical").await.index();
    let critical = again.get("/v1/health/state/critical").await;
    if !critical.text().contains("TTL expired") {
        let waited = again
            .get(&format!("/v1/health/state/critical?index={index}&wait=10s"))
            .await;
        assert!(waited.text().contains("TTL expired"), "{}", waited.text());
    }
}
