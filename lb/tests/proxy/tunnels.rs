//! Connections that change their protocol.

use crate::harness::{Origin, Proxy};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";

#[tokio::test]
async fn an_agreed_upgrade_becomes_a_tunnel_both_ways() {
    let origin = Origin::start(|mut served| async move {
        let head = served.request().await.unwrap_or_default();
        assert!(head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"), "{head}");
        served
            .send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\n\r\nhello")
            .await;
        while let Some(line) = served.until(b"\n").await {
            served.send([b"echo ", &line[..]].concat()).await;
        }
    })
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    client.send(format!("{UPGRADE}early\n")).await;
    let head = client.head().await.expect("a head");
    assert!(
        head.starts_with("HTTP/1.1 101 ") && head.contains("Sec-WebSocket-Accept: a\r\n"),
        "{head}"
    );
    assert!(head.contains("upgrade: websocket\r\n"), "{head}");
    assert!(client.until(b"helloecho early\n").await.is_some());
    client.send("again\n").await;
    assert!(client.until(b"echo again\n").await.is_some());
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream)
        .await
        .expect("our side ends");
    assert!(client.has_ended().await);
}

#[tokio::test]
async fn a_refused_upgrade_is_an_answer_like_any_other() {
    let origin = Origin::named("plain").await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    assert_eq!(client.ask(UPGRADE).await.body, "plain");
    // What follows is a request again, and not carried raw.
    let answer = client
        .ask("GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    assert_eq!(answer.body, "plain");
    assert!(origin.seen()[1].contains("via: 1.1 turno\r\n"));
}
