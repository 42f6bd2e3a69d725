//! The client: one request, one typed answer, within limits.
//!
//! It sends and reads; what to ask next and when is decided elsewhere. Redirects are not followed and
//! proxies from the environment not used: the token goes to the configured address and nowhere else.

mod agent;
mod catalog;
mod connect;
mod external;
mod kv;
mod raw;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Request, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::address::Address;
use crate::error::{Error, innermost, is_mistake, one_line};
use crate::query::{Answer, Query};
use crate::{Config, config};

pub use self::raw::{RawAnswer, RawRequest};

/// An answer at most this large is read. A thousand instances are 2.6 MB from the real Consul.
const BODY_LIMIT: usize = 64 << 20;

/// Of an error text, at most this much is read.
const ERROR_TEXT_LIMIT: usize = 4 << 10;

/// The longest a request that does not block may take, from connecting to the answer's last byte.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// A client of one Consul agent. Clones are cheap and share its connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    address: String,
    base: Url,
    token: Option<HeaderValue>,
    datacenter: Option<String>,
}

impl Client {
    /// Makes a client. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the address, the token or one of the files named cannot be used.
    pub fn new(config: Config) -> Result<Self, Error> {
        let address = Address::parse(&config.address, config.tls).map_err(|reason| {
            Error::config(
                format!(
                    "the address of Consul, {:?}, cannot be used",
                    masked(&config)
                ),
                reason,
            )
        })?;
        let (http, base) = connect::build(&address, &config)?;
        let inner = Inner {
            http,
            address: address.to_string(),
            base,
            token: connect::token(&config)?,
            datacenter: config.datacenter,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The address requests go to, for messages.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.inner.address
    }

    /// Asks an endpoint of the catalog, which may block.
    async fn ask<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &Query,
    ) -> Result<Answer<T>, Error> {
        let limit = query.limit(REQUEST_LIMIT);
        let parameters = query.parameters(self.inner.datacenter.as_deref());
        let request = self.request(Method::GET, path, &parameters)?;
        self.send(request, limit, decode).await
    }

    /// Asks an endpoint of the agent.
    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, Error> {
        let request = self.request(Method::GET, path, &[])?;
        Ok(self.send(request, REQUEST_LIMIT, decode).await?.value)
    }

    /// Tells the agent something; what it answers does not matter if it is a success.
    async fn put(
        &self,
        path: &[&str],
        parameters: &[(&str, String)],
        body: Option<&impl Serialize>,
    ) -> Result<(), Error> {
        let request = self.put_request(path, parameters, body)?;
        self.send(request, REQUEST_LIMIT, |_, _| Ok(()))
            .await
            .map(|_| ())
    }

    /// Tells something and reads what is answered.
    async fn put_and_read<T: DeserializeOwned>(
        &self,
        path: &[&str],
        parameters: &[(&str, String)],
        body: Option<&impl Serialize>,
    ) -> Result<T, Error> {
        let request = self.put_request(path, parameters, body)?;
        Ok(self.send(request, REQUEST_LIMIT, decode).await?.value)
    }

    fn put_request(
        &self,
        path: &[&str],
        parameters: &[(&str, String)],
        body: Option<&impl Serialize>,
    ) -> Result<Request, Error> {
        let mut request = self.request(Method::PUT, path, parameters)?;
        if let Some(body) = body {
            let bytes = serde_json::to_vec(body).map_err(|e| Error::Argument(e.to_string()))?;
            *request.body_mut() = Some(bytes.into());
            let json = HeaderValue::from_static("application/json");
            request
                .headers_mut()
                .insert(reqwest::header::CONTENT_TYPE, json);
        }
        Ok(request)
    }

    /// The configured datacenter.
    fn datacenter(&self) -> Option<&str> {
        self.inner.datacenter.as_deref()
    }

    /// The configured datacenter as the parameters of a write.
    fn in_datacenter(&self) -> Vec<(&'static str, String)> {
        let datacenter = self.datacenter().map(|dc| ("dc", dc.to_owned()));
        datacenter.into_iter().collect()
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        parameters: &[(&str, String)],
    ) -> Result<Request, Error> {
        let mut url = self.inner.base.clone();
        url.path_segments_mut()
            .expect("http and https URLs have a path")
            .pop_if_empty()
            .extend(path.iter().copied());
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        let mut request = Request::new(method, url);
        if let Some(token) = &self.inner.token {
            request
                .headers_mut()
                .insert("x-consul-token", token.clone());
        }
        Ok(request)
    }

    /// Sends a request and reads its answer, all within `limit`.
    async fn send<T>(
        &self,
        request: Request,
        limit: Duration,
        read: impl FnOnce(&str, &[u8]) -> Result<T, Error>,
    ) -> Result<Answer<T>, Error> {
        let Received {
            path,
            body,
            headers,
        } = self.exchange(request, limit).await?.successful()?;
        Ok(Answer::new(read(&path, &body)?, &headers))
    }

    /// [`Client::send`] where 404 means that what was asked for does not exist.
    async fn send_or_absent<T>(
        &self,
        request: Request,
        limit: Duration,
        read: impl FnOnce(&str, &[u8]) -> Result<T, Error>,
    ) -> Result<Answer<Option<T>>, Error> {
        let exchanged = self.exchange(request, limit).await?;
        if exchanged.code == StatusCode::NOT_FOUND {
            return Ok(Answer::new(None, &exchanged.received.headers));
        }
        let Received {
            path,
            body,
            headers,
        } = exchanged.successful()?;
        Ok(Answer::new(Some(read(&path, &body)?), &headers))
    }

    async fn exchange(&self, mut request: Request, limit: Duration) -> Result<Exchanged, Error> {
        *request.timeout_mut() = Some(limit);
        let method = request.method().to_string();
        let path = request.url().path().to_owned();
        let lost = |source: reqwest::Error| self.lost(source, &path, limit);
        let mut response = self.inner.http.execute(request).await.map_err(lost)?;
        let code = response.status();
        let body_limit = if code.is_success() {
            BODY_LIMIT
        } else {
            ERROR_TEXT_LIMIT
        };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            let room = body_limit - body.len();
            if chunk.len() > room && code.is_success() {
                return Err(Error::TooLarge {
                    path,
                    limit: BODY_LIMIT,
                });
            }
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == body_limit && !code.is_success() {
                break;
            }
        }
        let headers = std::mem::take(response.headers_mut());
        Ok(Exchanged {
            method,
            code,
            received: Received {
                path,
                body,
                headers,
            },
        })
    }

    /// Sorts what the transport reports.
    fn lost(&self, source: reqwest::Error, path: &str, limit: Duration) -> Error {
        let address = self.inner.address.clone();
        if source.is_timeout() && !source.is_connect() {
            return Error::Timeout {
                address,
                path: path.to_owned(),
                limit,
            };
        }
        let source = source.without_url();
        let mut reason = innermost(&source);
        if source.is_request() && !source.is_connect() && !is_mistake(&reason) {
            // It took the connection and gave it up. So it does when it ends, and to whoever has too many.
            reason.push_str(TOO_MANY);
        }
        Error::Unreachable {
            address,
            reason,
            source,
        }
    }
}

/// What a person should know who has more waiting queries than a Consul agent takes: unless it is told otherwise it drops
/// connections beyond 200 of one address (`limits` in Consul's agent configuration).
const TOO_MANY: &str = " (an agent drops more than 200 connections of one address unless \
                        limits.http_max_conns_per_client says more)";

/// What came back, whatever its status.
struct Exchanged {
    method: String,
    code: StatusCode,
    received: Received,
}

/// An answer that has not been read yet.
struct Received {
    path: String,
    body: Vec<u8>,
    headers: HeaderMap,
}

impl Exchanged {
    /// What came back, unless it is a refusal.
    fn successful(self) -> Result<Received, Error> {
        if self.code.is_success() {
            return Ok(self.received);
        }
        Err(Error::Status {
            method: self.method,
            text: one_line(&self.received.body),
            path: self.received.path,
            code: self.code.as_u16(),
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.inner.address)
            .finish_non_exhaustive()
    }
}

fn decode<T: DeserializeOwned>(path: &str, body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|source| Error::Decode {
        path: path.to_owned(),
        source,
    })
}

/// A name or id as one segment of a path. What a URL would drop or read as a step cannot be sent.
fn segment<'a>(what: &str, text: &'a str) -> Result<&'a str, Error> {
    match text {
        "" => Err(Error::Argument(format!("the {what} is empty"))),
        "." | ".." => Err(Error::Argument(format!("{text:?} cannot be the {what}"))),
        _ => Ok(text),
    }
}

/// The address for an error message, without a password somebody may have put into it.
fn masked(config: &config::Config) -> String {
    match config.address.rsplit_once('@') {
        Some((_, host)) => format!("***@{host}"),
        None => config.address.clone(),
    }
}
