//! A request as handlers see it: path parameters, query, headers and the whole body.
//!
//! Every access that can fail fails with a [`Rejection`], which is a reply with a clear text, so a
//! handler needs no more than `?`. Knows nothing of sockets or routes.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use bytes::Bytes;
use daemon::http::{Reply, text};
use http::{HeaderMap, Method, StatusCode};
use serde::de::DeserializeOwned;

use crate::IntoReply;
use crate::percent::decode;

/// Characters of a client's own words that are repeated in a rejection.
const SHOWN_MAX: usize = 80;

/// The address of a request that came by no socket.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// One request with its whole body.
#[derive(Debug)]
pub struct Request {
    inner: http::Request<Bytes>,
    params: Vec<(String, String)>,
    peer: SocketAddr,
    local: SocketAddr,
}

/// Why a request is refused before a handler's own work begins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A value in the path does not fit its type: 400.
    #[error("path parameter {name}: {value:?} does not fit: {reason}")]
    Param {
        /// The parameter.
        name: String,
        /// What the client sent, clipped.
        value: String,
        /// Why it does not fit.
        reason: String,
    },
    /// A value in the query does not fit its type, or is not properly escaped: 400.
    #[error("query parameter {name}: {value:?} does not fit: {reason}")]
    Query {
        /// The parameter.
        name: String,
        /// What the client sent, clipped.
        value: String,
        /// Why it does not fit.
        reason: String,
    },
    /// The body is not what it should be: 400.
    #[error("the body does not fit: {0}")]
    Body(String),
    /// The handler asked for a parameter its route does not have, a mistake in the service: 500.
    #[error("this service asked for the path parameter {0}, which its route does not have")]
    NoSuchParam(String),
}

impl IntoReply for Rejection {
    fn into_reply(self) -> Reply {
        let status = match self {
            Self::Param { .. } | Self::Query { .. } | Self::Body(_) => StatusCode::BAD_REQUEST,
            Self::NoSuchParam(_) => {
                tracing::error!("{self}");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        text(status, format!("{self}\n"))
    }
}

impl Request {
    /// A request that came over a connection from `peer`, accepted on `local`.
    pub fn new(inner: http::Request<Bytes>, peer: SocketAddr, local: SocketAddr) -> Self {
        Self {
            inner,
            params: Vec::new(),
            peer,
            local,
        }
    }

    pub(crate) fn with_params(self, params: Vec<(String, String)>) -> Self {
        Self { params, ..self }
    }

    /// The method.
    pub fn method(&self) -> &Method {
        self.inner.method()
    }

    /// The path as it was sent, not decoded.
    pub fn path(&self) -> &str {
        self.inner.uri().path()
    }

    /// All headers.
    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// A header's first value, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    }

    /// Who sent it: the balancer, if there is one between. `0.0.0.0:0` in tests without sockets.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The address the service listens on. `0.0.0.0:0` in tests without sockets.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The value of a path parameter of the route.
    ///
    /// # Errors
    ///
    /// When it does not fit `T`, which is the client's mistake, or when the route has no such
    /// parameter, which is the service's.
    pub fn param<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, Rejection> {
        let (_, value) = self
            .params
            .iter()
            .find(|(known, _)| known == name)
            .ok_or_else(|| Rejection::NoSuchParam(name.to_owned()))?;
        value.parse().map_err(|error: T::Err| Rejection::Param {
            name: name.to_owned(),
            value: clipped(value),
            reason: error.to_string(),
        })
    }

    /// The first value of a query parameter, or `None` if there is none. `?x` counts as empty.
    ///
    /// # Errors
    ///
    /// When it does not fit `T` or is not properly escaped.
    pub fn query<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Rejection> {
        let query = self.inner.uri().query().unwrap_or_default();
        let pairs = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let mut values = pairs.filter(|(key, _)| decode(key, true).as_deref() == Some(name));
        let Some((_, value)) = values.next() else {
            return Ok(None);
        };
        let rejection = |reason| Rejection::Query {
            name: name.to_owned(),
            value: clipped(value),
            reason,
        };
        let text = decode(value, true)
            .ok_or_else(|| rejection(String::from("a broken escape, or not UTF-8")))?;
        text.parse()
            .map(Some)
            .map_err(|error: T::Err| rejection(error.to_string()))
    }

    /// The whole body.
    pub fn body(&self) -> &Bytes {
        self.inner.body()
    }

    /// The body as text.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8.
    pub fn text(&self) -> Result<&str, Rejection> {
        std::str::from_utf8(self.body()).map_err(|error| Rejection::Body(error.to_string()))
    }

    /// The body read as JSON, whatever its content type says.
    ///
    /// # Errors
    ///
    /// When it is not JSON, or not of the shape of `T`; the text says where.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Rejection> {
        serde_json::from_slice(self.body()).map_err(|error| Rejection::Body(error.to_string()))
    }
}

/// For tests: a request that came by no socket.
impl From<http::Request<Bytes>> for Request {
    fn from(inner: http::Request<Bytes>) -> Self {
        Self::new(inner, NOWHERE, NOWHERE)
    }
}

fn clipped(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, body: &'static str) -> Request {
        let inner = http::Request::builder()
            .uri(uri)
            .body(Bytes::from_static(body.as_bytes()));
        Request::from(inner.expect("a good request"))
    }

    #[test]
    fn a_parameter_is_parsed_or_rejected_with_its_name() {
        let params = vec![
            ("ms".to_owned(), "12".to_owned()),
            ("w".to_owned(), "x".to_owned()),
        ];
        let request = request("/", "").with_params(params);
        assert_eq!(request.param::<u64>("ms"), Ok(12));
        assert_eq!(request.param::<String>("w").as_deref(), Ok("x"));
        let wrong = request.param::<u64>("w").expect_err("x is no number");
        assert_eq!(
            wrong.to_string(),
            "path parameter w: \"x\" does not fit: invalid digit found in string"
        );
        assert_eq!(wrong.into_reply().status(), StatusCode::BAD_REQUEST);
        let missing = request.param::<u64>("none").expect_err("no such parameter");
        assert_eq!(
            missing.into_reply().status(),
            StatusCode::INTERNAL_SERVER_ERROR
        );
    }

    #[test]
    fn a_query_parameter_is_found_decoded_and_parsed() {
        let table: [(&str, &str, Option<&str>); 7] = [
            ("/?a=1", "a", Some("1")),
            ("/?b=2&a=1&a=3", "a", Some("1")),
            ("/?a=x+y%26z", "a", Some("x y&z")),
            ("/?a", "a", Some("")),
            ("/?%61=1", "a", Some("1")),
            ("/?b=1", "a", None),
            ("/", "a", None),
        ];
        for (uri, name, wanted) in table {
            let found = request(uri, "")
                .query::<String>(name)
                .expect("well escaped");
            assert_eq!(found.as_deref(), wanted, "{uri}");
        }
        assert!(request("/?a=%zz", "").query::<String>("a").is_err());
        assert!(request("/?a=x", "").query::<u32>("a").is_err());
        assert_eq!(request("/?a=7", "").query("a"), Ok(Some(7u32)));
    }

    #[test]
    fn long_values_are_clipped_in_rejections() {
        let uri = format!("/?a={}", "x".repeat(5000));
        let error = request(&uri, "").query::<u32>("a").expect_err("no number");
        assert!(error.to_string().len() < 2 * SHOWN_MAX + 100);
    }

    #[test]
    fn a_body_is_text_or_json_or_a_rejection() {
        assert_eq!(request("/", "[1,2]").json(), Ok(vec![1, 2]));
        assert_eq!(request("/", "é").text(), Ok("é"));
        let error = request("/", "[1,").json::<Vec<u8>>().expect_err("cut off");
        assert!(error.to_string().contains("line 1"), "{error}");
        let bytes = http::Request::new(Bytes::from_static(b"\xff"));
        assert!(Request::from(bytes).text().is_err());
    }
}
