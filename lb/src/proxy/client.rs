//! A client's connection: one request after the other, pipelined or not, until one side has had enough.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::deadline::Deadline;
use super::error::ProxyError;
use super::exchange::{self, After};
use super::http1::{self, Forwarded, Framing, Invalid, Method, Parsed, parse_request};
use super::io::{IoError, read_scratch, write_all};
use super::worker::{Worker, without_delay};
use crate::pool::Pool;
use crate::routing::{PathError, normal};

/// After an answer that ends the connection while the client may still be sending: for so long its bytes are read and
/// thrown away, so that the answer is not lost to a reset (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(1);

/// The most bytes read and thrown away then.
const LINGER_BYTES: usize = 256 * 1024;

/// A head that is not complete after a read is looked at again when it ends, or when it has grown by so much: enough to
/// notice soon what is no HTTP, and too little for byte-wise senders to cost us a parse for each byte.
const LOOK_AGAIN: usize = 1_024;

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) worker: Rc<Worker>,
    pub(super) stream: TcpStream,
    pub(super) deadline: Deadline,
    /// Read and not used yet: part of a head, the start of a body, the next requests.
    pub(super) input: Vec<u8>,
    /// The request's head as it goes to the upstream.
    pub(super) head: Vec<u8>,
    address: String,
    id: u64,
    known: bool,
    /// It has not asked for anything yet.
    fresh: bool,
}

/// A request that can be forwarded. Its head is in [`Client::head`].
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    /// HTTP/1.0.
    pub(super) old: bool,
    pub(super) expects_continue: bool,
    pub(super) upgrade: bool,
    pub(super) pool: Arc<Pool>,
    pub(super) started: Instant,
}

/// What stands at the front of the input.
enum Front {
    Partial,
    Request(Request),
    /// A valid request without a route.
    Unrouted {
        body: bool,
        answer_body: bool,
        keep_alive: bool,
    },
}

impl Client {
    pub(super) fn new(worker: Rc<Worker>, stream: TcpStream, peer: SocketAddr) -> Self {
        without_delay(&stream);
        worker.shared.metrics.client_connections.inc();
        Self {
            deadline: Deadline::new(Instant::now(), worker.shared.limits.idle),
            id: worker.drain.register(),
            known: false,
            fresh: true,
            address: peer.ip().to_canonical().to_string(),
            worker,
            stream,
            input: Vec::new(),
            head: Vec::new(),
        }
    }

    /// Serves until the connection ends.
    pub(super) async fn serve(mut self) {
        while let Some(request) = self.next_request().await {
            self.fresh = false;
            match exchange::run(&mut self, &request).await {
                After::KeepAlive => {}
                After::Close => return,
                After::Linger => return self.linger().await,
            }
        }
    }

    /// The next request that has a route; `None` when there will be none.
    async fn next_request(&mut self) -> Option<Request> {
        let limits = self.worker.shared.limits;
        self.deadline.set(Instant::now(), limits.idle);
        let mut looked_at = 0;
        if !self.input.is_empty() {
            // What was pipelined behind the last request.
            match self.look(None) {
                Ok(Front::Partial) => self.deadline.set(Instant::now(), limits.head),
                Ok(Front::Request(request)) => return Some(request),
                other => {
                    if !self.answer_front(other).await {
                        return None;
                    }
                }
            }
            looked_at = self.input.len();
        }
        loop {
            let n = self.fill().await?;
            match self.take_in(n, &mut looked_at) {
                Ok(Front::Partial) => {}
                Ok(Front::Request(request)) => return Some(request),
                other => {
                    if !self.answer_front(other).await {
                        return None;
                    }
                    looked_at = 0;
                    self.deadline.set(Instant::now(), limits.idle);
                }
            }
        }
    }

    /// Looks at what came with the `n` bytes just read. `looked_at`: how much was there at the last look.
    fn take_in(&mut self, n: usize, looked_at: &mut usize) -> Result<Front, ProxyError> {
        let worker = Rc::clone(&self.worker);
        let scratch = worker.scratch.borrow();
        let fresh = &scratch[..n];
        if self.input.is_empty() {
            let front = self.look(Some(fresh));
            if matches!(front, Ok(Front::Partial)) {
                self.deadline.set(Instant::now(), worker.shared.limits.head);
                *looked_at = self.input.len();
            }
            return front;
        }
        let before = self.input.len();
        self.input.extend_from_slice(fresh);
        if !ends_head(&self.input, before) && self.input.len() < *looked_at + LOOK_AGAIN {
            return Ok(Front::Partial);
        }
        *looked_at = self.input.len();
        self.look(None)
    }

    /// Reads more into the worker's scratch buffer. `None`: the connection has ended, or has to.
    async fn fill(&mut self) -> Option<usize> {
        let between_requests = self.input.is_empty();
        match self.read_or_drain(between_requests).await? {
            Ok(0) | Err(IoError::Broken) => None,
            Ok(n) => Some(n),
            Err(IoError::Late) if between_requests => None,
            Err(IoError::Late) => {
                let late = Invalid {
                    status: 408,
                    reason: "the request did not come in time",
                };
                self.answer(&late.into(), true, true).await;
                None
            }
        }
    }

    /// Reads, or ends (`None`) if the worker stops and this client waits for nothing.
    async fn read_or_drain(&mut self, between_requests: bool) -> Option<Result<usize, IoError>> {
        let drain = &self.worker.drain;
        let (mut from, _) = self.stream.split();
        let mut reading = std::pin::pin!(read_scratch(
            &mut from,
            &self.worker.scratch,
            &mut self.deadline
        ));
        let (id, known, fresh) = (self.id, &mut self.known, self.fresh);
        poll_fn(|cx| {
            if !*known {
                *known = true;
                drain.remember(id, cx.waker());
            }
            match reading.as_mut().poll(cx) {
                Poll::Pending if between_requests && drain.lets_go(fresh) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
                Poll::Ready(read) => Poll::Ready(Some(read)),
            }
        })
        .await
    }

    /// Looks at the front of `fresh`, or of the input kept if there is none, and keeps what is not used up.
    fn look(&mut self, fresh: Option<&[u8]>) -> Result<Front, ProxyError> {
        let kept = std::mem::take(&mut self.input);
        let bytes = fresh.unwrap_or(&kept);
        let looked = self.read_front(bytes);
        let used = looked.as_ref().map_or(0, |(_, used)| *used);
        match fresh {
            Some(fresh) => self.input.extend_from_slice(&fresh[used..]),
            None => {
                self.input = kept;
                self.input.drain(..used);
            }
        }
        looked.map(|(front, _)| front)
    }

    /// Reads the head at the front of `bytes`, finds its route and writes the head for the upstream. Returns how many
    /// bytes that used.
    fn read_front(&mut self, bytes: &[u8]) -> Result<(Front, usize), ProxyError> {
        let limits = &self.worker.shared.limits;
        let too_long = || Invalid {
            status: if memchr::memchr(b'\n', bytes).is_none() {
                414
            } else {
                431
            },
            reason: "the request's head is too long",
        };
        let mut storage = http1::storage();
        let head = match parse_request(bytes, limits.headers, &mut storage)? {
            Parsed::Partial if bytes.len() > limits.head_bytes => return Err(too_long().into()),
            Parsed::Partial => return Ok((Front::Partial, 0)),
            Parsed::Complete(head) if head.len > limits.head_bytes => return Err(too_long().into()),
            Parsed::Complete(head) => head,
        };
        let path = if head.path == b"*" {
            b"/" as &[u8]
        } else {
            head.path
        };
        let normal_path = normal(path)?;
        let table = self.worker.table();
        let Some(route) = table.find(head.host, &normal_path) else {
            let front = Front::Unrouted {
                body: head.framing != Framing::None && head.framing != Framing::Length(0),
                answer_body: head.method != Method::Head,
                keep_alive: head.keep_alive,
            };
            return Ok((front, head.len));
        };
        let path = if route.strip_prefix && &*route.path != "/" {
            &normal_path[route.path.len()..]
        } else {
            head.path
        };
        let forwarded = Forwarded {
            client: &self.address,
            proto: "http",
            default_host: &route.pool.service,
            path,
        };
        self.head.clear();
        head.write(&forwarded, &mut self.head);
        let request = Request {
            method: head.method,
            framing: head.framing,
            keep_alive: head.keep_alive,
            old: head.old,
            expects_continue: head.expects_continue,
            upgrade: head.upgrade.is_some(),
            pool: Arc::clone(&route.pool),
            started: Instant::now(),
        };
        Ok((Front::Request(request), head.len))
    }

    /// Answers what cannot be forwarded. `false`: the connection has ended.
    async fn answer_front(&mut self, front: Result<Front, ProxyError>) -> bool {
        match front {
            Ok(Front::Unrouted {
                body,
                answer_body,
                keep_alive,
            }) => {
                let close = body || !keep_alive || self.worker.drain.is_on();
                if self.answer(&ProxyError::NoRoute, answer_body, close).await && !close {
                    return true;
                }
                if body {
                    self.linger().await;
                }
            }
            Ok(_) => return true,
            Err(error) => {
                tracing::debug!(client = %self.address, "refused: {error}");
                self.answer(&error, true, true).await;
                self.linger().await;
            }
        }
        false
    }

    /// Writes an answer of our own. `false`: the client is gone.
    pub(super) async fn answer(&mut self, error: &ProxyError, body: bool, close: bool) -> bool {
        self.worker.shared.metrics.failed(error.failure());
        self.deadline
            .set(Instant::now(), self.worker.shared.limits.stall);
        let (_, mut to) = self.stream.split();
        write_all(&mut to, &error.answer(body, close), &mut self.deadline)
            .await
            .is_ok()
    }

    /// The request line, for the access log.
    pub(super) fn request_line(&self) -> String {
        let end = memchr::memchr(b'\r', &self.head).unwrap_or(self.head.len());
        String::from_utf8_lossy(&self.head[..end]).into_owned()
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Ends our side, and reads on a little.
    async fn linger(&mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        self.deadline.set(Instant::now(), LINGER);
        let mut left = LINGER_BYTES;
        let (mut from, _) = self.stream.split();
        while let Ok(n @ 1..) =
            read_scratch(&mut from, &self.worker.scratch, &mut self.deadline).await
        {
            left = left.saturating_sub(n);
            if left == 0 {
                break;
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.worker.shared.metrics.client_connections.dec();
        self.worker.drain.forget(self.id);
    }
}

impl From<Invalid> for ProxyError {
    fn from(invalid: Invalid) -> Self {
        Self::Refused {
            status: invalid.status,
            reason: invalid.reason,
        }
    }
}

impl From<PathError> for ProxyError {
    fn from(error: PathError) -> Self {
        let reason = match error {
            PathError::DotSegment => "the path has a dot segment",
            PathError::BadEncoding => "the path has a bad percent-encoding",
        };
        Self::Refused {
            status: 400,
            reason,
        }
    }
}

/// Whether a head ends in what was appended to `input` after `before` bytes.
fn ends_head(input: &[u8], before: usize) -> bool {
    let from = before.saturating_sub(3);
    memchr::memmem::find(&input[from..], b"\n\r\n").is_some()
        || memchr::memmem::find(&input[from..], b"\n\n").is_some()
}
