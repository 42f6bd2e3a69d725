//! A registry on a free port and a plain HTTP client for it.

use std::time::Duration;

use registrar::registry::{Registry, RegistryConfig};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes; only a failing test waits this long.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A running registry; it ends with the value.
pub(crate) struct Running {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    pub(crate) fn index(&self) -> u64 {
        let index = self.header("x-consul-index").expect("an index header");
        index.parse().expect("a number")
    }
}

/// A registry on a free port, with a node named `here`.
pub(crate) fn config() -> RegistryConfig {
    RegistryConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        node: "here".into(),
        ..RegistryConfig::default()
    }
}

pub(crate) async fn start() -> Running {
    start_with(config()).await
}

pub(crate) async fn start_with(config: RegistryConfig) -> Running {
    let registry = Registry::bind(config).await.expect("a free port");
    let address = registry.local_addr();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(registry.run(shutdown.clone()));
    Running {
        address,
        shutdown,
        task,
    }
}

impl Running {
    /// Sends bytes as they are on a new connection and reads until the server closes.
    pub(crate) async fn raw(&self, request: &str) -> Got {
        let address = self.address;
        let exchange = async {
            let mut stream = TcpStream::connect(address)
                .await
                .expect("the registry listens");
            stream
                .write_all(request.as_bytes())
                .await
                .expect("the request is taken");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.expect("an answer");
            answer
        };
        let answer = tokio::time::timeout(LIMIT, exchange)
            .await
            .expect("an answer in time");
        let split = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let split =
            split.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(&answer)));
        let head = String::from_utf8_lossy(&answer[..split]).into_owned();
        let status = head
            .get(9..12)
            .and_then(|code| code.parse().ok())
            .expect("a status line");
        Got {
            status,
            head,
            body: answer[split + 4..].to_vec(),
        }
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Got {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.raw(&request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.send("GET", path, "", "").await
    }

    /// Asks again and again until the answer is as `good` says.
    pub(crate) async fn until(&self, path: &str, good: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let answer = self.get(path).await.json();
                if good(&answer) {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let limit = tokio::time::timeout(LIMIT, waiting).await;
        limit.unwrap_or_else(|_| panic!("{path} is not as it should be after {LIMIT:?}"))
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Got {
        self.send("PUT", path, "", body).await
    }

    /// Registers `body` as a service; it must be taken.
    pub(crate) async fn register(&self, body: &str) {
        let got = self.put("/v1/agent/service/register", body).await;
        assert_eq!((got.status, got.text().as_str()), (200, ""), "{body}");
    }

    /// Starts a query that waits for an index above the one given; returns when the registry has it.
    pub(crate) async fn waiting(&self, path: &str, index: u64) -> JoinHandle<Got> {
        let join = if path.contains('?') { '&' } else { '?' };
        let request = format!(
            "GET {path}{join}index={index}&wait=60s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        );
        let mut stream = TcpStream::connect(self.address)
            .await
            .expect("the registry listens");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("the request is taken");
        let task = tokio::spawn(async move {
            let mut answer = Vec::new();
            let read = stream.read_to_end(&mut answer);
            tokio::time::timeout(LIMIT, read)
                .await
                .expect("an answer in time")
                .expect("an answer");
            let text = String::from_utf8_lossy(&answer).into_owned();
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            Got {
                status: head
                    .get(9..12)
                    .and_then(|code| code.parse().ok())
                    .expect("a status line"),
                head: head.to_owned(),
                body: body.as_bytes().to_vec(),
            }
        });
        // A second exchange on another connection: enough turns of the runtime for the first to be read.
        for _ in 0..3 {
            self.get("/v1/status/leader").await;
        }
        task
    }
}
