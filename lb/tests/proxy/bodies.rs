//! Bodies in both directions: streamed, framed anew, and cut where they were cut.

use std::time::Duration;

use crate::harness::{GET, OK, Origin, Proxy};

/// Reads the body a request announces, and answers with what it was.
async fn mirror() -> Origin {
    Origin::start(|mut served| async move {
        while let Some(head) = served.request().await {
            let body = match head.split("content-length: ").nth(1) {
                Some(length) => {
                    let length = length
                        .split("\r\n")
                        .next()
                        .and_then(|l| l.parse().ok())
                        .expect("a length");
                    served.exactly(length).await
                }
                None => served.until(b"0\r\n\r\n").await,
            };
            let Some(body) = body else { return };
            served
                .send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                ))
                .await;
            served.send(body).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_long_body_goes_both_ways_whole() {
    let origin = mirror().await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    let body: String = (0..400_000)
        .map(|i| char::from(b'a' + (i % 26) as u8))
        .collect();
    for _ in 0..3 {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let answer = client.ask(head + &body).await;
        assert_eq!((answer.status, answer.body == body), (200, true));
    }
    assert_eq!(
        origin.connections.load(std::sync::atomic::Ordering::SeqCst),
        1,
        "the connection is reused"
    );
}

#[tokio::test]
async fn chunks_are_framed_anew() {
    let origin = mirror().await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0002\r\nde\r\n0\r\n\r\n").await;
    let answer = client.answer().await.expect("an answer");
    assert!(
        answer.body.ends_with("0\r\n\r\n") && !answer.body.contains("ext"),
        "{:?}",
        answer.body
    );
    assert!(origin.seen()[0].contains("transfer-encoding: chunked\r\n"));
    assert!(!origin.seen()[0].contains("content-length"));
}

#[tokio::test]
async fn a_malformed_chunk_is_refused_and_the_upstream_sees_no_end() {
    let origin = mirror().await;
    let proxy = Proxy::to(&[&origin]).await;
    let all = proxy.raw("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n").await;
    assert!(all.starts_with("HTTP/1.1 400 "), "{all}");
}

#[tokio::test]
async fn a_body_without_a_length_gets_chunks() {
    let origin = Origin::start(|mut served| async move {
        served.request().await;
        served.send("HTTP/1.0 200 OK\r\n\r\nuntil").await;
        served.send(" the end").await;
    })
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        let answer = client.ask(GET).await;
        assert!(
            answer.head.contains("transfer-encoding: chunked\r\n"),
            "{}",
            answer.head
        );
        assert_eq!(answer.body, "until the end");
    }
}

#[tokio::test]
async fn many_small_chunks_and_trailers_come_through() {
    let mut answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n".to_owned();
    for i in 0..500 {
        answer.push_str(&format!("3\r\n{i:03}\r\n"));
    }
    answer.push_str("0\r\nX-Sum: 7\r\nContent-Length: 1\r\n\r\n");
    let origin = Origin::always(answer).await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    client.send(GET).await;
    let all = String::from_utf8(
        client
            .until(b"0\r\nX-Sum: 7\r\n\r\n")
            .await
            .expect("the last chunk"),
    )
    .expect("text");
    assert!(all.contains("499"));
    assert!(
        !all.to_ascii_lowercase().contains("content-length"),
        "{all}"
    );
    client.send(GET).await;
    assert!(client.until(b"0\r\nX-Sum: 7\r\n\r\n").await.is_some());
}

#[tokio::test]
async fn a_cut_answer_is_seen_as_cut() {
    for (answer, old) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            true,
        ),
    ] {
        let origin = Origin::start(move |mut served| async move {
            served.request().await;
            served.send(answer).await;
        })
        .await;
        let proxy = Proxy::to(&[&origin]).await;
        let mut client = proxy.connect().await;
        if old {
            client.send("GET / HTTP/1.0\r\n\r\n").await;
            let mut all = Vec::new();
            let end = tokio::io::AsyncReadExt::read_to_end(&mut client.stream, &mut all).await;
            assert!(
                end.is_err(),
                "an orderly end would look complete: {:?}",
                String::from_utf8_lossy(&all)
            );
        } else {
            client.send(GET).await;
            assert!(
                client.answer().await.is_none(),
                "{answer:?} looked complete"
            );
        }
    }
}

#[tokio::test]
async fn a_slow_reader_gets_everything() {
    let body = "x".repeat(3_000_000);
    let origin = Origin::always(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    socket2::SockRef::from(&client.stream)
        .set_recv_buffer_size(64 * 1024)
        .expect("a socket");
    client.send(GET).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let answer = client.answer().await.expect("all of it");
    assert_eq!(answer.body.len(), body.len());
    assert_eq!(client.ask(GET).await.body.len(), body.len());
}

#[tokio::test]
async fn expect_100_continue_is_relayed() {
    let origin = Origin::start(|mut served| async move {
        while let Some(head) = served.request().await {
            assert!(head.contains("expect: 100-continue\r\n"), "{head}");
            served.send("HTTP/1.1 100 Continue\r\n\r\n").await;
            served.exactly(4).await;
            served.send(OK).await;
        }
    })
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        client
            .send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
            .await;
        assert_eq!(
            client.head().await.as_deref(),
            Some("HTTP/1.1 100 Continue\r\n\r\n")
        );
        assert_eq!(client.ask("body").await.body, "ok");
    }
}

#[tokio::test]
async fn an_early_answer_is_relayed_and_neither_connection_serves_again() {
    let origin = Origin::start(|mut served| async move {
        served.request().await;
        served
            .send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
            .await;
        // Goes on reading, as a polite server does.
        while served.exactly(1).await.is_some() {}
    })
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nfirst bytes")
        .await;
    let answer = client.answer().await.expect("the early answer");
    assert_eq!((answer.status, answer.body.as_str()), (413, "no"));
    assert!(
        answer.head.contains("connection: close\r\n"),
        "{}",
        answer.head
    );
    assert!(client.has_ended().await);
    proxy.connect().await.send(GET).await;
    crate::harness::eventually("a second connection to the origin", || {
        origin.connections.load(std::sync::atomic::Ordering::SeqCst) == 2
    })
    .await;
}

#[tokio::test]
async fn an_early_answer_is_not_lost_to_a_client_that_goes_on_sending() {
    let origin = Origin::start(|mut served| async move {
        served.request().await;
        served
            .send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
            .await;
    })
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    for _ in 0..20 {
        let mut client = proxy.connect().await;
        client
            .send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
            .await;
        for _ in 0..10 {
            // The proxy may have ended its side, and still takes what comes.
            client.send(&[b'x'; 8_000]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(client.answer().await.expect("the early answer").status, 413);
    }
}

#[tokio::test]
async fn an_answer_may_begin_before_the_request_has_ended() {
    let origin = Origin::start(|mut served| async move {
        served.request().await;
        served
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        while let Some(part) = served.exactly(5).await {
            served
                .send(format!("5\r\n{}\r\n", String::from_utf8_lossy(&part)))
                .await;
            if part == b"last!" {
                served.send("0\r\n\r\n").await;
            }
        }
    })
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    client
        .send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n")
        .await;
    assert!(
        client
            .head()
            .await
            .expect("a head")
            .starts_with("HTTP/1.1 200")
    );
    for part in ["first", "again", "last!"] {
        client.send(part).await;
        assert!(client.until(part.as_bytes()).await.is_some(), "{part}");
    }
    assert!(client.until(b"0\r\n\r\n").await.is_some());
}
