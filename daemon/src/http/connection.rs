//! One client's connection: requests to the handler, replies back, and how it ends.
//!
//! It knows the limits and hyper; not how connections are accepted, nor what a handler does.

use std::{
    any::Any, convert::Infallible, future::Future, net::SocketAddr, panic::AssertUnwindSafe,
    sync::Arc,
};

use ::http::{Request, StatusCode};
use futures_util::FutureExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::{HEAD_BYTES_LEAST, Limits, Reply, Tls, stall::StallLimit, text};

/// Shakes hands where there is TLS, and serves the connection.
pub(super) async fn begin<H, F>(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    client: SocketAddr,
    limits: &Limits,
    handler: H,
    shutdown: CancellationToken,
) where
    H: Fn(Request<Incoming>, SocketAddr) -> F,
    F: Future<Output = Reply>,
{
    // Replies are small and whole: waiting to fill a segment would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%client, %error, "cannot set TCP_NODELAY");
    }
    let Some(tls) = tls else {
        return serve(stream, client, limits, handler, shutdown).await;
    };
    let stream = tokio::select! {
        stream = tls.accept(stream) => stream,
        () = shutdown.cancelled() => return,
    };
    match stream {
        Ok(stream) => serve(stream, client, limits, handler, shutdown).await,
        Err(error) => debug!(%client, %error, "no TLS handshake"),
    }
}

/// Serves one connection until the client leaves, breaks a limit, or the drain after shutdown ends.
async fn serve<S, H, F>(
    stream: S,
    client: SocketAddr,
    limits: &Limits,
    handler: H,
    shutdown: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Request<Incoming>, SocketAddr) -> F,
    F: Future<Output = Reply>,
{
    let service = service_fn(|request| answer(&handler, request, client));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_buf_size(limits.head_bytes.max(HEAD_BYTES_LEAST))
        .serve_connection(TokioIo::new(StallLimit::new(stream)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(limits.drain, connection).await {
                Ok(ended) => ended,
                Err(_) => return debug!(%client, "cut: not done within the drain limit"),
            }
        }
    };
    if let Err(error) = ended {
        // A client's doing (it left, spoke no HTTP, was too slow): not worth an operator's eye.
        debug!(%client, %error, "connection ended early");
    }
}

/// Calls the handler; a panic in it becomes a 500 and a log line.
async fn answer<H, F>(
    handler: &H,
    request: Request<Incoming>,
    client: SocketAddr,
) -> Result<Reply, Infallible>
where
    H: Fn(Request<Incoming>, SocketAddr) -> F,
    F: Future<Output = Reply>,
{
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    // The call itself may panic too, so it is made inside.
    let reply = AssertUnwindSafe(async { handler(request, client).await })
        .catch_unwind()
        .await;
    Ok(reply.unwrap_or_else(|panic| {
        error!(%method, path, panic = message(&*panic), "a handler panicked");
        text(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n")
    }))
}

/// What a panic said, when it said it in text.
fn message(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "(no text)",
    }
}
