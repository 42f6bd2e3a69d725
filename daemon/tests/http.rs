//! The HTTP listener against raw sockets: what a client sees within, at and beyond the limits.

use std::{net::SocketAddr, time::Duration};

use daemon::http::{Limits, Reply, read_body, serve, text};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Beyond this a test has failed rather than been slow.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    /// Lets `/wait` answer.
    release: CancellationToken,
    /// Cancelled once `/wait` was asked.
    waiting: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    fn start(limits: Limits) -> Self {
        let listener =
            daemon::net::listen("127.0.0.1:0".parse().expect("a literal")).expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let shutdown = CancellationToken::new();
        let (release, waiting) = (CancellationToken::new(), CancellationToken::new());
        let (body_bytes, tokens) = (limits.body_bytes, (release.clone(), waiting.clone()));
        let handler = move |request, _client| answer(request, body_bytes, tokens.clone());
        let task = tokio::spawn(serve(listener, limits, handler, shutdown.clone()));
        Self {
            address,
            shutdown,
            release,
            waiting,
            task,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address)
            .await
            .expect("the server accepts")
    }

    async fn ended(self) {
        timeout(PATIENCE, self.task)
            .await
            .expect("it drains")
            .expect("no panic");
    }
}

async fn answer(
    request: Request<Incoming>,
    body_bytes: usize,
    (release, waiting): (CancellationToken, CancellationToken),
) -> Reply {
    match request.uri().path() {
        "/panic" => panic!("on request"),
        "/wait" => {
            waiting.cancel();
            release.cancelled().await;
            text(StatusCode::OK, "waited")
        }
        "/body" => match read_body(request.into_body(), body_bytes).await {
            Ok(body) => text(StatusCode::OK, format!("{} bytes", body.len())),
            Err(error) => text(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
        },
        path => text(StatusCode::OK, path),
    }
}

async fn send(stream: &mut TcpStream, text: &str) {
    stream
        .write_all(text.as_bytes())
        .await
        .expect("the server reads");
}

async fn get(stream: &mut TcpStream, path: &str) -> String {
    send(stream, &format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n")).await;
    response(stream).await
}

/// One response, by its content length; what came before the end when the server closes early.
async fn response(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let whole = async {
        while !is_whole(&bytes) {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                break;
            }
        }
    };
    timeout(PATIENCE, whole).await.expect("an answer or an end");
    String::from_utf8(bytes).expect("these answers are text")
}

fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length
        .and_then(|l| l.parse::<usize>().ok())
        .is_none_or(|l| body.len() >= l)
}

/// Whether the server ends the connection without another byte.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    matches!(
        timeout(PATIENCE, stream.read(&mut byte)).await,
        Ok(Ok(0) | Err(_))
    )
}

#[tokio::test]
async fn one_connection_takes_many_requests() {
    let server = Server::start(Limits::default());
    let mut client = server.connect().await;
    for path in ["/a", "/b", "/c"] {
        let got = get(&mut client, path).await;
        assert!(
            got.starts_with("HTTP/1.1 200 OK\r\n") && got.ends_with(path),
            "{got}"
        );
    }
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_connection_lives_on() {
    daemon::telemetry::init(daemon::telemetry::LogFormat::Text);
    let server = Server::start(Limits::default());
    let mut client = server.connect().await;
    let got = get(&mut client, "/panic").await;
    assert!(got.starts_with("HTTP/1.1 500 "), "{got}");
    assert!(get(&mut client, "/next").await.ends_with("/next"));
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let server = Server::start(Limits {
        body_bytes: 8,
        ..Limits::default()
    });
    for (length, want) in [(8, "8 bytes"), (9, "the body is larger than 8 bytes")] {
        let mut client = server.connect().await;
        let body = "x".repeat(length);
        let head = format!("POST /body HTTP/1.1\r\nhost: t\r\ncontent-length: {length}\r\n\r\n");
        send(&mut client, &(head + &body)).await;
        let got = response(&mut client).await;
        assert!(got.ends_with(want), "{got}");
    }
}

#[tokio::test]
async fn what_is_no_http_or_too_large_is_refused() {
    let server = Server::start(Limits {
        head_bytes: 8 * 1024,
        ..Limits::default()
    });
    let large = format!(
        "GET / HTTP/1.1\r\nhost: t\r\nx: {}\r\n\r\n",
        "x".repeat(20 * 1024)
    );
    let cases = [
        ("this is no http\r\n\r\n", "HTTP/1.1 400 "),
        (&large, "HTTP/1.1 431 "),
    ];
    for (sent, want) in cases {
        let mut client = server.connect().await;
        // The server may close while we still write; what it answered is what counts.
        let _ = client.write_all(sent.as_bytes()).await;
        let got = response(&mut client).await;
        assert!(got.starts_with(want), "{got}");
    }
    assert!(
        get(&mut server.connect().await, "/alive")
            .await
            .ends_with("/alive")
    );
}

#[tokio::test]
async fn a_client_that_says_nothing_is_cut() {
    let limits = Limits {
        header_read: Duration::from_millis(50),
        ..Limits::default()
    };
    let server = Server::start(limits);
    let mut silent = server.connect().await;
    let mut half = server.connect().await;
    send(&mut half, "GET / HTTP/1.1\r\nho").await;
    // What it says before it closes (nothing, or 408) is free; that it closes is not.
    for client in [&mut silent, &mut half] {
        let mut rest = Vec::new();
        let end = timeout(PATIENCE, client.read_to_end(&mut rest)).await;
        assert!(end.is_ok(), "still open");
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let server = Server::start(Limits {
        connections: 1,
        ..Limits::default()
    });
    let mut first = server.connect().await;
    assert!(get(&mut first, "/first").await.ends_with("/first"));
    let mut second = server.connect().await;
    send(&mut second, "GET /second HTTP/1.1\r\nhost: t\r\n\r\n").await;
    // The first one has the only permit: it is answered again, the second is not.
    assert!(get(&mut first, "/again").await.ends_with("/again"));
    let mut byte = [0];
    let early = timeout(Duration::from_millis(50), second.peek(&mut byte)).await;
    assert!(early.is_err(), "answered beyond the limit");
    drop(first);
    assert!(response(&mut second).await.ends_with("/second"));
}

#[tokio::test]
async fn a_stop_closes_idle_connections_and_lets_requests_finish() {
    let server = Server::start(Limits {
        drain: PATIENCE,
        ..Limits::default()
    });
    let (mut idle, mut busy) = (server.connect().await, server.connect().await);
    let mut fresh = server.connect().await;
    assert!(get(&mut idle, "/idle").await.ends_with("/idle"));
    send(&mut busy, "GET /wait HTTP/1.1\r\nhost: t\r\n\r\n").await;
    timeout(PATIENCE, server.waiting.cancelled())
        .await
        .expect("the handler runs");
    server.shutdown.cancel();
    assert!(is_closed(&mut idle).await);
    assert!(is_closed(&mut fresh).await);
    server.release.cancel();
    assert!(response(&mut busy).await.ends_with("waited"));
    assert!(is_closed(&mut busy).await);
    let address = server.address;
    server.ended().await;
    assert!(
        TcpStream::connect(address).await.is_err(),
        "still listening"
    );
}

#[tokio::test]
async fn a_stop_cuts_what_does_not_finish() {
    let server = Server::start(Limits {
        drain: Duration::from_millis(50),
        ..Limits::default()
    });
    let mut busy = server.connect().await;
    send(&mut busy, "GET /wait HTTP/1.1\r\nhost: t\r\n\r\n").await;
    timeout(PATIENCE, server.waiting.cancelled())
        .await
        .expect("the handler runs");
    server.shutdown.cancel();
    assert!(is_closed(&mut busy).await);
    server.ended().await;
}
