//! The kit and `hello` over real sockets, spoken to in plain bytes.

use std::net::SocketAddr;
use std::time::Duration;

use daemon::http::Limits;
use microservice::{App, Request, RouteError, hello};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), RouteError>>,
}

async fn start(app: App) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(app.serve(listener, shutdown.clone()));
    Running {
        address,
        shutdown,
        task,
    }
}

fn hello() -> App {
    hello::app(hello::Config {
        instance: "hello-7".into(),
        message: None,
    })
}

impl Running {
    /// Sends bytes on a connection of their own and returns all that comes back.
    async fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("it answers")
            .expect("it closes cleanly");
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let length = body.len();
        self.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Type: text/x-test\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    async fn stop(self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("it ends");
        ended
            .expect("it does not panic")
            .expect("its routes are right");
    }
}

#[tokio::test]
async fn hello_names_its_instance_and_address() {
    let running = start(hello()).await;
    let answer = running.ask("GET", "/", "").await;
    let line = format!("Hello from hello-7 ({})\n", running.address);
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(&line),
        "{answer}"
    );
    running.stop().await;
}

#[tokio::test]
async fn one_connection_carries_many_requests_and_head_sends_no_body() {
    let running = start(hello()).await;
    let answers = running
        .send(
            "HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET /status/204 HTTP/1.1\r\nHost: x\r\n\r\n\
             GET /status/503 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        .await;
    let statuses: Vec<_> = answers
        .match_indices("HTTP/1.1 ")
        .map(|(at, _)| at)
        .collect();
    assert_eq!(statuses.len(), 3, "{answers}");
    let head = &answers[..statuses[1]];
    let length = format!("Hello from hello-7 ({})\n", running.address).len();
    let length = format!("content-length: {length}\r\n");
    assert!(
        head.contains(&length) && head.ends_with("\r\n\r\n"),
        "{answers}"
    );
    assert!(
        answers[statuses[1]..].starts_with("HTTP/1.1 204 "),
        "{answers}"
    );
    assert!(answers.ends_with("503 Service Unavailable\n"), "{answers}");
    running.stop().await;
}

#[tokio::test]
async fn bodies_and_headers_come_back() {
    let running = start(hello()).await;
    let echoed = running.ask("POST", "/echo", "some words").await;
    assert!(echoed.contains("content-type: text/x-test\r\n"), "{echoed}");
    assert!(echoed.ends_with("\r\n\r\nsome words"), "{echoed}");
    let headers = running.ask("GET", "/headers", "").await;
    assert!(
        headers.contains("\"content-type\":[\"text/x-test\"],\"host\":[\"x\"]"),
        "{headers}"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_413() {
    let app = hello().limits(Limits {
        body_bytes: 4,
        ..Limits::default()
    });
    let running = start(app).await;
    assert!(
        running
            .ask("POST", "/echo", "four")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    let answer = running.ask("POST", "/echo", "five!").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(
        answer.ends_with("the body is larger than 4 bytes\n"),
        "{answer}"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_handler_that_panics_is_a_500_and_the_service_goes_on() {
    async fn fall(_: Request) -> &'static str {
        panic!("as asked")
    }
    let running = start(
        App::new("test")
            .get("/", async |_| "up")
            .get("/panic", fall),
    )
    .await;
    let answer = running.ask("GET", "/panic", "").await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(
        answer.ends_with("internal error\n") && !answer.contains("as asked"),
        "{answer}"
    );
    assert!(running.ask("GET", "/", "").await.ends_with("up"));
    running.stop().await;
}

#[tokio::test]
async fn a_request_in_flight_at_shutdown_is_finished() {
    let running = start(hello()).await;
    let mut stream = TcpStream::connect(running.address)
        .await
        .expect("it listens");
    let request = "GET /sleep/500 HTTP/1.1\r\nHost: x\r\n\r\n";
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    // The page's own request is one of the two.
    let in_flight = "http_requests_in_flight{service=\"hello\"} 2\n";
    let begun = async { while !running.ask("GET", "/metrics", "").await.contains(in_flight) {} };
    tokio::time::timeout(PATIENCE, begun)
        .await
        .expect("the request begins");

    running.stop().await;
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("it ends")
        .expect("it closes cleanly");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("Hello from hello-7"), "{answer}");
}
