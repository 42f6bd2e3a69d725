//! Requests and answers that pass, and what is changed in them.

use crate::harness::{Client, GET, OK, Origin, Proxy};
use lb::config::Config;

#[tokio::test]
async fn replicas_take_turns_over_one_connection_and_over_many() {
    let origins = [
        Origin::named("a").await,
        Origin::named("b").await,
        Origin::named("c").await,
    ];
    let proxy = Proxy::to(&[&origins[0], &origins[1], &origins[2]]).await;
    let mut client = proxy.connect().await;
    let mut counts = std::collections::HashMap::new();
    for _ in 0..300 {
        *counts.entry(client.ask(GET).await.body).or_insert(0) += 1;
    }
    for _ in 0..30 {
        *counts
            .entry(proxy.connect().await.ask(GET).await.body)
            .or_insert(0) += 1;
    }
    assert_eq!(
        counts.values().copied().collect::<Vec<_>>(),
        [110, 110, 110],
        "{counts:?}"
    );
}

#[tokio::test]
async fn the_upstream_sees_a_request_of_our_own_making() {
    let origin = Origin::named("a").await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    let answer = client
        .ask("GET /p?q HTTP/1.1\r\nHOST: shop:80\r\nConnection: keep-alive, x-drop\r\nX-Drop: 1\r\nX-Keep: 2\r\n\r\n")
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        origin.seen(),
        [
            "GET /p?q HTTP/1.1\r\nhost: shop:80\r\nX-Keep: 2\r\nvia: 1.1 turno\r\nx-forwarded-for: 127.0.0.1\r\n\
          x-forwarded-proto: http\r\nx-forwarded-host: shop:80\r\n\r\n"
        ]
    );
    assert!(
        answer.head.contains("via: 1.1 turno\r\n"),
        "{}",
        answer.head
    );
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start(|mut served| async move {
        while let Some(head) = served.request().await {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let body = if head.contains("content-length: 3") {
                served.exactly(3).await.unwrap_or_default()
            } else {
                Vec::new()
            };
            let text = format!("{path}{}", String::from_utf8_lossy(&body));
            served
                .send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
                    text.len()
                ))
                .await;
        }
    })
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    client
        .send(
            "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
             \r\nGET /3 HTTP/1.1\r\nHost: x\r\n\r\nGET /4 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /5",
        )
        .await;
    for expected in ["/1", "/2abc", "/3", "/4"] {
        assert_eq!(client.answer().await.expect("an answer").body, expected);
    }
    assert!(client.has_ended().await);
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let origin = Origin::named("a").await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        for byte in GET.bytes() {
            client.send([byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(client.answer().await.expect("an answer").body, "a");
    }
}

#[tokio::test]
async fn old_clients_get_what_they_understand() {
    let origin = Origin::always(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
    )
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    let all = proxy
        .raw("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        .await;
    assert!(
        all.contains("connection: close\r\n") && all.ends_with("\r\n\r\nabc"),
        "{all}"
    );
    assert!(!all.contains("chunked"), "{all}");
    let measured = Origin::named("a").await;
    let proxy = Proxy::to(&[&measured]).await;
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        let answer = client
            .ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .await;
        assert!(
            answer.head.contains("connection: keep-alive\r\n"),
            "{}",
            answer.head
        );
    }
    assert!(
        measured.seen()[0].contains("host: web\r\n"),
        "{:?}",
        measured.seen()
    );
}

#[tokio::test]
async fn head_and_bodiless_answers_keep_the_connection() {
    let origin = Origin::start(|mut served| async move {
        while let Some(head) = served.request().await {
            let answer = match head.split(' ').next() {
                Some("HEAD") => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
                Some("DELETE") => "HTTP/1.1 204 No Content\r\n\r\n",
                Some("PUT") => "HTTP/1.1 304 Not Modified\r\n\r\n",
                _ => OK,
            };
            served.send(answer).await;
        }
    })
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let head = client.head().await.expect("a head");
    assert!(head.contains("content-length: 9\r\n"), "{head}");
    for method in ["DELETE", "PUT", "GET"] {
        let answer = client
            .ask(format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        assert_eq!(
            answer.status,
            match method {
                "DELETE" => 204,
                "PUT" => 304,
                _ => 200,
            }
        );
    }
}

#[tokio::test]
async fn routes_by_host_and_path_with_a_prefix_stripped() {
    let (api, web) = (Origin::named("api").await, Origin::named("web").await);
    let fixed = |name: &str, origin: &Origin| lb::config::FixedService {
        service: name.into(),
        endpoints: vec![origin.address],
    };
    let proxy = Proxy::of(Config {
        routes: ["web.example/=web", "/api=api,strip-prefix"]
            .map(|r| r.parse().expect("a route"))
            .to_vec(),
        fixed: vec![fixed("api", &api), fixed("web", &web)],
        ..Config::default()
    })
    .await;
    let mut client = proxy.connect().await;
    let ask = async |client: &mut Client, host: &str, path: &str| {
        client
            .ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await
    };
    assert_eq!(ask(&mut client, "web.example", "/api/x").await.body, "web");
    assert_eq!(ask(&mut client, "other", "/api/x").await.body, "api");
    assert_eq!(ask(&mut client, "other", "//%61pi//y?z").await.body, "api");
    let lost = ask(&mut client, "other", "/apix").await;
    assert_eq!(
        (lost.status, lost.body.as_str()),
        (404, "404 Not Found: no route for this host and path\n")
    );
    assert_eq!(ask(&mut client, "other", "/api").await.body, "api");
    let paths: Vec<_> = api
        .seen()
        .iter()
        .map(|head| head.split(' ').nth(1).unwrap_or_default().to_owned())
        .collect();
    assert_eq!(paths, ["/x", "/y?z", "/"]);
}

#[tokio::test]
async fn what_two_parties_could_read_differently_never_reaches_an_upstream() {
    let origin = Origin::named("a").await;
    let proxy = Proxy::to(&[&origin]).await;
    for request in [
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551616\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /a/../b HTTP/1.1\r\nHost: x\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        let all = proxy.raw(request).await;
        assert_eq!(
            all.matches("HTTP/1.1 ").count(),
            1,
            "{request:?} gave {all}"
        );
        assert!(
            all.starts_with("HTTP/1.1 4") && all.contains("connection: close\r\n"),
            "{request:?} gave {all}"
        );
    }
    assert_eq!(origin.seen(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_client_learns_which_protocol_a_426_asks_for() {
    let origin = Origin::always(
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        let answer = client.ask(GET).await;
        assert_eq!(answer.status, 426);
        let says = answer.head.contains("\r\nupgrade: websocket\r\n");
        assert!(
            says && answer.head.contains("\r\nconnection: upgrade\r\n"),
            "{}",
            answer.head
        );
    }
}
