//! Passing requests on: as they come, except that indexes are lifted, so that for a reader that was here before the
//! move they never go back; and an index from before is taken for none, so that it is answered at once.
//!
//! A target that does not answer is a Consul agent that has lost its servers: 500 `No cluster leader`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use consul::{Client, RawAnswer, RawRequest};
use daemon::http::Reply;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{Response, Uri};
use http_body_util::Full;
use tokio::sync::watch;

use crate::registry::answer::{Answer, Failure};
use crate::registry::duration;
use crate::registry::request::{Call, MAX_WAIT, bearer, decode};
use crate::registry::state::State;

/// How long a request may take that does not wait for a change.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// On top of the longest honest wait of a query.
const ANSWER_MARGIN: Duration = Duration::from_secs(15);
/// How long a query waits that does not say.
const DEFAULT_WAIT: Duration = Duration::from_secs(5 * 60);
const INDEX: HeaderName = HeaderName::from_static("x-consul-index");
/// What belongs to one connection, or is made anew on the next.
const OF_ONE_CONNECTION: [HeaderName; 9] = [
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];
const TOKEN: HeaderName = HeaderName::from_static("x-consul-token");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Where everything goes after the move.
pub(in crate::registry) struct Upstream {
    client: Client,
    /// For questions of our own.
    pub(super) own: Client,
    pub(in crate::registry) address: String,
    offset: u64,
    /// The highest index of the target's that was seen: none that is above it was shown to anybody since this process
    /// runs.
    highest: AtomicU64,
    answers: AtomicBool,
    /// Where the target answers DNS, once it has said so.
    pub(super) dns: watch::Sender<Option<SocketAddr>>,
}

impl Upstream {
    pub(super) fn new(client: Client, own: Client, address: &str, offset: u64) -> Upstream {
        Upstream {
            client,
            own,
            address: address.to_owned(),
            offset,
            highest: AtomicU64::new(0),
            answers: AtomicBool::new(true),
            dns: watch::Sender::new(None),
        }
    }

    /// The index that a reader shows, as the target has it; `None` if it is none of the target's.
    fn lowered(&self, index: u64) -> Option<u64> {
        let index = index.checked_sub(self.offset).filter(|index| *index > 0)?;
        (index <= self.highest.load(Ordering::Relaxed)).then_some(index)
    }

    fn lifted(&self, index: u64) -> u64 {
        self.highest.fetch_max(index, Ordering::Relaxed);
        index.saturating_add(self.offset)
    }

    /// Path and query for the target.
    fn target(&self, uri: &Uri) -> String {
        let Some(query) = uri.query() else {
            return uri.path().to_owned();
        };
        if !has_indexes(uri) {
            return format!("{}?{query}", uri.path());
        }
        let pairs = query.split('&').filter_map(|pair| {
            match parameter(pair) {
                (name, index) if name == "index" => match index.parse() {
                    Ok(index) => self.lowered(index).map(|index| format!("index={index}")),
                    // The target says what is wrong with it.
                    Err(_) => Some(pair.to_owned()),
                },
                _ => Some(pair.to_owned()),
            }
        });
        let pairs: Vec<String> = pairs.collect();
        format!("{}?{}", uri.path(), pairs.join("&"))
    }

    /// Says when the target stops answering, and when it is back.
    fn note(&self, error: Option<&consul::Error>) {
        let answers = error.is_none();
        if self.answers.swap(answers, Ordering::Relaxed) == answers {
            return;
        }
        match error {
            None => tracing::info!(target_address = self.address, "the target answers again"),
            Some(error) => tracing::error!(
                target_address = self.address, %error,
                "the target does not answer; requests are answered 500 until it does"
            ),
        }
    }
}

/// The index of events is a hash, which has no order.
fn has_indexes(uri: &Uri) -> bool {
    !uri.path().starts_with("/v1/event/")
}

/// Name and value of one parameter as the target reads them: a name with an escape in it is the same name.
fn parameter(pair: &str) -> (String, String) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    // What cannot be decoded was refused before; here it is nobody's name.
    let decoded = |text: &str| decode(text, true).unwrap_or_else(|| text.to_owned());
    (decoded(name), decoded(value))
}

/// How long a request may take.
fn limit(uri: &Uri) -> Duration {
    let pairs = uri.query().unwrap_or_default().split('&');
    let parameters: Vec<_> = pairs.map(parameter).collect();
    let value = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted);
    if value("index").is_none() && value("hash").is_none() {
        return REQUEST_LIMIT;
    }
    let wait = value("wait").and_then(|(_, text)| duration::parse(text).ok());
    let wait = match wait.and_then(|wait| u64::try_from(wait).ok()) {
        Some(nanoseconds) if nanoseconds > 0 => Duration::from_nanos(nanoseconds).min(MAX_WAIT),
        _ => DEFAULT_WAIT,
    };
    wait + wait / 16 + ANSWER_MARGIN
}

/// Passes a request on and its answer back. A token that is this registry's own is a secret of its own, and unknown to the
/// target: it stays here.
pub(in crate::registry) async fn forward(
    state: &State,
    upstream: &Upstream,
    call: &Call,
    uri: &Uri,
    body: Bytes,
) -> Reply {
    let mut headers = end_to_end(&call.headers);
    let ours = |token: &str| !token.is_empty() && state.access.knows(token);
    without_own_tokens(&mut headers, ours);
    let target = without_own_token(&upstream.target(uri), ours);
    let request = RawRequest {
        method: call.method.clone(),
        target,
        headers,
        body: body.into(),
        limit: limit(uri),
        most: RawRequest::MOST,
    };
    let answer = upstream.client.pass_on(request).await;
    upstream.note(answer.as_ref().err());
    match answer {
        Ok(answer) => reply(upstream, uri, answer),
        Err(_) => Answer::from(Failure::failed("No cluster leader"))
            .header("x-consul-knownleader", "false")
            .into_reply(false),
    }
}

/// Takes out the headers that carry a token of `ours`.
fn without_own_tokens(headers: &mut HeaderMap, ours: impl Fn(&str) -> bool) {
    let text = |value: &HeaderValue| value.to_str().map(str::to_owned).ok();
    let values = |name| headers.get_all(name).iter().filter_map(text);
    let token = values(TOKEN).any(|value| ours(&value));
    let authorization = values(AUTHORIZATION).any(|value| bearer(&value).is_some_and(&ours));
    if token {
        headers.remove(TOKEN);
    }
    if authorization {
        headers.remove(AUTHORIZATION);
    }
}

/// Path and query without the parameters `token`, however that is written, that hold one of `ours`.
fn without_own_token(target: &str, ours: impl Fn(&str) -> bool) -> String {
    let Some((path, query)) = target.split_once('?') else {
        return target.to_owned();
    };
    let others = query.split('&').filter(|pair| {
        let (name, value) = parameter(pair);
        name != "token" || !ours(&value)
    });
    format!("{path}?{}", others.collect::<Vec<_>>().join("&"))
}

fn reply(upstream: &Upstream, uri: &Uri, answer: RawAnswer) -> Reply {
    let mut headers = end_to_end(&answer.headers);
    let index = headers.get(INDEX).and_then(|value| value.to_str().ok());
    if let Some(index) = index.and_then(|index| index.parse().ok())
        && has_indexes(uri)
    {
        headers.insert(INDEX, HeaderValue::from(upstream.lifted(index)));
    }
    let mut reply = Response::new(Full::new(Bytes::from(answer.body)));
    *reply.status_mut() = answer.status;
    *reply.headers_mut() = headers;
    reply
}

/// The headers without those of one connection, and without those that `Connection` names.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    let named: Vec<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    for name in named {
        kept.remove(name.as_str());
    }
    for name in OF_ONE_CONNECTION.iter().chain([&KEEP_ALIVE]) {
        kept.remove(name);
    }
    kept
}

#[cfg(test)]
mod tests {
    use consul::Config;

    use super::*;

    fn upstream(offset: u64) -> Upstream {
        let client = || Client::new(Config::new("127.0.0.1:1")).expect("a good address");
        Upstream::new(client(), client(), "127.0.0.1:1", offset)
    }

    fn target(upstream: &Upstream, uri: &str) -> String {
        upstream.target(&uri.parse().expect("a valid URI"))
    }

    #[test]
    fn indexes_never_go_back_and_those_from_before_the_move_are_answered_at_once() {
        let upstream = upstream(1000);
        assert_eq!(upstream.lifted(7), 1007);
        for (asked, expected) in [
            ("/v1/x?index=1007&wait=1s", "/v1/x?index=7&wait=1s"),
            ("/v1/x?wait=1s&index=1001", "/v1/x?wait=1s&index=1"),
            // Shown before the move.
            ("/v1/x?index=1000&wait=1s", "/v1/x?wait=1s"),
            ("/v1/x?index=12&passing", "/v1/x?passing"),
            // Never shown by this process.
            ("/v1/x?index=1008", "/v1/x?"),
            ("/v1/x?index=abc", "/v1/x?index=abc"),
            ("/v1/x?%69ndex=%31007", "/v1/x?index=7"),
            ("/v1/x", "/v1/x"),
            ("/v1/kv/a%2Fb?raw", "/v1/kv/a%2Fb?raw"),
            ("/v1/event/list?index=12", "/v1/event/list?index=12"),
        ] {
            assert_eq!(target(&upstream, asked), expected, "{asked}");
        }
    }

    #[test]
    fn a_token_of_ours_stays_here() {
        for (target, expected) in [
            ("/v1/x?token=a&passing", "/v1/x?passing"),
            ("/v1/x?tokens=a", "/v1/x?tokens=a"),
            ("/v1/x?%74oken=a&tag=%74oken", "/v1/x?tag=%74oken"),
            ("/v1/x?tag=b&to%6Ben=%61&token", "/v1/x?tag=b&token"),
            // The target's own, before or after one of ours.
            ("/v1/x?token=b&token=a", "/v1/x?token=b"),
            ("/v1/x?token=a&token=b", "/v1/x?token=b"),
            ("/v1/x", "/v1/x"),
        ] {
            let ours = |token: &str| token == "a";
            assert_eq!(without_own_token(target, ours), expected);
        }
        for (token, authorization, kept) in [
            ("a", "Bearer a", [false, false]),
            ("b", "bearer  a", [true, false]),
            ("a", "Bearer b", [false, true]),
            ("b", "Basic a", [true, true]),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(TOKEN, HeaderValue::from_static(token));
            headers.insert(AUTHORIZATION, HeaderValue::from_static(authorization));
            without_own_tokens(&mut headers, |token| token == "a");
            let found = [TOKEN, AUTHORIZATION].map(|name| headers.contains_key(name));
            assert_eq!(found, kept, "{token} {authorization}");
        }
    }

    #[test]
    fn a_query_may_take_as_long_as_it_asks_to_wait() {
        for (uri, least) in [
            ("/v1/x", 0),
            ("/v1/x?wait=10m", 0),
            ("/v1/x?index=1", 300),
            ("/v1/x?inde%78=1&wai%74=60%30s", 600),
            ("/v1/x?index=1&wait=600s", 600),
            ("/v1/x?index=1&wait=9999h", 600),
            ("/v1/x?hash=a&wait=2m", 120),
        ] {
            let limit = limit(&uri.parse().expect("a valid URI")).as_secs();
            assert!((least..least + 70).contains(&limit), "{uri}: {limit}");
        }
    }

    #[test]
    fn headers_of_one_connection_are_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "here"),
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "1"),
            ("transfer-encoding", "chunked"),
            ("x-consul-token", "t"),
        ] {
            let name: HeaderName = name.parse().expect("a header name");
            headers.insert(name, HeaderValue::from_static(value));
        }
        let kept = end_to_end(&headers);
        let names: Vec<&str> = kept.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-consul-token"]);
    }
}
