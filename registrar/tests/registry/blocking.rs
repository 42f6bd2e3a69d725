//! Waiting queries: who wakes, who does not, and what ends a wait.

use std::time::{Duration, Instant};

use crate::support::{LIMIT, start};

#[tokio::test]
async fn a_change_wakes_exactly_the_readers_of_what_it_touched() {
    let registry = start().await;
    registry
        .register(r#"{"Name":"a","Check":{"TTL":"10m"}}"#)
        .await;
    registry.register(r#"{"Name":"b"}"#).await;
    let a = registry.get("/v1/health/service/a").await.index();
    let b = registry.get("/v1/health/service/b").await.index();
    let services = registry.get("/v1/catalog/services").await.index();
    let reader_a = registry.waiting("/v1/health/service/a", a).await;
    let reader_b = registry.waiting("/v1/health/service/b", b).await;
    let reader_services = registry.waiting("/v1/catalog/services", services).await;
    registry.put("/v1/agent/check/pass/service:a", "").await;
    let got = reader_a.await.expect("no panic");
    assert!(got.index() > a);
    assert_eq!(got.json()[0]["Checks"][1]["Status"], "passing");
    // The others still wait: the same change again, and one that says nothing new, have come and gone.
    registry
        .put("/v1/agent/check/pass/service:a?note=more", "")
        .await;
    registry.register(r#"{"Name":"b"}"#).await;
    assert!(!reader_b.is_finished() && !reader_services.is_finished());
    registry.put("/v1/agent/service/deregister/b", "").await;
    let gone = reader_b.await.expect("no panic");
    assert_eq!(gone.text(), "[]");
    assert!(gone.index() > b);
    assert!(
        reader_services
            .await
            .expect("no panic")
            .json()
            .get("b")
            .is_none()
    );
}

#[tokio::test]
async fn a_service_that_appears_wakes_who_waited_for_it() {
    let registry = start().await;
    let unknown = registry.get("/v1/health/service/new").await;
    assert_eq!(unknown.text(), "[]");
    let reader = registry
        .waiting("/v1/health/service/new", unknown.index())
        .await;
    registry.register(r#"{"Name":"other"}"#).await;
    assert!(!reader.is_finished());
    registry.register(r#"{"Name":"new"}"#).await;
    let got = reader.await.expect("no panic");
    assert_eq!(got.json()[0]["Service"]["Service"], "new");
}

#[tokio::test]
async fn a_wait_ends_with_the_index_it_had() {
    let registry = start().await;
    let index = registry.get("/v1/catalog/services").await.index();
    let began = Instant::now();
    let got = registry
        .get(&format!("/v1/catalog/services?index={index}&wait=50ms"))
        .await;
    assert!(began.elapsed() >= Duration::from_millis(50));
    assert_eq!(got.index(), index);
    let future = registry
        .get(&format!(
            "/v1/catalog/services?index={}&wait=50ms",
            index + 100
        ))
        .await;
    assert_eq!(
        future.index(),
        index,
        "an index from the future waits and is then told the real one"
    );
    let past = registry.get("/v1/catalog/services?index=0&wait=1h").await;
    assert_eq!(past.index(), index, "0 does not wait");
}

#[tokio::test]
async fn many_waiters_of_one_service_all_wake() {
    let registry = start().await;
    registry.register(r#"{"Name":"web","Port":1}"#).await;
    let index = registry.get("/v1/health/service/web").await.index();
    let mut readers = Vec::new();
    for _ in 0..100 {
        readers.push(registry.waiting("/v1/health/service/web", index).await);
    }
    registry.register(r#"{"Name":"web","Port":2}"#).await;
    for reader in readers {
        let got = reader.await.expect("no panic");
        assert_eq!(got.json()[0]["Service"]["Port"], 2);
    }
}

#[tokio::test]
async fn a_stop_answers_who_waits_and_ends() {
    let mut registry = start().await;
    let index = registry.get("/v1/catalog/nodes").await.index();
    let reader = registry.waiting("/v1/catalog/nodes", index).await;
    let began = Instant::now();
    registry.shutdown.cancel();
    let got = reader.await.expect("no panic");
    assert_eq!((got.status, got.index()), (200, index));
    tokio::time::timeout(LIMIT, &mut registry.task)
        .await
        .expect("it ends")
        .expect("no panic");
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "not by the drain's limit"
    );
}
