//! Snapshots: everything comes back as it was, and what is no snapshot changes nothing.

use std::time::Duration;

use registrar::registry::RegistryConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Got, LIMIT, Running, config, start, start_with};

/// `PUT` of bytes.
async fn restore(registry: &Running, file: &[u8]) -> Got {
    let mut stream = TcpStream::connect(registry.address)
        .await
        .expect("it listens");
    let head = format!(
        "PUT /v1/snapshot HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        file.len()
    );
    stream
        .write_all(head.as_bytes())
        .await
        .expect("it is taken");
    stream.write_all(file).await.expect("it is taken");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    Got {
        status: head[9..12].parse().expect("a status line"),
        head: head.to_owned(),
        body: body.as_bytes().to_vec(),
    }
}

const PAGES: [&str; 6] = [
    "/v1/agent/services",
    "/v1/agent/checks",
    "/v1/catalog/service/far",
    "/v1/kv/?recurse",
    "/v1/session/list",
    "/v1/query",
];

#[tokio::test]
async fn everything_comes_back_and_whoever_waits_is_woken() {
    let registry = start().await;
    let web = r#"{"ID":"w1","Name":"web","Checks":[{"CheckID":"t","TTL":"1h","Status":"passing"},{"CheckID":"tcp","TCP":"127.0.0.1:1","Interval":"1h"}]}"#;
    registry.register(web).await;
    // It runs at once, and says the same each time.
    let ran = async {
        while !registry
            .get("/v1/agent/checks")
            .await
            .text()
            .contains("connect: connection refused")
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, ran).await.expect("the check runs");
    registry
        .put(
            "/v1/catalog/register",
            r#"{"Node":"n","Address":"10.0.0.1","Service":{"Service":"far"}}"#,
        )
        .await;
    registry.put("/v1/kv/a?flags=3", "value").await;
    registry.put("/v1/session/create", r#"{"TTL":"1h"}"#).await;
    registry
        .send(
            "POST",
            "/v1/query",
            "",
            r#"{"Name":"q","Service":{"Service":"web"}}"#,
        )
        .await;
    let mut before = Vec::new();
    for page in PAGES {
        before.push(registry.get(page).await.text());
    }
    let saved = registry.get("/v1/snapshot").await;
    assert_eq!(saved.status, 200);

    // On a fresh registry too, whose clock shows another time.
    let other = start().await;
    registry.put("/v1/kv/later", "x").await;
    registry.put("/v1/agent/service/deregister/w1", "").await;
    let index = registry.get("/v1/health/service/web").await.index();
    let waits = registry.waiting("/v1/health/service/web", index).await;
    for registry in [&registry, &other] {
        let got = restore(registry, &saved.body).await;
        assert_eq!(got.status, 200, "{}", got.text());
        for (page, before) in PAGES.iter().zip(&before) {
            assert_eq!(registry.get(page).await.text(), *before, "{page}");
        }
    }
    let woken = waits.await.expect("no panic");
    assert!(woken.index() > index, "{woken:?}");
    assert_eq!(woken.json().as_array().map(Vec::len), Some(1));
    // The TTL check is alive.
    let pass = other.put("/v1/agent/check/warn/t", "").await;
    assert_eq!(pass.status, 200, "{}", pass.text());
}

#[tokio::test]
async fn what_is_no_snapshot_changes_nothing() {
    let registry = start().await;
    registry.put("/v1/kv/a", "1").await;
    let mut file = registry.get("/v1/snapshot").await.body;
    registry.put("/v1/kv/a", "2").await;
    let middle = file.len() / 2;
    file[middle] ^= 1;
    for (bad, word) in [
        (&file[..], "damaged"),
        (&file[..20], "cut off"),
        (&b"\x1f\x8b\x08"[..], "Consul"),
        (&b""[..], "cut off"),
    ] {
        let got = restore(&registry, bad).await;
        assert_eq!(got.status, 400, "{}", got.text());
        assert!(got.text().contains(word), "{}", got.text());
    }
    assert_eq!(registry.get("/v1/kv/a?raw").await.text(), "2");
}

#[tokio::test]
async fn what_was_restored_is_on_disk() {
    let source = start().await;
    source.put("/v1/kv/a", "old").await;
    let saved = source.get("/v1/snapshot").await.body;

    let folder = tempfile::tempdir().expect("a folder");
    let durable = |path: &std::path::Path| RegistryConfig {
        data_dir: Some(path.to_owned()),
        ..config()
    };
    let registry = start_with(durable(folder.path())).await;
    registry.put("/v1/kv/a", "new").await;
    registry.put("/v1/kv/b", "new").await;
    assert_eq!(restore(&registry, &saved).await.status, 200);
    registry.put("/v1/kv/c", "after").await;

    // As a killed process would leave it.
    let copy = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(folder.path()).expect("a folder") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("a copy");
    }
    let again = start_with(durable(copy.path())).await;
    for (key, status, value) in [("a", 200, "old"), ("b", 404, ""), ("c", 200, "after")] {
        let got = again.get(&format!("/v1/kv/{key}?raw")).await;
        assert_eq!((got.status, got.text().as_str()), (status, value), "{key}");
    }
}

#[tokio::test]
async fn a_snapshot_of_another_node_is_refused() {
    let other = start_with(RegistryConfig {
        node: "there".into(),
        ..config()
    });
    let saved = other.await.get("/v1/snapshot").await.body;
    let registry = start().await;
    registry.put("/v1/kv/a", "1").await;
    let got = restore(&registry, &saved).await;
    assert_eq!(got.status, 400, "{}", got.text());
    assert!(got.text().contains("--node"), "{}", got.text());
    assert_eq!(registry.get("/v1/kv/a?raw").await.text(), "1");
}
