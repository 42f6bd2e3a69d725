//! One request to the admin listener of a running turno, and its whole answer.
//!
//! Used once a command, so it opens a connection each time and keeps none. It knows no path.

use std::{fmt, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time};

use crate::{args::Secret, failure::Failure};

/// A whole exchange with an admin listener, which answers from memory.
const EXCHANGE: Duration = Duration::from_secs(5);

/// The largest answer taken; the views of a running turno are some KiB.
const ANSWER_BYTES: usize = 4 << 20;

/// Why there is no answer of use.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The token is missing there, or is not the one wanted.
    NeedsToken(String),
    /// Nobody answers, or with something else.
    Other(String),
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedsToken(why) => write!(
                f,
                "{why}: give it with TURNO_ADMIN_TOKEN, --admin-token-file or --admin-token"
            ),
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl From<NoAnswer> for Failure {
    fn from(why: NoAnswer) -> Self {
        Self::failed(why.to_string())
    }
}

/// Sends `method` `path` to the admin listener at `address`.
///
/// # Errors
///
/// When nobody answers there, and when the answer is not a success: then its text is the reason.
pub(crate) async fn call(
    address: SocketAddr,
    token: Option<&Secret>,
    method: Method,
    path: &str,
) -> Result<Bytes, NoAnswer> {
    let exchange = exchange(address, token, method, path);
    let (status, body) = match time::timeout(EXCHANGE, exchange).await {
        Ok(answer) => answer.map_err(|reason| unreachable(address, &reason))?,
        Err(_) => {
            return Err(unreachable(
                address,
                &format!("no answer within {EXCHANGE:?}"),
            ));
        }
    };
    if status.is_success() {
        return Ok(body);
    }
    let reason = String::from_utf8_lossy(&body);
    let reason = match reason.trim() {
        "" => "no reason given; is that an admin address of turno?",
        reason => reason,
    };
    let refused = format!("{address} refused {path}: {status}: {reason}");
    Err(match status {
        StatusCode::UNAUTHORIZED => NoAnswer::NeedsToken(refused),
        _ => NoAnswer::Other(refused),
    })
}

fn unreachable(address: SocketAddr, reason: &str) -> NoAnswer {
    NoAnswer::Other(format!(
        "cannot reach turno at {address}: {reason} (is it running, and is that its admin address?)"
    ))
}

async fn exchange(
    address: SocketAddr,
    token: Option<&Secret>,
    method: Method,
    path: &str,
) -> Result<(StatusCode, Bytes), String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    // Ends with the sender; an error of the connection is an error of the request too.
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, address.to_string());
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| error.to_string())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES)
        .collect()
        .await;
    Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
}
