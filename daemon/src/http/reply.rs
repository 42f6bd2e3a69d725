//! Replies with a whole body: text or JSON.
//!
//! Both carry a content type and forbid guessing it, since names of services and tags, which are
//! strangers' input, appear in them.

use ::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::Full;
use serde::Serialize;
use tracing::error;

/// An answer with its whole body at hand.
pub type Reply = Response<Full<Bytes>>;

/// A plain text reply. The body is sent as it is: end it with a newline to please terminals.
pub fn text(status: StatusCode, body: impl Into<String>) -> Reply {
    reply(status, "text/plain; charset=utf-8", body.into().into())
}

/// A JSON reply. A value that cannot be written as JSON is a 500 and a log line.
pub fn json(status: StatusCode, value: &impl Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(body) => reply(status, "application/json", body.into()),
        Err(error) => {
            error!(%error, "cannot write a reply as JSON");
            text(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n")
        }
    }
}

fn reply(status: StatusCode, content_type: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    reply
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn replies_name_their_type() {
        let plain = text(StatusCode::NOT_FOUND, "no\n");
        assert_eq!(plain.status(), StatusCode::NOT_FOUND);
        assert_eq!(
            plain.headers()[header::CONTENT_TYPE],
            "text/plain; charset=utf-8"
        );
        let value = json(StatusCode::OK, &[1, 2]);
        assert_eq!(value.headers()[header::CONTENT_TYPE], "application/json");
        assert_eq!(value.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }

    #[test]
    fn what_is_not_json_is_a_500() {
        let keys_must_be_text = HashMap::from([((1, 2), 3)]);
        assert_eq!(json(StatusCode::OK, &keys_must_be_text).status(), 500);
    }
}
