//! Origins that do as they are told, a balancer in front of them, and a client that sees every byte.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lb::Balancer;
use lb::config::{Config, FixedService, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Nothing here takes longer than that unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A server that follows a script for each connection.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<String>>>,
}

/// One connection at an origin.
pub(crate) struct Served {
    pub(crate) stream: TcpStream,
    seen: Arc<Mutex<Vec<String>>>,
    buffer: Vec<u8>,
}

impl Origin {
    /// Runs `script` for every connection.
    pub(crate) async fn start<F, Fut>(script: F) -> Self
    where
        F: Fn(Served) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (count, log) = (Arc::clone(&connections), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let served = Served {
                    stream,
                    seen: Arc::clone(&log),
                    buffer: Vec::new(),
                };
                tokio::spawn(script(served));
            }
        });
        Self {
            address,
            connections,
            seen,
        }
    }

    /// Answers every request (without a body) with the same bytes.
    pub(crate) async fn always(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::start(move |mut served| {
            let answer = Arc::clone(&answer);
            async move {
                while served.request().await.is_some() {
                    served.send(&answer[..]).await;
                }
            }
        })
        .await
    }

    /// Answers every request with its own name.
    pub(crate) async fn named(name: &str) -> Self {
        Self::always(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}",
            name.len()
        ))
        .await
    }

    /// The heads of all requests so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no holder panics").clone()
    }
}

impl Served {
    /// Reads one request's head. `None` at the end of the connection.
    pub(crate) async fn request(&mut self) -> Option<String> {
        let head = self.until(b"\r\n\r\n").await?;
        let head = String::from_utf8_lossy(&head).into_owned();
        self.seen
            .lock()
            .expect("no holder panics")
            .push(head.clone());
        Some(head)
    }

    /// Reads up to and with `end`.
    pub(crate) async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|w| w == end) {
                return Some(self.buffer.drain(..at + end.len()).collect());
            }
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// Reads exactly `n` bytes.
    pub(crate) async fn exactly(&mut self, n: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < n {
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
        Some(self.buffer.drain(..n).collect())
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The proxy may be gone; then the test sees it on its own side.
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .expect("a socket");
    }
}

/// A balancer in front of origins.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) balancer: Balancer,
    pub(crate) shutdown: CancellationToken,
}

/// Limits short enough to be waited for.
pub(crate) fn limits() -> Limits {
    Limits {
        idle: Duration::from_secs(5),
        head: Duration::from_millis(400),
        response: Duration::from_millis(800),
        stall: Duration::from_secs(5),
        connect: Duration::from_millis(500),
        drain: Duration::from_secs(5),
        ..Limits::default()
    }
}

impl Proxy {
    pub(crate) async fn to(origins: &[&Origin]) -> Self {
        let addresses: Vec<_> = origins.iter().map(|origin| origin.address).collect();
        Self::with(&addresses, limits()).await
    }

    pub(crate) async fn with(endpoints: &[SocketAddr], limits: Limits) -> Self {
        let fixed = (!endpoints.is_empty()).then(|| FixedService {
            service: "web".into(),
            endpoints: endpoints.to_vec(),
        });
        Self::of(Config {
            workers: 2,
            routes: vec!["/=web".parse().expect("a route")],
            fixed: fixed.into_iter().collect(),
            limits,
            ..Config::default()
        })
        .await
    }

    pub(crate) async fn of(config: Config) -> Self {
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            ..config
        };
        let client =
            consul::Client::new(consul::Config::new("http://127.0.0.1:1")).expect("a client");
        let shutdown = CancellationToken::new();
        let balancer = Balancer::start(config, client, shutdown.clone())
            .await
            .expect("it starts");
        Self {
            address: balancer.local_addr(),
            balancer,
            shutdown,
        }
    }

    pub(crate) async fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        Client {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Sends one request on a connection of its own. Returns all that comes back until the end.
    pub(crate) async fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut client = self.connect().await;
        client.send(request).await;
        client.rest().await
    }

    /// The metrics.
    pub(crate) fn metrics(&self) -> String {
        use http_body_util::BodyExt;
        let reply = self
            .balancer
            .admin()
            .respond(&http::Method::GET, "/metrics", None)
            .expect("metrics");
        let body = futures_util::FutureExt::now_or_never(reply.into_body().collect());
        let bytes = body
            .expect("it is all there")
            .expect("infallible")
            .to_bytes();
        String::from_utf8(bytes.to_vec()).expect("text")
    }
}

/// A client that sends bytes and reads answers.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Client {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .await
            .expect("the proxy reads");
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request).await;
        self.answer().await.expect("an answer")
    }

    /// Reads one answer with a length, chunks, or no body. `None`: the connection ended before it was whole.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        let head = self.head().await?;
        let status = head[9..12].parse().expect("a status code");
        let lower = head.to_ascii_lowercase();
        let body = if let Some(length) = lower.split("content-length: ").nth(1) {
            let length: usize = length
                .split("\r\n")
                .next()
                .and_then(|l| l.parse().ok())
                .expect("a length");
            self.take(length).await?
        } else if lower.contains("transfer-encoding: chunked") {
            let mut body = Vec::new();
            loop {
                let line = self.until(b"\r\n").await?;
                let size = String::from_utf8_lossy(&line);
                let size = usize::from_str_radix(size.trim(), 16).expect("a chunk size");
                body.extend(self.take(size).await?);
                if size == 0 {
                    break;
                }
                assert_eq!(self.take(2).await?, b"\r\n");
            }
            let _trailers = self.until(b"\r\n").await?;
            body
        } else {
            Vec::new()
        };
        Some(Answer {
            status,
            head,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    pub(crate) async fn head(&mut self) -> Option<String> {
        let head = self.until(b"\r\n\r\n").await?;
        Some(String::from_utf8_lossy(&head).into_owned())
    }

    /// Everything until the end, however the connection ends.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await.is_some() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }

    /// Whether the connection has ended without another byte.
    pub(crate) async fn has_ended(&mut self) -> bool {
        self.rest().await.is_empty()
    }

    pub(crate) async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|w| w == end) {
                return Some(self.buffer.drain(..at + end.len()).collect());
            }
            self.more().await?;
        }
    }

    pub(crate) async fn take(&mut self, n: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < n {
            self.more().await?;
        }
        Some(self.buffer.drain(..n).collect())
    }

    async fn more(&mut self) -> Option<()> {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
        match read.expect("the proxy neither writes nor closes") {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(()),
        }
    }
}

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let until = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
