//! One request and its response: pick, connect, send, receive. Here stands what may be tried again, and where.
//!
//! | what happened | tried again |
//! |---|---|
//! | no connection could be made, or nothing could be written on it | on another upstream, any request |
//! | a kept connection ended before any byte of an answer | on a new connection, if idempotent and without a body |
//! | a new connection ended before any byte of an answer | on another upstream, if idempotent and without a body |
//! | a byte of the answer came, the deadline passed, or the client left | never |

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::client::{Client, Request};
use super::deadline::Deadline;
use super::error::ProxyError;
use super::http1::{BodyReader, BodyWriter, Framing, FramingError, Method};
use super::io::{IoError, write_all};
use super::receive::{Receive, Received};
use super::relay::{Relay, RelayError};
use super::tunnel;
use super::worker::{Worker, without_delay};
use crate::pool::{Lease, Tried, Upstream};

/// What becomes of the client's connection.
#[derive(Debug)]
pub(super) enum After {
    KeepAlive,
    Close,
    /// Close, but read on a little: the client may still be sending.
    Linger,
}

/// Why one try did not bring an answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// Nothing was sent.
    Unsent(ProxyError),
    /// Something was sent, and no byte of an answer came.
    Unanswered(ProxyError),
    /// The client has to be told.
    Final(ProxyError),
    /// The client is gone, or has got part of an answer: there is nothing to tell any more.
    Broken,
}

/// Forwards one request, and answers it in any case.
pub(super) async fn run(client: &mut Client, request: &Request) -> After {
    let result = forward(client, request).await;
    request
        .pool
        .metrics
        .duration
        .observe(request.started.elapsed().as_secs_f64());
    let (status, after) = match result {
        Ok(received) if received.keep_alive => (received.status, After::KeepAlive),
        Ok(received) if received.early => (received.status, After::Linger),
        Ok(received) => (received.status, After::Close),
        Err(Failed::Broken) => {
            reset_on_close(&client.stream);
            (0, After::Close)
        }
        Err(Failed::Unsent(error) | Failed::Unanswered(error) | Failed::Final(error)) => {
            let has_body = !matches!(request.framing, Framing::None | Framing::Length(0));
            let left = matches!(error, ProxyError::ClientLeft);
            let close = left || has_body || !request.keep_alive || client.worker.drain.is_on();
            let answered = client
                .answer(&error, request.method != Method::Head, close)
                .await;
            let after = match (answered, close, has_body) {
                (false, ..) | (true, true, false) => After::Close,
                (true, true, true) => After::Linger,
                (true, false, _) => After::KeepAlive,
            };
            (error.status(), after)
        }
    };
    if client.worker.shared.access_log {
        tracing::info!(
            target: "turno::access",
            client = client.address(),
            service = &*request.pool.service,
            status,
            micros = u64::try_from(request.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            "{}",
            client.request_line()
        );
    }
    after
}

/// Tries upstreams until one answers, or none may be tried any more.
async fn forward(client: &mut Client, request: &Request) -> Result<Received, Failed> {
    let repeatable =
        request.method.is_idempotent() && request.framing == Framing::None && !request.upgrade;
    let mut tried = Tried::default();
    let mut failed = None;
    while let Some(lease) = request.pool.pick(&tried) {
        let failure = match attempt(client, request, &lease, repeatable).await {
            Ok(received) => {
                lease.upstream().metrics().answered(received.status);
                return Ok(received);
            }
            Err(failure @ Failed::Unsent(_)) => failure,
            Err(failure @ Failed::Unanswered(_)) if repeatable => failure,
            Err(failure) => return Err(failure),
        };
        failed = Some(failure);
        tried.add(lease.upstream());
        if tried.len() >= client.worker.shared.limits.tries {
            break;
        }
        request.pool.metrics.retries.inc();
    }
    let service = || request.pool.service.to_string();
    Err(failed.unwrap_or_else(|| Failed::Final(ProxyError::NoEndpoint { service: service() })))
}

/// Tries one upstream: on a kept connection if there is one, and if that turns out to be dead, on a new one.
async fn attempt(
    client: &mut Client,
    request: &Request,
    lease: &Lease,
    repeatable: bool,
) -> Result<Received, Failed> {
    let worker = Rc::clone(&client.worker);
    let upstream = lease.upstream();
    let kept = worker.connections.borrow_mut().take(upstream.key());
    if let Some(stream) = kept {
        match converse(client, request, &worker, upstream, stream).await {
            Err(Failed::Unsent(_)) => {}
            Err(Failed::Unanswered(_)) if repeatable => {}
            done => return done,
        }
    }
    let stream = connect(&worker, upstream).await?;
    let result = converse(client, request, &worker, upstream, stream).await;
    if matches!(result, Err(Failed::Unanswered(_))) {
        upstream.metrics().resets.inc();
    }
    result
}

async fn connect(
    worker: &Worker,
    upstream: &std::sync::Arc<Upstream>,
) -> Result<TcpStream, Failed> {
    let limit = worker.shared.limits.connect;
    let connected = match tokio::time::timeout(limit, TcpStream::connect(upstream.address())).await
    {
        Ok(connected) => connected,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {limit:?}"),
        )),
    };
    match connected {
        Ok(stream) => {
            without_delay(&stream);
            Ok(stream)
        }
        Err(error) => {
            // Our own lack of sockets is not the upstream's fault.
            if !matches!(
                error.raw_os_error(),
                Some(libc_emfile::EMFILE | libc_emfile::ENFILE)
            ) {
                worker.shared.reports.unreachable(upstream);
            }
            Err(Failed::Unsent(ProxyError::connect(upstream, error)))
        }
    }
}

/// Sends the request on `stream` and brings the answer to the client.
async fn converse(
    client: &mut Client,
    request: &Request,
    worker: &Rc<Worker>,
    upstream: &std::sync::Arc<Upstream>,
    mut stream: TcpStream,
) -> Result<Received, Failed> {
    send_head(client, worker, upstream, &mut stream).await?;
    let mut received = if matches!(request.framing, Framing::None | Framing::Length(0)) {
        client
            .deadline
            .set(Instant::now(), worker.shared.limits.response);
        let (mut from, _) = stream.split();
        let (_, mut to) = client.stream.split();
        let sent = Cell::new(true);
        let receive = Receive {
            worker,
            request,
            upstream,
            deadline: &mut client.deadline,
            sent: &sent,
            started: &Cell::new(false),
        };
        receive.run(&mut from, &mut to).await?
    } else {
        both_ways(client, request, worker, upstream, &mut stream).await?
    };
    if let Some(to_client) = received.switched.take() {
        let to_upstream = std::mem::take(&mut client.input);
        tunnel::run(
            worker,
            &mut client.stream,
            &mut stream,
            to_upstream,
            to_client,
        )
        .await;
    } else if received.reusable {
        worker
            .connections
            .borrow_mut()
            .keep(upstream.key(), stream, Instant::now());
    }
    Ok(received)
}

async fn send_head(
    client: &mut Client,
    worker: &Worker,
    upstream: &Upstream,
    stream: &mut TcpStream,
) -> Result<(), Failed> {
    let (_, mut to) = stream.split();
    let sent = match to.try_write(&client.head) {
        Ok(n) => n,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(_) => return Err(Failed::Unsent(ProxyError::closed(upstream))),
    };
    if sent == client.head.len() {
        return Ok(());
    }
    client
        .deadline
        .set(Instant::now(), worker.shared.limits.stall);
    match write_all(&mut to, &client.head[sent..], &mut client.deadline).await {
        Ok(()) => Ok(()),
        Err(IoError::Late) => Err(Failed::Final(ProxyError::late(
            upstream,
            &worker.shared.limits,
        ))),
        Err(IoError::Broken) if sent == 0 => Err(Failed::Unsent(ProxyError::closed(upstream))),
        Err(IoError::Broken) => Err(Failed::Unanswered(ProxyError::closed(upstream))),
    }
}

/// Sends the request's body while the answer is awaited, and perhaps already comes: neither side waits for the other.
async fn both_ways(
    client: &mut Client,
    request: &Request,
    worker: &Rc<Worker>,
    upstream: &std::sync::Arc<Upstream>,
    stream: &mut TcpStream,
) -> Result<Received, Failed> {
    let limits = &worker.shared.limits;
    let (sent, started) = (Cell::new(false), Cell::new(false));
    let (mut from_client, mut to_client) = client.stream.split();
    let (mut from_upstream, mut to_upstream) = stream.split();
    let now = Instant::now();
    let mut stall = Deadline::new(now, limits.stall);
    // Until the request is sent there is no limit on the answer: progress of the body is what counts.
    let mut answer_due = Deadline::new(now, limits.response);
    client.deadline.set(now, NO_LIMIT);
    let mut body = BodyReader::new(request.framing);
    let writer = if request.framing == Framing::Chunked {
        BodyWriter::Chunked
    } else {
        BodyWriter::Plain
    };
    let relay = Relay {
        worker,
        body: &mut body,
        writer,
        input: &mut client.input,
        deadline: &mut stall,
    };
    let mut send = pin!(relay.run(&mut from_client, &mut to_upstream));
    let receive = Receive {
        worker,
        request,
        upstream,
        deadline: &mut client.deadline,
        sent: &sent,
        started: &started,
    };
    let mut receive = pin!(receive.run(&mut from_upstream, &mut to_client));
    let mut sending = true;
    poll_fn(|cx| {
        if sending && let Poll::Ready(result) = send.as_mut().poll(cx) {
            sending = false;
            answer_due.set(Instant::now(), limits.response);
            match result {
                Ok(()) => sent.set(true),
                // The upstream takes no more: it may have answered already.
                Err(RelayError::To) => {}
                Err(error) => {
                    return Poll::Ready(Err(unsent_body(&error, started.get(), upstream, limits)));
                }
            }
        }
        if !sending && !started.get() && answer_due.poll(cx).is_ready() {
            return Poll::Ready(Err(Failed::Final(ProxyError::late(upstream, limits))));
        }
        receive.as_mut().poll(cx)
    })
    .await
}

/// Longer than any limit can be set.
const NO_LIMIT: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 60 * 60);

/// What the failure to send a request's body means for the client.
fn unsent_body(
    error: &RelayError,
    started: bool,
    upstream: &Upstream,
    limits: &crate::config::Limits,
) -> Failed {
    let refused = |status, reason| Failed::Final(ProxyError::Refused { status, reason });
    match error {
        _ if started => Failed::Broken,
        RelayError::From(FramingError::Chunk) => refused(400, "the chunked body is malformed"),
        RelayError::From(FramingError::Trailer) => {
            refused(400, "the trailer section is malformed or too long")
        }
        RelayError::FromLate => refused(408, "the request's body did not come in time"),
        RelayError::ToLate => Failed::Final(ProxyError::late(upstream, limits)),
        RelayError::From(FramingError::Cut) | RelayError::To => Failed::Broken,
    }
}

/// A response that was cut must not look complete: the client gets a reset instead of an orderly end.
fn reset_on_close(stream: &TcpStream) {
    // It fails only if the connection is gone already.
    let _ = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
}

/// Error numbers of "too many open files", of this process and of the system (errno(3)); std has no kind for them.
mod libc_emfile {
    pub(super) const EMFILE: i32 = 24;
    pub(super) const ENFILE: i32 = 23;
}
