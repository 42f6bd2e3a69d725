//! What a running `turno up` says and takes on its admin listener: `/v1/up`, `/v1/up/brokers` and `/v1/up/scale`.
//!
//! The shapes stand here once, for `up` that writes them and `scale` that reads them. Counting and
//! starting replicas is the supervisor's business.

use std::net::SocketAddr;

use daemon::http::{Reply, text};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::board::ReplicaView;

/// Where the state of a running `up` is read.
pub(crate) const VIEW_PATH: &str = "/v1/up";

/// Where the brokers that the registry knows are shown, with what they say of themselves.
pub(crate) const BROKERS_PATH: &str = "/v1/up/brokers";

/// Where the number of replicas is set: `PUT ?service=NAME&replicas=N`.
pub(crate) const SCALE_PATH: &str = "/v1/up/scale";

/// Replicas of one service at most: each is a process, and a slip of the finger should not start
/// thousands of them.
pub(crate) const MAX_REPLICAS: usize = 64;

/// What runs where: the answer of [`VIEW_PATH`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct UpView {
    /// The service that is replicated.
    pub(crate) service: String,
    /// How many replicas there should be.
    pub(crate) desired: usize,
    /// How many of them the balancer sends requests to.
    pub(crate) in_rotation: usize,
    /// The replicas there are, also those that start or stop.
    pub(crate) replicas: Vec<ReplicaView>,
    /// The registry, as a URL.
    pub(crate) registry: String,
    /// Where the balancer accepts requests.
    pub(crate) balancer: SocketAddr,
    /// Where this was answered.
    pub(crate) admin: SocketAddr,
}

/// What became of a wish for another number of replicas: the answer of [`SCALE_PATH`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scaled {
    /// The service.
    pub(crate) service: String,
    /// How many replicas there should have been until now.
    pub(crate) before: usize,
    /// How many there should be from now on.
    pub(crate) after: usize,
}

/// What a request wants of `up`.
#[derive(Debug)]
pub(super) enum Ask {
    /// The view.
    View,
    /// The brokers there are.
    Brokers,
    /// This many replicas.
    Scale(usize),
    /// Something that cannot be: this is the answer.
    Wrong(Reply),
}

/// Reads what a request wants; `None` when it is not for `up`.
pub(super) fn ask(method: &Method, path: &str, query: Option<&str>) -> Option<Ask> {
    let allowed = match path {
        VIEW_PATH | BROKERS_PATH => Method::GET,
        SCALE_PATH => Method::PUT,
        _ => return None,
    };
    if method != allowed {
        let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, format!("use {allowed}\n"));
        let allow = allowed
            .as_str()
            .parse()
            .expect("a method is a header value");
        reply.headers_mut().insert(http::header::ALLOW, allow);
        return Some(Ask::Wrong(reply));
    }
    match path {
        VIEW_PATH => return Some(Ask::View),
        BROKERS_PATH => return Some(Ask::Brokers),
        _ => {}
    }
    Some(match wish(query.unwrap_or_default(), super::SERVICE) {
        Ok(count) => Ask::Scale(count),
        Err((status, reason)) => Ask::Wrong(text(status, format!("{reason}\n"))),
    })
}

/// Reads how many replicas are wished for.
fn wish(query: &str, ours: &str) -> Result<usize, (StatusCode, String)> {
    let (mut service, mut replicas) = (None, None);
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("service", name)) => service = Some(name),
            Some(("replicas", count)) => replicas = Some(count),
            _ => {}
        }
    }
    let bad = |reason: String| (StatusCode::BAD_REQUEST, reason);
    let service = service.ok_or_else(|| bad("service is missing".to_owned()))?;
    if service != ours {
        let reason = format!("{service:?} is not run here: only {ours:?} is");
        return Err((StatusCode::NOT_FOUND, reason));
    }
    let replicas = replicas.ok_or_else(|| bad("replicas is missing".to_owned()))?;
    match replicas.parse() {
        Ok(count) if count <= MAX_REPLICAS => Ok(count),
        _ => Err(bad(format!(
            "replicas: expected 0 to {MAX_REPLICAS}, found {replicas:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_judged() {
        let cases = [
            ("service=hello&replicas=5", Ok(5)),
            ("replicas=0&service=hello&x=y", Ok(0)),
            ("service=hello&replicas=64", Ok(64)),
            ("service=hello&replicas=65", Err(400)),
            ("service=hello&replicas=-1", Err(400)),
            ("service=hello&replicas=99999999999999999999", Err(400)),
            ("service=hello", Err(400)),
            ("replicas=5", Err(400)),
            ("", Err(400)),
            ("service=web&replicas=5", Err(404)),
        ];
        for (query, want) in cases {
            let got = wish(query, "hello").map_err(|(status, _)| status.as_u16());
            assert_eq!(got, want, "{query}");
        }
    }

    #[test]
    fn each_page_has_its_method() {
        let code = |method: Method, path| match ask(&method, path, Some("service=hello&replicas=5"))
        {
            None => 0,
            Some(Ask::View) => 1,
            Some(Ask::Brokers) => 2,
            Some(Ask::Scale(count)) => count as u16,
            Some(Ask::Wrong(reply)) => reply.status().as_u16(),
        };
        assert_eq!(code(Method::GET, VIEW_PATH), 1);
        assert_eq!(code(Method::GET, BROKERS_PATH), 2);
        assert_eq!(code(Method::PUT, BROKERS_PATH), 405);
        assert_eq!(code(Method::PUT, SCALE_PATH), 5);
        assert_eq!(code(Method::PUT, VIEW_PATH), 405);
        assert_eq!(code(Method::GET, SCALE_PATH), 405);
        assert_eq!(code(Method::GET, "/ready"), 0);
    }
}
