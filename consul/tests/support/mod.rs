//! A scripted server for the client's tests: it answers the n-th request with the n-th step.
//!
//! It speaks just enough HTTP/1.1 by hand to be as wrong as a test wants it. It knows nothing of Consul.

#![allow(dead_code, missing_docs, unreachable_pub)] // each test uses a part of it

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

/// What to do with one request.
#[derive(Clone, Debug)]
pub enum Step {
    /// These bytes, then on with the connection.
    Answer(Vec<u8>),
    /// These bytes, then close.
    Cut(Vec<u8>),
    /// Nothing, for ever.
    Hang,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Method and target, e.g. `GET /v1/x?y`.
    pub line: String,
    /// The head in lower case.
    pub head: String,
    pub body: String,
    pub at: Instant,
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<Step>,
    seen: Vec<Seen>,
}

/// Handle of a running server; when the script is at its end, it hangs.
#[derive(Clone, Debug, Default)]
pub struct Script(Arc<Mutex<State>>);

pub fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// 200 with an index.
pub fn indexed(index: u64, body: &str) -> Step {
    Step::Answer(answer(
        "200 OK",
        &format!("X-Consul-Index: {index}\r\n"),
        body,
    ))
}

pub fn status(status: &str, text: &str) -> Step {
    Step::Answer(answer(status, "", text))
}

impl Script {
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let script = Self::default();
        script.push(steps);
        script
    }

    pub fn push(&self, steps: impl IntoIterator<Item = Step>) {
        self.state().script.extend(steps);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }

    /// Serves on a free port of the loopback address.
    pub async fn listen(&self) -> SocketAddr {
        self.listen_on("127.0.0.1:0".parse().expect("an address"))
            .await
    }

    pub async fn listen_on(&self, address: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let script = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(script.clone().serve(stream));
            }
        });
        address
    }

    pub async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut buffer = Vec::new();
        while let Some(seen) = read_request(&mut stream, &mut buffer).await {
            let step = {
                let mut state = self.state();
                state.seen.push(seen);
                state.script.pop_front()
            };
            match step {
                Some(Step::Answer(bytes)) => {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Some(Step::Cut(bytes)) => {
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.shutdown().await;
                    return;
                }
                Some(Step::Hang) | None => std::future::pending().await,
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no test panics with the lock held")
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Seen> {
    let head_end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
    let line = head
        .lines()
        .next()?
        .trim_end_matches(" HTTP/1.1")
        .to_owned();
    let head = head.to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().expect("a length"));
    while buffer.len() < head_end + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8_lossy(&buffer[head_end..head_end + length]).into_owned();
    buffer.drain(..head_end + length);
    Some(Seen {
        line,
        head,
        body,
        at: Instant::now(),
    })
}

/// A list with one instance on one node, as the health endpoint sends it.
pub fn entry(id: &str, port: i64, status: &str, output: &str, modify_index: u64) -> String {
    format!(
        r#"[{{"Node":{{"ID":"","Node":"n1","Address":"127.0.0.1","Datacenter":"dc1","TaggedAddresses":null,"Meta":null,"CreateIndex":1,"ModifyIndex":{modify_index}}},
        "Service":{{"ID":"{id}","Service":"web","Tags":[],"Address":"","Meta":null,"Port":{port},"Weights":{{"Passing":1,"Warning":1}},"EnableTagOverride":false,"Proxy":{{}},"Connect":{{}},"CreateIndex":1,"ModifyIndex":{modify_index}}},
        "Checks":[{{"Node":"n1","CheckID":"service:{id}","Name":"c","Status":"{status}","Notes":"","Output":"{output}","ServiceID":"{id}","ServiceName":"web","ServiceTags":[],"Type":"http","Definition":{{}},"CreateIndex":1,"ModifyIndex":{modify_index}}}]}}]"#
    )
}
