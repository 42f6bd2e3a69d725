//! An HTTP/1.1 listener for pages of our own: admin, the embedded registry, microservices.
//!
//! It holds the limits (connections, head, time) so that no handler has to, and ends cleanly: on
//! shutdown idle connections close, requests in flight finish within a limit, then are cut. It does
//! not know any path; the balancer's proxy does not use it.

mod body;
mod connection;
mod reply;
mod stall;
mod tls;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use ::http::Request;
use hyper::body::Incoming;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

pub use self::{
    body::{BodyError, read_body},
    reply::{Reply, json, text},
    tls::{Tls, TlsError, TlsFiles},
};
use crate::backoff::Backoff;

/// After a failed accept (mostly: out of file descriptors), wait this long at first, so that the
/// loop does not spin while nothing can get better.
const ACCEPT_RETRY_MIN: Duration = Duration::from_millis(10);

/// The longest wait after failed accepts: a client may have to wait this long once files are free.
const ACCEPT_RETRY_MAX: Duration = Duration::from_secs(1);

/// Of a row of failed accepts, the first and then every n-th is logged.
const ACCEPT_LOG_EVERY: u32 = 30;

/// The smallest read buffer the HTTP library takes; a smaller limit for heads counts as this.
const HEAD_BYTES_LEAST: usize = 8 * 1024;

/// What one listener may use, in numbers. Each has a default that suits an admin page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once. More wait in the kernel's queue until one ends. At least 1.
    pub connections: usize,
    /// Bytes of a request's head (at least 8 KiB); more is answered 431.
    pub head_bytes: usize,
    /// Time for a whole head to arrive, counted from when the connection is ready for it; so also
    /// how long an idle connection is kept.
    pub header_read: Duration,
    /// Bytes of a request's body, for handlers to pass to [`read_body`].
    pub body_bytes: usize,
    /// Time for the requests in flight to finish after shutdown, before they are cut.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Blocking queries hold a connection each: one for each watched service and watcher.
            connections: 1024,
            // Tokens, cookies and long query strings fit; a flood of headers does not.
            head_bytes: 16 * 1024,
            // Longer than the pause between polls of a monitoring system.
            header_read: Duration::from_secs(75),
            // A registration with many tags and checks is some tens of KiB.
            body_bytes: 1024 * 1024,
            // A stop is waited for by a person, or by a supervisor that kills after 10 s or more.
            drain: Duration::from_secs(5),
        }
    }
}

/// Serves `handler` on `listener` until `shutdown`, then drains and returns.
///
/// The handler is given the request and the client's address. A handler that panics is answered
/// 500 and logged; the other connections do not notice. Dropping the future cuts all connections.
pub async fn serve<H, F>(
    listener: TcpListener,
    limits: Limits,
    handler: H,
    shutdown: CancellationToken,
) where
    H: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    serve_with(listener, None, limits, handler, shutdown).await;
}

/// As [`serve`], over TLS where there is some. Handshakes have limits of their own, and hold up nobody else.
pub async fn serve_with<H, F>(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    limits: Limits,
    handler: H,
    shutdown: CancellationToken,
) where
    H: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(limits.connections.max(1)));
    let mut accepts = Accepts {
        listener,
        permits,
        failures: 0,
        backoff: accept_backoff(),
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => log_failed(ended),
            (stream, client, permit) = accepts.next() => {
                let (limits, handler) = (limits.clone(), handler.clone());
                let (tls, shutdown) = (tls.clone(), shutdown.clone());
                connections.spawn(async move {
                    connection::begin(stream, tls, client, &limits, handler, shutdown).await;
                    drop(permit);
                });
            }
        }
    }
    // Refuses new clients at once, rather than leaving them in the queue of a socket nobody reads.
    drop(accepts);
    while let Some(ended) = connections.join_next().await {
        log_failed(ended);
    }
}

/// The accepting side: a permit first, then a connection, so that the limit holds exactly.
struct Accepts {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    failures: u32,
    backoff: Backoff,
}

impl Accepts {
    /// The next connection, with the permit it must hold. Cancel-safe: no connection is lost.
    async fn next(&mut self) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed: it lives as long as this value");
        loop {
            match self.listener.accept().await {
                Ok((stream, client)) => {
                    self.failures = 0;
                    self.backoff.reset();
                    return (stream, client, permit);
                }
                Err(error) => {
                    if self.failures.is_multiple_of(ACCEPT_LOG_EVERY) {
                        warn!(%error, failures = self.failures + 1, "cannot accept a connection");
                    }
                    self.failures = self.failures.wrapping_add(1);
                    tokio::time::sleep(self.backoff.next_delay()).await;
                }
            }
        }
    }
}

fn accept_backoff() -> Backoff {
    Backoff::new(ACCEPT_RETRY_MIN, ACCEPT_RETRY_MAX)
}

/// A handler's panic is caught where it happens; this would be one in the connection's own code.
fn log_failed(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "a connection's task failed");
    }
}
