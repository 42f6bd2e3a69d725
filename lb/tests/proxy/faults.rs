//! Upstreams that misbehave: what is tried again, what is not, and that no client gets another's answer.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::harness::{GET, OK, Origin, Proxy, eventually, limits};

const POST: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";

/// An address where nobody listens.
async fn nobody() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    listener.local_addr().expect("bound")
}

#[tokio::test]
async fn a_failed_connect_goes_to_another_upstream_for_any_method() {
    let origin = Origin::start(|mut served| async move {
        while let Some(head) = served.request().await {
            if head.starts_with("POST") {
                served.exactly(2).await;
            }
            served.send(OK).await;
        }
    })
    .await;
    let proxy = Proxy::with(&[nobody().await, origin.address], limits()).await;
    let mut client = proxy.connect().await;
    for request in [GET, POST, GET, POST] {
        assert_eq!(client.ask(request).await.status, 200);
    }
    assert!(proxy.metrics().contains("turno_connect_failures_total"));
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_left_out() {
    let origin = Origin::named("a").await;
    let dead = nobody().await;
    let proxy = Proxy::with(&[dead, origin.address], limits()).await;
    let mut changes = proxy.balancer.changes();
    let mut client = proxy.connect().await;
    assert_eq!(client.ask(GET).await.status, 200);
    assert_eq!(client.ask(GET).await.status, 200);
    let ejected = async {
        while !changes
            .recv()
            .await
            .expect("a change")
            .to_string()
            .contains(&format!("{dead} cannot be reached"))
        {}
    };
    tokio::time::timeout(crate::harness::PATIENCE, ejected)
        .await
        .expect("it is told");
}

#[tokio::test]
async fn when_nobody_can_be_reached_the_answer_says_so() {
    let proxy = Proxy::with(&[nobody().await, nobody().await], limits()).await;
    let answer = proxy.connect().await.ask(GET).await;
    assert_eq!(answer.status, 502);
    assert!(
        answer
            .body
            .starts_with("502 Bad Gateway: cannot connect to "),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_in_time_is_504() {
    let origin = Origin::start(|mut served| async move {
        served.request().await;
        served.exactly(1).await;
    })
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    let answer = client.ask(GET).await;
    assert_eq!(answer.status, 504);
    assert!(
        answer.body.contains("did not answer within 0.8 s"),
        "{}",
        answer.body
    );
    let answer = client.ask(GET).await;
    assert_eq!(answer.status, 504, "the client's connection goes on");
    assert_eq!(
        origin.connections.load(Ordering::SeqCst),
        2,
        "the upstream's does not"
    );
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_loses_no_request() {
    let origin = Origin::start(|mut served| async move {
        let head = served.request().await.unwrap_or_default();
        if head.starts_with("POST") {
            served.exactly(2).await;
        }
        // Says nothing of closing, and closes.
        served.send(OK).await;
    })
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    for _ in 0..200 {
        assert_eq!(client.ask(GET).await.status, 200);
    }
}

#[tokio::test]
async fn a_reset_of_a_kept_connection_is_retried_for_get_and_never_for_post() {
    // The first request of a connection is answered, the second is read and answered with a reset.
    let script = |mut served: crate::harness::Served| async move {
        served.request().await;
        served.send(OK).await;
        if served.request().await.is_some() {
            served.reset();
        }
    };
    let origin = Origin::start(script).await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    for _ in 0..50 {
        assert_eq!(client.ask(GET).await.status, 200);
    }
    let mut sent = 0;
    let mut refused = 0;
    for _ in 0..10 {
        let mut client = proxy.connect().await;
        let answer = client
            .ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            .await;
        sent += 1;
        refused += usize::from(answer.status == 502);
    }
    let posts = origin
        .seen()
        .iter()
        .filter(|head| head.starts_with("POST"))
        .count();
    assert_eq!(posts, sent, "each POST reached the origin exactly once");
    assert!(refused > 0, "some of them met a reset");
}

#[tokio::test]
async fn an_upstream_that_dies_without_an_answer_costs_no_get() {
    let bad = Origin::start(|mut served| async move {
        served.request().await;
    })
    .await;
    let good = Origin::named("good").await;
    let proxy = Proxy::to(&[&bad, &good]).await;
    let mut client = proxy.connect().await;
    for _ in 0..20 {
        assert_eq!(client.ask(GET).await.body, "good");
    }
    let answers = [
        client.ask("PATCH / HTTP/1.1\r\nHost: x\r\n\r\n").await,
        client.ask("PATCH / HTTP/1.1\r\nHost: x\r\n\r\n").await,
    ];
    let mut statuses = answers.map(|a| a.status);
    statuses.sort_unstable();
    assert_eq!(
        statuses,
        [200, 502],
        "what may have been done is not done twice"
    );
}

#[tokio::test]
async fn answers_that_are_not_http_are_502() {
    for answer in [
        "+PONG\r\n",
        "SSH-2.0-x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nBad Header: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ] {
        let origin = Origin::always(answer).await;
        let proxy = Proxy::to(&[&origin]).await;
        let got = proxy.connect().await.ask(GET).await;
        assert_eq!(got.status, 502, "{answer:?} gave {got:?}");
        assert!(got.body.contains("not valid HTTP"), "{}", got.body);
    }
}

#[tokio::test]
async fn endless_interim_answers_have_an_end() {
    let origin = Origin::start(|mut served| async move {
        served.request().await;
        while served
            .stream
            .write_all(b"HTTP/1.1 102 Processing\r\n\r\n")
            .await
            .is_ok()
        {}
    })
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    let all = proxy
        .raw("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    assert!(all.contains("HTTP/1.1 502 "), "{all}");
    assert!(all.matches("102 Processing").count() <= 16);
}

#[tokio::test]
async fn interim_answers_do_not_swallow_the_final_one() {
    let origin = Origin::always(format!(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n{OK}"
    ))
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    client.send(GET).await;
    let hints = client.head().await.expect("hints");
    assert!(
        hints.starts_with("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n"),
        "{hints}"
    );
    // Nobody asked for 100: it is dropped.
    assert_eq!(client.answer().await.expect("an answer").body, "ok");
    let all = proxy.raw("GET / HTTP/1.0\r\n\r\n").await;
    assert!(
        all.starts_with("HTTP/1.1 200 OK\r\n"),
        "an old client gets no interim answer: {all}"
    );
}

#[tokio::test]
async fn bytes_behind_an_answer_reach_nobody() {
    for extra in ["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "x"] {
        let origin = Origin::always(format!("{OK}{extra}")).await;
        let proxy = Proxy::to(&[&origin]).await;
        let mut client = proxy.connect().await;
        for _ in 0..20 {
            assert_eq!(client.ask(GET).await.body, "ok");
        }
        assert_eq!(
            origin.connections.load(Ordering::SeqCst),
            20,
            "no connection was used twice"
        );
    }
}

#[tokio::test]
async fn bytes_that_come_late_reach_nobody() {
    let origin = Origin::start(|mut served| async move {
        while served.request().await.is_some() {
            served.send(OK).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            served
                .send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
                .await;
        }
    })
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    for _ in 0..5 {
        let mut client = proxy.connect().await;
        assert_eq!(client.ask(GET).await.body, "ok");
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

#[tokio::test]
async fn a_body_where_none_belongs_reaches_nobody() {
    let origin = Origin::start(|mut served| async move {
        while let Some(head) = served.request().await {
            let answer = match head.split(' ').nth(1) {
                Some("/head") => "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
                Some("/204") => "HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison",
                Some("/304") => "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison",
                _ => OK,
            };
            served.send(answer).await;
        }
    })
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    for (request, status) in [("HEAD /head", 200), ("GET /204", 204), ("GET /304", 304)] {
        client
            .send(format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        let head = client.head().await.expect("a head");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert_eq!(client.ask(GET).await.body, "ok");
    }
}

#[tokio::test]
async fn a_silent_client_delays_nobody() {
    let origin = Origin::named("a").await;
    let proxy = Proxy::to(&[&origin]).await;
    let _silent: Vec<_> = futures_util::future::join_all((0..50).map(|_| proxy.connect())).await;
    assert_eq!(proxy.connect().await.ask(GET).await.body, "a");
}

#[tokio::test]
async fn a_service_without_endpoints_is_503() {
    let proxy = Proxy::of(lb::config::Config {
        routes: vec!["/=web".parse().expect("a route")],
        fixed: vec![lb::config::FixedService {
            service: "web".into(),
            endpoints: Vec::new(),
        }],
        ..lb::config::Config::default()
    })
    .await;
    let answer = proxy.connect().await.ask(GET).await;
    let expected = "503 Service Unavailable: service web has no endpoint in rotation\n";
    assert_eq!((answer.status, answer.body.as_str()), (503, expected));
}

#[tokio::test]
async fn the_client_going_away_frees_the_upstream() {
    let origin = Origin::start(|mut served| async move {
        served.request().await;
        served
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(4_096));
        while served.stream.write_all(chunk.as_bytes()).await.is_ok() {}
    })
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    client.send(GET).await;
    assert!(client.head().await.is_some());
    drop(client);
    eventually("nothing is in flight", || {
        let metrics = proxy.metrics();
        let line = metrics
            .lines()
            .find(|l| l.starts_with("turno_upstream_in_flight{"))
            .unwrap_or_default();
        line.ends_with(" 0")
    })
    .await;
}
