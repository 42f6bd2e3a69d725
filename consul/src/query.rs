//! What a catalog question may ask for besides its subject, and what comes with the answer.
//!
//! Plain values and their wire form; sending is the client's business.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::HeaderMap;

/// How long a blocking query waits when it does not say: short enough that a dead connection shows soon.
pub(crate) const DEFAULT_WAIT: Duration = Duration::from_secs(60);

/// Consul holds no query longer than this (plus a sixteenth).
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(600);

/// Consul reads a wait of 0 as "five minutes", so this is the shortest.
const MIN_WAIT: Duration = Duration::from_millis(1);

/// On top of the longest honest wait: the answer's way through a busy machine.
const ANSWER_MARGIN: Duration = Duration::from_secs(5);

const _: () =
    assert!(answer_limit(MAX_WAIT).as_millis() > MAX_WAIT.as_millis() + MAX_WAIT.as_millis() / 16);
const _: () = assert!(answer_limit(DEFAULT_WAIT).as_millis() > DEFAULT_WAIT.as_millis() * 17 / 16);

/// When a blocking query of `wait` is no longer slow but dead: Consul adds up to a sixteenth of jitter.
pub(crate) const fn answer_limit(wait: Duration) -> Duration {
    Duration::from_millis((wait.as_millis() + wait.as_millis() / 16) as u64)
        .saturating_add(ANSWER_MARGIN)
}

/// The options of a catalog or health query. The default asks for everything, at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Block until the answer's index is past this one. 0 is the same as `None`.
    pub index: Option<u64>,
    /// How long to block at most: 1 ms to 10 min, 60 s when absent. Only with an index.
    pub wait: Option<Duration>,
    /// Only instances whose checks all pass. (Watchers that weigh statuses themselves ask for all.)
    pub passing: bool,
    /// Only instances that have all these tags.
    pub tags: Vec<String>,
    /// Any server may answer, even one cut off from its leader.
    pub stale: bool,
    /// The leader must make sure that it still is one.
    pub consistent: bool,
    /// The datacenter, when it is not the configured one.
    pub datacenter: Option<String>,
    /// A filter expression in Consul's language.
    pub filter: Option<String>,
    /// Sort by the distance from this node (`_agent` for the agent's own).
    pub near: Option<String>,
    /// Only nodes with these facts.
    pub node_meta: BTreeMap<String, String>,
}

impl Query {
    /// The wait to ask for, if this query is to block.
    pub(crate) fn blocks(&self) -> Option<(u64, Duration)> {
        let index = self.index.filter(|index| *index > 0)?;
        Some((
            index,
            self.wait.unwrap_or(DEFAULT_WAIT).clamp(MIN_WAIT, MAX_WAIT),
        ))
    }

    /// How long the answer may take: `at_once`, unless the query is to block.
    pub(crate) fn limit(&self, at_once: Duration) -> Duration {
        self.blocks()
            .map_or(at_once, |(_, wait)| answer_limit(wait))
    }

    /// The query's parameters on the wire, with `datacenter` unless the query names its own.
    pub(crate) fn parameters(&self, datacenter: Option<&str>) -> Vec<(&'static str, String)> {
        let mut parameters = Vec::new();
        if let Some((index, wait)) = self.blocks() {
            parameters.push(("index", index.to_string()));
            parameters.push(("wait", format!("{}ms", wait.as_millis())));
        }
        for (name, set) in [
            ("passing", self.passing),
            ("stale", self.stale),
            ("consistent", self.consistent),
        ] {
            if set {
                parameters.push((name, "1".to_owned()));
            }
        }
        parameters.extend(self.tags.iter().map(|tag| ("tag", tag.clone())));
        for (name, value) in [
            ("dc", self.datacenter.as_deref().or(datacenter)),
            ("filter", self.filter.as_deref()),
            ("near", self.near.as_deref()),
        ] {
            parameters.extend(value.map(|value| (name, value.to_owned())));
        }
        parameters.extend(
            self.node_meta
                .iter()
                .map(|(k, v)| ("node-meta", format!("{k}:{v}"))),
        );
        parameters
    }
}

/// A value and what the answer's header said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<T> {
    /// The value.
    pub value: T,
    /// The index to block on for the next change; 0 when the server sent none that is usable.
    pub index: u64,
    /// Whether the server that answered knows a leader; if not, the value may be stale without bound.
    pub known_leader: bool,
    /// How long ago that server last heard from the leader.
    pub last_contact: Duration,
}

impl<T> Answer<T> {
    /// Joins a value with the headers `X-Consul-Index`, `-KnownLeader` and `-LastContact`.
    pub(crate) fn new(value: T, headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name| text(name).and_then(|value| value.parse().ok()).unwrap_or(0);
        Self {
            value,
            index: number("x-consul-index"),
            known_leader: text("x-consul-knownleader") != Some("false"),
            last_contact: Duration::from_millis(number("x-consul-lastcontact")),
        }
    }

    /// The same answer with its value changed.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        Answer {
            value: change(self.value),
            index: self.index,
            known_leader: self.known_leader,
            last_contact: self.last_contact,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn wire(query: &Query) -> String {
        let pairs: Vec<String> = query
            .parameters(Some("dc1"))
            .into_iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        pairs.join("&")
    }

    #[test]
    fn a_query_on_the_wire() {
        assert_eq!(wire(&Query::default()), "dc=dc1");
        assert_eq!(
            wire(&Query {
                index: Some(7),
                wait: Some(Duration::from_secs(2)),
                passing: true,
                tags: vec!["a".to_owned(), "b".to_owned()],
                datacenter: Some("dc2".to_owned()),
                filter: Some("ID == \"x\"".to_owned()),
                near: Some("_agent".to_owned()),
                node_meta: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
                ..Query::default()
            }),
            "index=7&wait=2000ms&passing=1&tag=a&tag=b&dc=dc2&filter=ID == \"x\"&near=_agent&node-meta=k:v"
        );
    }

    #[test]
    fn a_wait_is_always_set_and_never_without_an_index() {
        let query = |index, wait| {
            Query {
                index,
                wait,
                ..Query::default()
            }
            .blocks()
        };
        let hour = Some(Duration::from_secs(3600));
        assert_eq!(query(None, hour), None);
        assert_eq!(query(Some(0), hour), None);
        assert_eq!(query(Some(1), None), Some((1, DEFAULT_WAIT)));
        assert_eq!(query(Some(1), hour), Some((1, MAX_WAIT)));
        assert_eq!(query(Some(1), Some(Duration::ZERO)), Some((1, MIN_WAIT)));
    }

    #[test]
    fn what_the_headers_say() {
        let answer = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs
                .iter()
                .map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v)))
                .collect();
            let answer = Answer::new((), &headers);
            (
                answer.index,
                answer.known_leader,
                answer.last_contact.as_millis(),
            )
        };
        assert_eq!(answer(&[]), (0, true, 0));
        assert_eq!(
            answer(&[
                ("x-consul-index", "12"),
                ("x-consul-knownleader", "false"),
                ("x-consul-lastcontact", "40")
            ]),
            (12, false, 40)
        );
        for nonsense in ["", "-1", "x", "99999999999999999999999"] {
            assert_eq!(
                answer(&[("x-consul-index", nonsense)]),
                (0, true, 0),
                "{nonsense}"
            );
        }
    }
}
