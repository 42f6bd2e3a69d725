//! Any request, passed on as it is: for whoever stands between a program and Consul, or asks what has no type here.
//!
//! Status codes are the asker's business; only a Consul that gives no whole answer is an error.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, Request, StatusCode, Url};

use super::{BODY_LIMIT, Client};
use crate::error::Error;

/// A request as it is to be sent.
#[derive(Debug, Clone)]
pub struct RawRequest {
    /// The method.
    pub method: Method,
    /// Path and query as on the wire, beginning with `/`.
    pub target: String,
    /// Headers; those that belong to one connection are for the sender to leave out.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// The longest it may take, from connecting to the answer's last byte.
    pub limit: Duration,
    /// Longest body of an answer; a longer one is an error.
    pub most: usize,
}

impl RawRequest {
    /// The longest body of any answer that is no snapshot.
    pub const MOST: usize = BODY_LIMIT;
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct RawAnswer {
    /// The status.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// The whole body, not decompressed.
    pub body: Vec<u8>,
}

impl Client {
    /// Sends a request as it is and returns whatever is answered, also a refusal. The configured token is sent where
    /// the request brings none.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`], [`Error::Timeout`], [`Error::TooLarge`], or [`Error::Argument`] for a target that is
    /// no path.
    pub async fn pass_on(&self, request: RawRequest) -> Result<RawAnswer, Error> {
        let base = self.inner.base.as_str().trim_end_matches('/');
        let url = Url::parse(&format!("{base}{}", request.target))
            .map_err(|error| Error::Argument(format!("{:?}: {error}", request.target)))?;
        let path = url.path().to_owned();
        let mut sent = Request::new(request.method, url);
        *sent.headers_mut() = request.headers;
        let named = ["x-consul-token", "authorization"];
        if let Some(token) = &self.inner.token
            && !named.iter().any(|name| sent.headers().contains_key(*name))
        {
            sent.headers_mut().insert("x-consul-token", token.clone());
        }
        *sent.timeout_mut() = Some(request.limit);
        if !request.body.is_empty() {
            *sent.body_mut() = Some(request.body.into());
        }
        let lost = |source: reqwest::Error| self.lost(source, &path, request.limit);
        let mut response = self.inner.http.execute(sent).await.map_err(lost)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > request.most {
                return Err(Error::TooLarge {
                    path,
                    limit: request.most,
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(RawAnswer {
            status: response.status(),
            headers: response.headers().clone(),
            body,
        })
    }
}
