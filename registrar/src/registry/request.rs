//! One request as the endpoints see it: method, decoded path, query parameters, body. It answers what the parameters
//! ask for in Consul's words where they are wrong, and knows nothing of the catalog or of sockets.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};

use super::answer::Failure;
use super::duration;

/// How long a query waits if it does not say.
const DEFAULT_WAIT: Duration = Duration::from_secs(5 * 60);
/// How long a query may wait; a longer wait counts as this.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(10 * 60);

/// A request, decoded.
pub(super) struct Call {
    pub(super) method: Method,
    /// Percent-decoded.
    pub(super) path: String,
    /// What follows the endpoint's fixed part of the path.
    pub(super) rest: String,
    parameters: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// How fresh an answer must be. There is one server, so they all come to the same but are echoed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consistency {
    Leader,
    Stale,
    Consistent,
}

impl Consistency {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Consistency::Leader => "leader",
            Consistency::Stale => "stale",
            Consistency::Consistent => "consistent",
        }
    }
}

/// What a blocking query waits for: an index above `index`, for at most `wait`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blocking {
    pub(super) index: u64,
    pub(super) wait: Duration,
}

/// What it asks for, without what it carries: parameters and headers hold tokens, bodies hold anything.
impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let asked = format_args!("{} {}", self.method, self.path);
        f.debug_tuple("Call").field(&asked).finish()
    }
}

impl Call {
    /// Decodes the path and the query.
    ///
    /// # Errors
    /// A `%` that is not followed by two hexadecimal digits; `true` if it is in the query.
    pub(super) fn new(method: Method, uri: &Uri, headers: HeaderMap) -> Result<Call, BadEscape> {
        let path = decode(uri.path(), false).ok_or(BadEscape::Path)?;
        let parameters = uri
            .query()
            .unwrap_or("")
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((decode(name, true)?, decode(value, true)?))
            })
            .collect::<Option<_>>()
            .ok_or(BadEscape::Query)?;
        Ok(Call {
            method,
            path,
            rest: String::new(),
            parameters,
            headers,
            body: Bytes::new(),
        })
    }

    /// The first value of a parameter; empty where it has none.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// All parameters as Go writes them: sorted by name, escaped.
    pub(super) fn encoded(&self) -> String {
        let mut sorted: Vec<&(String, String)> = self.parameters.iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let pairs = sorted
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    /// Every value of a parameter.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.parameters
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.parameter(name).is_some()
    }

    /// A switch: on without a value or with `true`, `1`, `t`.
    pub(super) fn switch(&self, name: &str) -> Result<bool, Failure> {
        match self.parameter(name) {
            None => Ok(false),
            Some("") => Ok(true),
            Some(word) => {
                truth(word).ok_or_else(|| Failure::invalid(format!("Invalid value for ?{name}")))
            }
        }
    }

    /// Refuses what only other kinds of Consul have, and other datacenters.
    pub(super) fn own_place(&self, datacenter: &str) -> Result<(), Failure> {
        if self.parameter("ns").is_some_and(|ns| !ns.is_empty()) {
            return Err(Failure::invalid(
                "Bad request: Invalid query parameter: \"ns\" - Namespaces are a Consul Enterprise feature",
            ));
        }
        match self.parameter("dc") {
            None | Some("") => Ok(()),
            Some(dc) if dc == datacenter => Ok(()),
            Some(_) => Err(Failure::no_path_to_datacenter()),
        }
    }

    pub(super) fn consistency(&self) -> Result<Consistency, Failure> {
        let (stale, consistent) = (self.has("stale"), self.has("consistent"));
        if stale && consistent {
            return Err(Failure::invalid(
                "Cannot specify ?stale with ?consistent, conflicting semantics.",
            ));
        }
        if self.has("cached") && consistent {
            return Err(Failure::invalid(
                "Cannot specify ?cached with ?consistent, conflicting semantics.",
            ));
        }
        Ok(match (stale, consistent) {
            (true, _) => Consistency::Stale,
            (_, true) => Consistency::Consistent,
            _ => Consistency::Leader,
        })
    }

    /// `index` and `wait`; `None` if the query wants its answer at once.
    pub(super) fn blocking(&self) -> Result<Option<Blocking>, Failure> {
        let wait = self.wait()?;
        let index = match self.parameter("index") {
            None | Some("") => 0,
            Some(text) => text
                .parse::<u64>()
                .map_err(|_| Failure::invalid("Invalid index"))?,
        };
        Ok((index > 0).then_some(Blocking { index, wait }))
    }

    /// `wait`, within its bounds.
    pub(super) fn wait(&self) -> Result<Duration, Failure> {
        let wait = match self.parameter("wait") {
            None | Some("") => 0,
            Some(text) => {
                duration::parse(text).map_err(|_| Failure::invalid("Invalid wait time"))?
            }
        };
        Ok(match u64::try_from(wait) {
            Ok(0) | Err(_) => DEFAULT_WAIT,
            Ok(wait) => Duration::from_nanos(wait).min(MAX_WAIT),
        })
    }

    /// The token it was sent with: as a parameter, else in Consul's header, else as a bearer's.
    pub(super) fn token(&self) -> Option<&str> {
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = header("authorization").and_then(bearer);
        let given = [self.parameter("token"), header("x-consul-token"), bearer];
        given.into_iter().flatten().find(|token| !token.is_empty())
    }

    /// `node-meta=key:value` pairs, all of which a node must have.
    pub(super) fn node_meta(&self) -> Vec<(&str, &str)> {
        self.all("node-meta")
            .map(|pair| pair.split_once(':').unwrap_or((pair, "")))
            .collect()
    }

    /// The path and the parameters that decide the contents of the answer: queries alike have equal keys.
    /// `rights` is the number of the asker's: others may be shown other rows.
    pub(super) fn content_key(&self, rights: u64) -> String {
        let mut key = format!("{rights}\u{0}{}", self.path);
        for (name, value) in &self.parameters {
            if !matches!(
                name.as_str(),
                "index" | "wait" | "token" | "stale" | "consistent" | "cached"
            ) {
                key.push('\u{0}');
                key.push_str(name);
                key.push('\u{1}');
                key.push_str(value);
            }
        }
        key
    }
}

/// A `%` without two hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadEscape {
    Path,
    Query,
}

/// The token in the value of an `Authorization` header.
pub(super) fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    is_bearer.then_some(token.trim())
}

/// The words Go's `strconv.ParseBool` takes.
pub(super) fn truth(word: &str) -> Option<bool> {
    match word {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Go's `url.QueryEscape`.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// What percent-escapes stand for; `None` if one has no two hexadecimal digits.
pub(super) fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let (high, low) = (rest.next()?, rest.next()?);
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                bytes.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?);
            }
            b'+' if plus_is_space => bytes.push(b' '),
            byte => bytes.push(*byte),
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(uri: &str) -> Call {
        let uri: Uri = uri.parse().expect("a valid URI");
        Call::new(Method::GET, &uri, HeaderMap::new()).expect("valid escapes")
    }

    #[test]
    fn blocking_parameters() {
        let table = [
            ("/x", Ok(None)),
            ("/x?index=0&wait=1s", Ok(None)),
            ("/x?index=7", Ok(Some((7, 300)))),
            ("/x?index=7&wait=2s", Ok(Some((7, 2)))),
            ("/x?index=7&wait=2h", Ok(Some((7, 600)))),
            ("/x?index=7&wait=-2s", Ok(Some((7, 300)))),
            ("/x?index=abc", Err("Invalid index")),
            ("/x?index=-1", Err("Invalid index")),
            ("/x?wait=10", Err("Invalid wait time")),
        ];
        for (uri, expected) in table {
            let got = call(uri).blocking();
            let got = got.map(|blocking| blocking.map(|b| (b.index, b.wait.as_secs())));
            assert_eq!(
                got.map_err(|failure| failure.text),
                expected.map_err(str::to_owned),
                "{uri}"
            );
        }
    }

    #[test]
    fn switches_and_escapes() {
        assert_eq!(call("/x?passing").switch("passing"), Ok(true));
        assert_eq!(call("/x?passing=0").switch("passing"), Ok(false));
        assert_eq!(call("/x").switch("passing"), Ok(false));
        assert!(call("/x?passing=maybe").switch("passing").is_err());
        let odd = call("/v1/a%2Fb+c?tag=a+b%20c&tag=d");
        assert_eq!(odd.path, "/v1/a/b+c");
        assert_eq!(odd.all("tag").collect::<Vec<_>>(), ["a b c", "d"]);
        assert_eq!(call("/x?b=2+&a=%26").encoded(), "a=%26&b=2+");
        let bad: Uri = "/x?%zz".parse().expect("a valid URI");
        assert_eq!(
            Call::new(Method::GET, &bad, HeaderMap::new()).err(),
            Some(BadEscape::Query)
        );
    }

    #[test]
    fn tokens_are_taken_in_consuls_order_and_do_not_show() {
        let table = [
            ("/x?token=a", "b", "Bearer c", Some("a")),
            ("/x?token=", "b", "Bearer c", Some("b")),
            ("/x", "", "bearer  c", Some("c")),
            ("/x", "", "Basic c", None),
            ("/x", "", "c", None),
        ];
        for (uri, header, authorization, token) in table {
            let mut call = call(uri);
            let headers = [("x-consul-token", header), ("authorization", authorization)];
            for (name, value) in headers {
                let value = value.parse().expect("a header");
                call.headers.insert(name, value);
            }
            assert_eq!(call.token(), token, "{uri} {header} {authorization}");
        }
        let shown = format!("{:?}", call("/v1/kv/x?token=s3cret"));
        assert_eq!(shown, "Call(GET /v1/kv/x)");
    }

    #[test]
    fn queries_that_differ_only_in_waiting_share_their_contents() {
        let a = call("/v1/health/service/web?passing&index=7&wait=1s");
        assert_eq!(
            a.content_key(1),
            call("/v1/health/service/web?passing").content_key(1)
        );
        assert_ne!(
            a.content_key(1),
            call("/v1/health/service/web").content_key(1)
        );
    }
}
