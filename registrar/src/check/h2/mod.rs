//! Checks over HTTP/2: a PING, and one call of gRPC's health service.
//!
//! Knows nothing of intervals or thresholds; the time limit is set around it. The two messages of the health service
//! (`grpc.health.v1`) are small enough to be written and read here, so that no protobuf compiler is needed to build.

mod message;

use ::h2::client::{Builder, Connection, SendRequest};
use ::h2::{Ping, RecvStream};
use bytes::Bytes;
use consul::types::Status;
use http::{HeaderMap, Method, Request, header};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use self::message::Serving;
use super::{Outcome, Tls, reason, tcp, tls};

/// Most bytes of an answer that are taken. A health answer has seven.
const ANSWER_MAX: usize = 1024;
/// Most bytes of an answer's headers and trailers.
const HEADERS_MAX: u32 = 16 * 1024;
/// What Consul's checks send; services tell checks from traffic by it.
const USER_AGENT: &str = "Consul Health Check";
/// The protocol to agree on by ALPN.
const PROTOCOL: &[u8] = b"h2";

/// Sends a PING to `address` (`host:port`) and waits until it is acknowledged.
pub(super) async fn ping(address: &str, tls: Option<&Tls>, settings: &tls::Settings) -> Outcome {
    let answered = match connect(address, tls, settings).await {
        Ok(Transport::Plain(stream)) => ping_over(stream).await,
        Ok(Transport::Tls(stream)) => ping_over(*stream).await,
        Err(text) => Err(text),
    };
    match answered {
        Ok(()) => Outcome::passing("HTTP2 ping was successful"),
        Err(text) => Outcome::critical(format!("HTTP2 ping to {address} failed: {text}")),
    }
}

/// Asks the health service at `target` (`host:port`, or `host:port/service`) once.
pub(super) async fn grpc(target: &str, tls: Option<&Tls>, settings: &tls::Settings) -> Outcome {
    let (address, service) = target.split_once('/').unwrap_or((target, ""));
    let scheme = if tls.is_some() { "https" } else { "http" };
    let asked = match connect(address, tls, settings).await {
        Ok(Transport::Plain(stream)) => ask_over(stream, scheme, address, service).await,
        Ok(Transport::Tls(stream)) => ask_over(*stream, scheme, address, service).await,
        Err(text) => Err(text),
    };
    match asked {
        Ok(Serving::Serving) => Outcome::passing(format!("gRPC check {target}: success")),
        Ok(other) => Outcome {
            status: Status::Critical,
            output: format!("gRPC check {target}: {other} serving status"),
        },
        Err(text) => Outcome::critical(format!("gRPC check {target}: {text}")),
    }
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

async fn connect(
    address: &str,
    tls: Option<&Tls>,
    settings: &tls::Settings,
) -> Result<Transport, String> {
    let stream = tcp::connect(address).await?;
    let Some(tls) = tls else {
        return Ok(Transport::Plain(stream));
    };
    let host = tcp::host_of(address);
    let stream = settings.connect(stream, host, tls, &[PROTOCOL]).await?;
    if stream.get_ref().1.alpn_protocol() != Some(PROTOCOL) {
        return Err("the server does not offer HTTP/2 (ALPN h2)".into());
    }
    Ok(Transport::Tls(Box::new(stream)))
}

async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
) -> Result<(SendRequest<Bytes>, Connection<S, Bytes>), String> {
    Builder::new()
        .enable_push(false)
        .max_header_list_size(HEADERS_MAX)
        .handshake(stream)
        .await
        .map_err(|error| reason(&error))
}

async fn ping_over<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> Result<(), String> {
    // The sender keeps the connection open.
    let (_sender, mut connection) = handshake(stream).await?;
    let mut pings = connection.ping_pong().ok_or("no PING can be sent")?;
    tokio::select! {
        answered = pings.ping(Ping::opaque()) => {
            answered.map(|_| ()).map_err(|error| reason(&error))
        }
        ended = connection => Err(ending(ended)),
    }
}

async fn ask_over<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    scheme: &str,
    address: &str,
    service: &str,
) -> Result<Serving, String> {
    let (sender, connection) = handshake(stream).await?;
    tokio::pin!(connection);
    let asking = ask(sender, scheme, address, service);
    tokio::pin!(asking);
    // The connection may end with the answer: what came in whole still counts.
    tokio::select! {
        biased;
        answer = &mut asking => answer,
        ended = &mut connection => match ended {
            Ok(()) => asking.await,
            Err(error) => Err(reason(&error)),
        },
    }
}

fn ending(ended: Result<(), ::h2::Error>) -> String {
    match ended {
        Ok(()) => "the server closed the connection".into(),
        Err(error) => reason(&error),
    }
}

async fn ask(
    sender: SendRequest<Bytes>,
    scheme: &str,
    address: &str,
    service: &str,
) -> Result<Serving, String> {
    let mut sender = sender.ready().await.map_err(|error| reason(&error))?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{scheme}://{address}/grpc.health.v1.Health/Check"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, USER_AGENT)
        .body(())
        .map_err(|error| reason(&error))?;
    let (answer, mut body) = sender
        .send_request(request, false)
        .map_err(|error| reason(&error))?;
    body.send_data(message::request(service).into(), true)
        .map_err(|error| reason(&error))?;
    let answer = answer.await.map_err(|error| reason(&error))?;
    let (head, body) = answer.into_parts();
    if !head.status.is_success() {
        return Err(format!("the server answered HTTP {}", head.status.as_u16()));
    }
    // An answer without a body has its status among the headers.
    if head.headers.contains_key("grpc-status") {
        accepted(&head.headers)?;
    }
    let answer = read(body).await?;
    message::answer(&answer).map_err(String::from)
}

/// The whole body, if the trailers say that the call succeeded.
async fn read(mut body: RecvStream) -> Result<Vec<u8>, String> {
    let mut whole = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(|error| reason(&error))?;
        if whole.len() + chunk.len() > ANSWER_MAX {
            return Err("the answer is too long for a health check".into());
        }
        // Cannot fail for what was just received; and if it did, the rest would not come, within the time limit.
        let _ = body.flow_control().release_capacity(chunk.len());
        whole.extend_from_slice(&chunk);
    }
    if let Some(trailers) = body.trailers().await.map_err(|error| reason(&error))? {
        accepted(&trailers)?;
    }
    Ok(whole)
}

/// Whether `grpc-status` is 0.
fn accepted(fields: &HeaderMap) -> Result<(), String> {
    let text = |name| {
        fields
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
    };
    match text("grpc-status").as_deref() {
        Some("0") => Ok(()),
        Some("12") => Err("the server has no health service (grpc-status 12)".into()),
        Some("5") => Err("the server does not know this service (grpc-status 5)".into()),
        Some(code) => {
            let message = text("grpc-message").unwrap_or_default();
            Err(format!("grpc-status {code:.20} {message:.200}"))
        }
        None => Err("the answer has no grpc-status".into()),
    }
}

#[cfg(test)]
mod tests;
