//! Stopping and reloading without a failed request.

use std::time::Duration;

use lb::config::{Config, FixedService};

use crate::harness::{GET, OK, Origin, PATIENCE, Proxy};

#[tokio::test]
async fn a_request_in_flight_is_answered_and_the_rest_is_let_go() {
    let origin = Origin::start(|mut served| async move {
        while served.request().await.is_some() {
            tokio::time::sleep(Duration::from_millis(300)).await;
            served.send(OK).await;
        }
    })
    .await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut idle = proxy.connect().await;
    assert_eq!(idle.ask(GET).await.status, 200);
    let mut busy = proxy.connect().await;
    busy.send(GET).await;
    crate::harness::eventually("the request is in flight", || origin.seen().len() == 2).await;
    proxy.shutdown.cancel();
    let answer = busy.answer().await.expect("it is answered");
    assert_eq!(answer.body, "ok");
    assert!(
        answer.head.contains("connection: close\r\n"),
        "{}",
        answer.head
    );
    assert!(idle.has_ended().await);
    tokio::time::timeout(PATIENCE, proxy.balancer.stopped())
        .await
        .expect("it stops");
    assert!(
        tokio::net::TcpStream::connect(proxy.address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn who_has_just_connected_may_still_ask() {
    let origin = Origin::named("one").await;
    let proxy = Proxy::to(&[&origin]).await;
    let mut idle = proxy.connect().await;
    assert_eq!(idle.ask(GET).await.status, 200);
    let mut fresh = proxy.connect().await;
    let mut silent = proxy.connect().await;
    proxy.shutdown.cancel();
    assert!(idle.has_ended().await, "so the stop has begun");
    let answer = fresh.ask(GET).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("connection: close\r\n"),
        "{}",
        answer.head
    );
    assert!(silent.has_ended().await, "the moment is over");
    tokio::time::timeout(PATIENCE, proxy.balancer.stopped())
        .await
        .expect("it stops");
}

#[tokio::test]
async fn routes_change_without_a_new_start() {
    let (one, two) = (Origin::named("one").await, Origin::named("two").await);
    let fixed = |name: &str, origin: &Origin| FixedService {
        service: name.into(),
        endpoints: vec![origin.address],
    };
    let mut config = Config {
        routes: vec!["/=one".parse().expect("a route")],
        fixed: vec![fixed("one", &one), fixed("two", &two)],
        ..Config::default()
    };
    let mut proxy = Proxy::of(config.clone()).await;
    let mut client = proxy.connect().await;
    assert_eq!(client.ask(GET).await.body, "one");
    config.routes = vec!["/=two".parse().expect("a route")];
    config.listen = ([127, 0, 0, 1], 1).into();
    config.workers += 1;
    let needs_start = proxy.balancer.reload(config);
    assert!(needs_start.contains(&"listen"), "{needs_start:?}");
    let until = tokio::time::Instant::now() + PATIENCE;
    while client.ask(GET).await.body != "two" {
        assert!(
            tokio::time::Instant::now() < until,
            "the new route is never used"
        );
    }
}
