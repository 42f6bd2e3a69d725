//! What one client may take: time, bytes, connections.

use std::time::Duration;

use lb::config::Limits;

use crate::harness::{GET, Origin, Proxy, limits};

#[tokio::test]
async fn a_head_that_does_not_come_in_time_is_408() {
    let origin = Origin::named("a").await;
    let proxy = Proxy::to(&[&origin]).await;
    let all = proxy.raw("GET / HTTP/1.1\r\nHos").await;
    assert!(all.starts_with("HTTP/1.1 408 "), "{all}");
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test]
async fn dripping_bytes_does_not_buy_time() {
    let origin = Origin::named("a").await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    let started = tokio::time::Instant::now();
    client.send("GET / HTTP/1.1\r\nX: ").await;
    loop {
        let (mut reader, mut writer) = client.stream.split();
        if tokio::io::AsyncWriteExt::write_all(&mut writer, b"x")
            .await
            .is_err()
        {
            break;
        }
        let mut byte = [0];
        let read = tokio::io::AsyncReadExt::read(&mut reader, &mut byte);
        if tokio::time::timeout(Duration::from_millis(20), read)
            .await
            .is_ok()
        {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(5), "it drips on");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let origin = Origin::named("a").await;
    let proxy = Proxy::with(
        &[origin.address],
        Limits {
            idle: Duration::from_millis(300),
            ..limits()
        },
    )
    .await;
    let mut client = proxy.connect().await;
    assert_eq!(client.ask(GET).await.body, "a");
    assert!(client.has_ended().await);
}

#[tokio::test]
async fn heads_have_a_longest_size() {
    let origin = Origin::named("a").await;
    let proxy = Proxy::to(&[&origin]).await;
    let long = "x".repeat(17_000);
    let all = proxy
        .raw(format!("GET / HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"))
        .await;
    assert!(all.starts_with("HTTP/1.1 431 "), "{all}");
    let all = proxy.raw(format!("GET /{long}")).await;
    assert!(all.starts_with("HTTP/1.1 414 "), "{all}");
    let fits = "x".repeat(15_000);
    let all = proxy
        .raw(format!(
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: {fits}\r\n\r\n"
        ))
        .await;
    assert!(all.starts_with("HTTP/1.1 200 "), "{all}");
}

#[tokio::test]
async fn an_upstreams_head_has_a_longest_size() {
    let origin = Origin::always(format!(
        "HTTP/1.1 200 OK\r\nX: {}\r\n\r\n",
        "x".repeat(70_000)
    ))
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    assert_eq!(proxy.connect().await.ask(GET).await.status, 502);
}

#[tokio::test]
async fn connections_over_the_limit_wait_their_turn() {
    let origin = Origin::named("a").await;
    // One for each of the two workers.
    let proxy = Proxy::with(
        &[origin.address],
        Limits {
            connections: 2,
            ..limits()
        },
    )
    .await;
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(proxy.connect().await);
    }
    for client in &mut held {
        client
            .send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await;
    }
    for client in &mut held {
        assert_eq!(client.answer().await.expect("its turn comes").body, "a");
    }
}
