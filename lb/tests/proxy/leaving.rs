//! Clients that leave while they wait for an answer, and those that only look as if they did.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lb::config::{Config, FixedService, Limits};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use crate::harness::{Client, GET, OK, Origin, PATIENCE, Proxy, eventually, limits};

/// An origin that answers when it is allowed to, and sees when nobody waits for its answer any more.
struct Slow {
    origin: Origin,
    /// Answers it may give.
    allowed: Arc<Semaphore>,
    /// Requests that were given up.
    given_up: Arc<AtomicUsize>,
}

impl Slow {
    /// `body`: bytes of every request's body.
    async fn start(body: usize) -> Self {
        let allowed = Arc::new(Semaphore::new(0));
        let given_up = Arc::new(AtomicUsize::new(0));
        let (permits, count) = (Arc::clone(&allowed), Arc::clone(&given_up));
        let origin = Origin::start(move |mut served| {
            let (permits, count) = (Arc::clone(&permits), Arc::clone(&count));
            async move {
                while served.request().await.is_some() {
                    served.exactly(body).await;
                    tokio::select! {
                        permit = permits.acquire() => permit.expect("it stays open").forget(),
                        _ = served.exactly(1) => {
                            count.fetch_add(1, Ordering::SeqCst);
                            return;
                        }
                    }
                    served.send(OK).await;
                }
            }
        });
        Self {
            origin: origin.await,
            allowed,
            given_up,
        }
    }

    /// A balancer in front of it, which waits longer for an answer than any test.
    async fn proxy(&self) -> Proxy {
        let limits = Limits {
            response: PATIENCE * 10,
            ..limits()
        };
        Proxy::with(&[self.origin.address], limits).await
    }

    async fn has_requests(&self, count: usize) {
        eventually("the request comes", || self.origin.seen().len() >= count).await;
    }

    async fn was_given_up(&self, count: usize) {
        eventually("nobody waits any more", || {
            self.given_up.load(Ordering::SeqCst) == count
        })
        .await;
    }
}

/// As a process that is killed with bytes unread, or a host that gives up.
fn reset(client: Client) {
    let socket = socket2::SockRef::from(&client.stream);
    socket
        .set_linger(Some(Duration::ZERO))
        .expect("a connected socket");
}

const LAST: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const OLD: &str = "GET / HTTP/1.0\r\n\r\n";

#[tokio::test]
async fn a_client_that_hangs_up_ends_its_request() {
    let slow = Slow::start(0).await;
    let proxy = slow.proxy().await;
    let mut client = proxy.connect().await;
    client.send(GET).await;
    slow.has_requests(1).await;
    drop(client);
    slow.was_given_up(1).await;
    eventually("it is counted", || {
        let line = "turno_failures_total{reason=\"client_left\"} 1";
        proxy.metrics().contains(line)
    })
    .await;
    // The next one is served as ever.
    slow.allowed.add_permits(1);
    assert_eq!(proxy.connect().await.ask(GET).await.body, "ok");
}

#[tokio::test]
async fn so_does_one_that_has_sent_a_body_or_gone_on_to_its_next_request() {
    let slow = Slow::start(2).await;
    let proxy = slow.proxy().await;
    let mut client = proxy.connect().await;
    let post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";
    client.send(post).await;
    slow.has_requests(1).await;
    drop(client);
    slow.was_given_up(1).await;

    let slow = Slow::start(0).await;
    let proxy = slow.proxy().await;
    let mut client = proxy.connect().await;
    client.send(GET.repeat(3)).await;
    slow.has_requests(1).await;
    drop(client);
    slow.was_given_up(1).await;
}

#[tokio::test]
async fn a_reset_ends_any_request() {
    let slow = Slow::start(0).await;
    let proxy = slow.proxy().await;
    for (at, request) in [GET, LAST, OLD].into_iter().enumerate() {
        let mut client = proxy.connect().await;
        client.send(request).await;
        slow.has_requests(at + 1).await;
        reset(client);
        slow.was_given_up(at + 1).await;
    }
}

#[tokio::test]
async fn who_asks_for_nothing_more_may_close_their_side_and_wait() {
    let slow = Slow::start(0).await;
    let proxy = slow.proxy().await;
    for (at, request) in [LAST, OLD].into_iter().enumerate() {
        let mut client = proxy.connect().await;
        client.send(request).await;
        client.stream.shutdown().await.expect("it is open");
        slow.has_requests(at + 1).await;
        slow.allowed.add_permits(1);
        let answer = client.answer().await.expect("an answer");
        assert_eq!((answer.status, &*answer.body), (200, "ok"));
        assert!(client.has_ended().await);
        // Also when they close it only while they wait.
        let mut client = proxy.connect().await;
        client.send(request).await;
        slow.has_requests(at + 1).await;
        client.stream.shutdown().await.expect("it is open");
        slow.allowed.add_permits(1);
        assert_eq!(client.answer().await.expect("an answer").body, "ok");
    }
    slow.was_given_up(0).await;
}

#[tokio::test]
async fn who_wanted_to_go_on_and_closed_their_side_is_told_why_there_is_no_answer() {
    let slow = Slow::start(0).await;
    let proxy = slow.proxy().await;
    let mut client = proxy.connect().await;
    client.send(GET).await;
    client.stream.shutdown().await.expect("it is open");
    let answer = client.answer().await.expect("an answer");
    assert_eq!(answer.status, 499);
    assert!(answer.body.contains("closed"), "{}", answer.body);
    assert!(client.has_ended().await);
}

#[tokio::test]
async fn unless_the_configuration_lets_them() {
    let slow = Slow::start(0).await;
    let proxy = Proxy::of(Config {
        workers: 1,
        routes: vec!["/=web".parse().expect("a route")],
        fixed: vec![FixedService {
            service: "web".into(),
            endpoints: vec![slow.origin.address],
        }],
        abort_on_close: false,
        ..Config::default()
    })
    .await;
    let mut client = proxy.connect().await;
    client.send(GET).await;
    client.stream.shutdown().await.expect("it is open");
    slow.has_requests(1).await;
    slow.allowed.add_permits(1);
    assert_eq!(client.answer().await.expect("an answer").body, "ok");
    // A reset is no half of anything.
    let mut client = proxy.connect().await;
    client.send(GET).await;
    slow.has_requests(2).await;
    reset(client);
    slow.was_given_up(1).await;
}

#[tokio::test]
async fn further_requests_are_no_sign_of_leaving() {
    let slow = Slow::start(0).await;
    let proxy = slow.proxy().await;
    let mut client = proxy.connect().await;
    client.send(GET).await;
    slow.has_requests(1).await;
    client.send(GET.repeat(2)).await;
    for _ in 0..3 {
        slow.allowed.add_permits(1);
        assert_eq!(client.answer().await.expect("an answer").body, "ok");
    }
    slow.was_given_up(0).await;
}
