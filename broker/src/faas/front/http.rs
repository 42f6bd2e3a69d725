//! The front end's pages: a function is a path.
//!
//! Every request gets an answer: the function's, or a reason why there is none. It must not know sockets but HTTP's.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use daemon::http::{BodyError, Reply, json, read_body, text};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{json, value::RawValue};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::{
    super::message::{Answer, Job},
    Limits, Overview,
};
use crate::faas::is_name;

/// What a refused client is told to wait, in seconds: about what a short job takes.
const RETRY_AFTER: &str = "1";

const PAGE: &str = include_str!("page.html");

/// A request on its way to the task that has the sockets.
pub(super) type Handed = (Job, oneshot::Sender<Answer>);

/// What answers HTTP requests. Clones share everything.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    pub(super) limits: Limits,
    /// A permit for each request that waits.
    pub(super) room: Arc<Semaphore>,
    pub(super) requests: mpsc::Sender<Handed>,
    pub(super) overview: watch::Receiver<Overview>,
    /// Where the broker sends the answers.
    pub(super) answers: String,
}

impl Pages {
    /// Answers one request.
    pub(super) async fn serve(self, request: Request<Incoming>) -> Reply {
        let path = request.uri().path().to_owned();
        match (request.method(), path.as_str()) {
            (&Method::GET | &Method::HEAD, "/") => page(),
            (&Method::GET | &Method::HEAD, "/health") => text(StatusCode::OK, "ok\n"),
            (&Method::GET | &Method::HEAD, "/functions") => {
                json(StatusCode::OK, &*self.overview.borrow())
            }
            (&Method::POST, path) => match path.strip_prefix('/').filter(|it| is_name(it)) {
                Some(function) => self.call(function.to_owned(), request.into_body()).await,
                None => error(StatusCode::NOT_FOUND, "there is no such function"),
            },
            (_, path) => {
                let function = path.strip_prefix('/').is_some_and(is_name);
                if !function {
                    return error(StatusCode::NOT_FOUND, "there is no such page");
                }
                let mut reply = error(StatusCode::METHOD_NOT_ALLOWED, "POST calls a function");
                let allow = HeaderValue::from_static("POST");
                reply.headers_mut().insert(header::ALLOW, allow);
                reply
            }
        }
    }

    async fn call(&self, function: String, body: Incoming) -> Reply {
        let Ok(_room) = self.room.try_acquire() else {
            return busy();
        };
        let body = match read_body(body, self.limits.max_body).await {
            Ok(body) => body,
            Err(failed) => return error(status_of(&failed), &failed.to_string()),
        };
        let Ok(message) = serde_json::from_slice::<Box<RawValue>>(&body) else {
            return error(StatusCode::BAD_REQUEST, "the body is not JSON");
        };
        let job = Job {
            id: new_id(),
            message,
            front: Some(self.answers.clone()),
            timeout_ms: u64::try_from(self.limits.timeout.as_millis()).ok(),
            kept: false,
            function,
        };
        let unserved = || self.overview.borrow().lacks(&job.function);
        let no_answer = format!(
            "no answer within {:?}{}",
            self.limits.timeout,
            if unserved() {
                ": no worker has this function"
            } else {
                ""
            }
        );
        let (tell, answer) = oneshot::channel();
        if self.requests.send((job, tell)).await.is_err() {
            return error(StatusCode::SERVICE_UNAVAILABLE, "the front end is stopping");
        }
        match tokio::time::timeout(self.limits.timeout, answer).await {
            Ok(Ok(answer)) => reply(&answer),
            Ok(Err(_)) => error(StatusCode::SERVICE_UNAVAILABLE, "the front end is stopping"),
            Err(_) => error(StatusCode::GATEWAY_TIMEOUT, &no_answer),
        }
    }
}

/// The answer's text as it came, with its code if it is an error.
fn reply(answer: &Answer) -> Reply {
    let status = match answer.code {
        None => StatusCode::OK,
        Some(429) => return busy(),
        Some(code) => StatusCode::from_u16(code)
            .ok()
            .filter(|it| it.is_client_error() || it.is_server_error())
            .unwrap_or(StatusCode::BAD_GATEWAY),
    };
    let mut reply = json(status, &());
    *reply.body_mut() = Bytes::copy_from_slice(answer.message.get().as_bytes()).into();
    reply
}

fn busy() -> Reply {
    let mut reply = error(
        StatusCode::TOO_MANY_REQUESTS,
        "too many requests are waiting; try again",
    );
    let after = HeaderValue::from_static(RETRY_AFTER);
    reply.headers_mut().insert(header::RETRY_AFTER, after);
    reply
}

fn error(status: StatusCode, why: &str) -> Reply {
    json(status, &json!({ "error": why }))
}

fn status_of(failed: &BodyError) -> StatusCode {
    match failed {
        BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
        BodyError::Broken(_) => StatusCode::BAD_REQUEST,
    }
}

fn page() -> Reply {
    let mut reply = Response::new(Bytes::from_static(PAGE.as_bytes()).into());
    let headers = reply.headers_mut();
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, html);
    reply
}

/// A random UUID (RFC 9562, version 4).
fn new_id() -> String {
    let random = fastrand::u128(..);
    let version = random & !(0xf << 76) | (0x4 << 76);
    let variant = version & !(0x3 << 62) | (0x2 << 62);
    let hex = format!("{variant:032x}");
    let (a, b, c, d, e) = (
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    );
    format!("{a}-{b}-{c}-{d}-{e}")
}

/// The default time somebody waits.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_random_uuids() {
        let (one, other) = (new_id(), new_id());
        assert_ne!(one, other);
        assert_eq!((one.len(), &one[14..15]), (36, "4"));
        assert!("89ab".contains(&one[19..20]), "{one}");
    }

    #[test]
    fn answers_keep_their_text_and_their_code() {
        for (code, status) in [
            (None, 200),
            (Some(504), 504),
            (Some(429), 429),
            (Some(7), 502),
        ] {
            let answer = Answer {
                code,
                ..Answer::error("a", 500, "why")
            };
            assert_eq!(reply(&answer).status(), status, "{code:?}");
        }
    }
}
