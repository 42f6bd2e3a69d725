//! Requests to the target that have no type of their own, and what is said when they fail.

use std::time::Duration;

use consul::{Client, Error, RawRequest};
use http::{HeaderMap, Method};
use serde_json::Value;

use crate::join::JoinError;

/// The longest one request to the target may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// Of a text that refuses, at most this much is shown.
const TEXT_SHOWN: usize = 200;

pub(super) fn during(what: impl Into<String>) -> impl FnOnce(Error) -> JoinError {
    let what = what.into();
    move |source| JoinError::Target { what, source }
}

/// Reads JSON that has no type of its own.
pub(in crate::join) async fn get(
    client: &Client,
    what: &str,
    path: &str,
) -> Result<Value, JoinError> {
    request(client, what, Method::GET, path, None).await
}

pub(super) async fn send(
    client: &Client,
    what: &str,
    path: &str,
    body: &Value,
) -> Result<(), JoinError> {
    request(client, what, Method::PUT, path, Some(body))
        .await
        .map(drop)
}

pub(super) async fn post(
    client: &Client,
    what: &str,
    path: &str,
    body: &Value,
) -> Result<Value, JoinError> {
    request(client, what, Method::POST, path, Some(body)).await
}

/// One request; a body that is no JSON is null.
pub(super) async fn request(
    client: &Client,
    what: &str,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, JoinError> {
    let raw = RawRequest {
        method,
        target: path.to_owned(),
        headers: HeaderMap::new(),
        body: body
            .map(|body| body.to_string().into_bytes())
            .unwrap_or_default(),
        limit: REQUEST_LIMIT,
        most: RawRequest::MOST,
    };
    let answer = client.pass_on(raw).await.map_err(during(what))?;
    if !answer.status.is_success() {
        let text = String::from_utf8_lossy(&answer.body);
        return Err(JoinError::Refused {
            what: what.to_owned(),
            status: answer.status.as_u16(),
            text: text.trim().chars().take(TEXT_SHOWN).collect(),
        });
    }
    Ok(serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
}
