//! What a handler may return, and how it becomes a reply.
//!
//! Knows nothing of requests or routes.

use bytes::Bytes;
use daemon::http::{Reply, json, text};
use http::{HeaderValue, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;

/// Anything a handler may return.
pub trait IntoReply {
    /// Makes the reply.
    fn into_reply(self) -> Reply;
}

/// A value to be sent as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoReply for Json<T> {
    fn into_reply(self) -> Reply {
        json(StatusCode::OK, &self.0)
    }
}

/// 200, as plain text.
impl IntoReply for &str {
    fn into_reply(self) -> Reply {
        text(StatusCode::OK, self)
    }
}

/// 200, as plain text.
impl IntoReply for String {
    fn into_reply(self) -> Reply {
        text(StatusCode::OK, self)
    }
}

/// 200, as bytes of no particular type.
impl IntoReply for Bytes {
    fn into_reply(self) -> Reply {
        let mut reply = Reply::new(Full::new(self));
        let any = HeaderValue::from_static("application/octet-stream");
        reply.headers_mut().insert(header::CONTENT_TYPE, any);
        reply
    }
}

/// The status without a body.
impl IntoReply for StatusCode {
    fn into_reply(self) -> Reply {
        let mut reply = Reply::default();
        *reply.status_mut() = self;
        reply
    }
}

/// 204: done, and nothing to say.
impl IntoReply for () {
    fn into_reply(self) -> Reply {
        StatusCode::NO_CONTENT.into_reply()
    }
}

/// The reply of the second, with the first as its status.
impl<T: IntoReply> IntoReply for (StatusCode, T) {
    fn into_reply(self) -> Reply {
        let mut reply = self.1.into_reply();
        *reply.status_mut() = self.0;
        reply
    }
}

impl<T: IntoReply, E: IntoReply> IntoReply for Result<T, E> {
    fn into_reply(self) -> Reply {
        match self {
            Ok(value) => value.into_reply(),
            Err(error) => error.into_reply(),
        }
    }
}

/// As it is.
impl IntoReply for Reply {
    fn into_reply(self) -> Reply {
        self
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn sent(value: impl IntoReply) -> (u16, String, String) {
        let (head, body) = value.into_reply().into_parts();
        let body = body.collect().await.expect("a body at hand").to_bytes();
        let kind = head
            .headers
            .get(header::CONTENT_TYPE)
            .map(|kind| kind.to_str());
        let kind = kind.and_then(Result::ok).unwrap_or_default().to_owned();
        (
            head.status.as_u16(),
            kind,
            String::from_utf8_lossy(&body).into_owned(),
        )
    }

    fn wanted(status: u16, kind: &str, body: &str) -> (u16, String, String) {
        (status, kind.to_owned(), body.to_owned())
    }

    #[tokio::test]
    async fn what_handlers_return_becomes_a_reply() {
        const TEXT: &str = "text/plain; charset=utf-8";
        const JSON: &str = "application/json";
        assert_eq!(sent("hi").await, wanted(200, TEXT, "hi"));
        assert_eq!(sent(String::from("hi")).await, wanted(200, TEXT, "hi"));
        assert_eq!(sent(()).await, wanted(204, "", ""));
        assert_eq!(sent(StatusCode::IM_A_TEAPOT).await, wanted(418, "", ""));
        assert_eq!(sent(Json([1, 2])).await, wanted(200, JSON, "[1,2]"));
        let created = (StatusCode::CREATED, Json("x"));
        assert_eq!(sent(created).await, wanted(201, JSON, "\"x\""));
        let failed: Result<(), _> = Err((StatusCode::CONFLICT, "no"));
        assert_eq!(sent(failed).await, wanted(409, TEXT, "no"));
        let bytes = Bytes::from_static(b"b");
        assert_eq!(
            sent(bytes).await,
            wanted(200, "application/octet-stream", "b")
        );
    }
}
