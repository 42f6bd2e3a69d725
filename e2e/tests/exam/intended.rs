//! Where the embedded registry is meant to differ from Consul 1.8.7, and why. Nothing else may differ.
//!
//! The list cannot rot: an entry that no exchange needs any more fails the exam, and the list in `docs/differences.md` is
//! written from it. It judges one difference of one exchange at a time and knows nothing of how they come about.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::compare::Difference;
use crate::pair::Request;

/// One intended difference.
pub(crate) struct Entry {
    /// What differs, as a user would say it.
    pub(crate) what: &'static str,
    pub(crate) consul: &'static str,
    pub(crate) ours: &'static str,
    pub(crate) reason: &'static str,
    shown_by: ShownBy,
    excuses: fn(&Request, &Difference, &Value) -> bool,
}

/// Which exchanges show a difference every time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShownBy {
    Written,
    /// Chance decides in Consul too: only many exchanges show it for certain.
    Generated,
}

/// The list at work: it remembers which entries were needed.
#[derive(Default)]
pub(crate) struct Intended {
    used: RefCell<BTreeMap<&'static str, usize>>,
}

impl Intended {
    /// Whether a difference is on the list. `consul` is the whole of what Consul said.
    pub(crate) fn excuses(
        &self,
        request: &Request,
        difference: &Difference,
        consul: &Value,
    ) -> bool {
        let entry = LIST
            .iter()
            .find(|entry| (entry.excuses)(request, difference, consul));
        if let Some(entry) = entry {
            self.count(entry.what);
        }
        entry.is_some()
    }

    /// Counts a wait that one of the two ended for nothing.
    pub(crate) fn idle(&self) {
        self.count(IDLE);
    }

    /// Whether a wait that only one of the two ended is on the list: ours tells that a node has gone.
    pub(crate) fn excuses_wake(&self, path: &str, woken: (bool, bool), told: &Value) -> bool {
        let gone =
            path.starts_with("/v1/catalog/node/") && woken == (false, true) && told.is_null();
        if gone {
            self.count(NODE_GONE);
        }
        gone
    }

    fn count(&self, what: &'static str) {
        *self.used.borrow_mut().entry(what).or_default() += 1;
    }

    /// Which entries were needed and how often, in one line.
    pub(crate) fn needed(&self) -> String {
        let used = self.used.borrow();
        let words: Vec<String> = used
            .iter()
            .map(|(what, times)| format!("{what} ({times})"))
            .collect();
        words.join(", ")
    }

    /// Entries that exchanges of one kind should have needed and did not.
    pub(crate) fn unused(&self, kind: ShownBy) -> Vec<&'static str> {
        let used = self.used.borrow();
        LIST.iter()
            .filter(|entry| entry.shown_by == kind)
            .map(|entry| entry.what)
            .filter(|what| !used.contains_key(what))
            .collect()
    }
}

/// The name under which waits are counted that Consul ends for nothing: no single exchange shows them.
const IDLE: &str = "waits that end for nothing";

/// The same for waits that tell of a node's end.
const NODE_GONE: &str = "a node that is not in the catalog";

/// Whether both sides say something that begins alike.
fn both_begin(difference: &Difference, start: &str) -> bool {
    difference.place == "body"
        && difference
            .texts()
            .is_some_and(|(consul, ours)| consul.starts_with(start) && ours.starts_with(start))
}

fn path(request: &Request, start: &str) -> bool {
    request.path.starts_with(start)
}

pub(crate) const LIST: &[Entry] = &[
    Entry {
        what: "ports of the server itself",
        consul: "those on which its servers and its gossip speak",
        ours: "8300 and 8301, the usual ones, in `status`, `members`, `self` and the service `consul`",
        reason: "the embedded registry has no such ports; clients read that there is a leader, not where",
        shown_by: ShownBy::Written,
        excuses: |request, difference, _| {
            let ours = difference
                .ours
                .as_ref()
                .map(Value::to_string)
                .unwrap_or_default();
            let usual = ours.contains("8300") || ours.contains("8301");
            let own = matches!(
                difference.field(),
                "Port" | "ServicePort" | "port" | "leader_addr"
            );
            usual && (own || path(request, "/v1/status/"))
        },
    },
    Entry {
        what: "what the agent tells of its insides",
        consul: "`DebugConfig` with 206 settings, `Stats` of Raft and gossip, tags of gossip in `Member`",
        ours: "what clients read: `Config`, `Member`, `Stats.agent`",
        reason: "there is no Raft and no gossip to tell of",
        shown_by: ShownBy::Written,
        excuses: |request, difference, _| {
            path(request, "/v1/agent/")
                && (difference.place.starts_with("body/DebugConfig")
                    || difference.place.starts_with("body/Stats")
                    || difference.place.starts_with("body/Coord")
                    || matches!(difference.field(), "ft_fs" | "wan_join_port"))
        },
    },
    Entry {
        what: "metrics in Prometheus' format",
        consul: "refused with 415 unless a time to keep them is configured",
        ours: "always there, some under names of turno's own",
        reason: "nothing has to be configured for them",
        shown_by: ShownBy::Written,
        excuses: |request, _, _| path(request, "/v1/agent/metrics?format=prometheus"),
    },
    Entry {
        what: "the service mesh",
        consul: "`connect`, `config`, `discovery-chain`",
        ours: "404, as for every unknown path",
        reason: "the mesh is not part of turno; clients take 404 for a Consul without it",
        shown_by: ShownBy::Written,
        excuses: |request, _, _| {
            let of_mesh = [
                "/v1/connect/",
                "/v1/agent/connect/",
                "/v1/config/",
                "/v1/discovery-chain/",
            ];
            of_mesh.iter().any(|start| path(request, start))
        },
    },
    Entry {
        what: "what operates a cluster",
        consul: "`operator`: Raft, autopilot, keys of the gossip",
        ours: "404",
        reason: "there is no cluster",
        shown_by: ShownBy::Written,
        excuses: |request, _, _| path(request, "/v1/operator/"),
    },
    Entry {
        what: "what Consul's own web pages ask",
        consul: "`internal/ui`",
        ours: "404",
        reason: "its page is another",
        shown_by: ShownBy::Written,
        excuses: |request, _, _| path(request, "/v1/internal/ui/"),
    },
    Entry {
        what: "network coordinates",
        consul: "measures distances between nodes",
        ours: "answers that there are none",
        reason: "one machine has no distances",
        shown_by: ShownBy::Written,
        excuses: |request, difference, _| {
            path(request, "/v1/coordinate/") && difference.place.starts_with("body")
        },
    },
    Entry {
        what: "wording of JSON errors",
        consul: "as Go's decoder says it, with the types of its source in it",
        ours: "the same status and beginning; the rest differs for odd bodies",
        reason: "nobody reads Go's type definitions out of an error",
        shown_by: ShownBy::Written,
        excuses: |_, difference, _| {
            both_begin(difference, "Request decode failed: ")
                || both_begin(difference, "Failed to parse body: ")
        },
    },
    Entry {
        what: "wording of regular expression errors",
        consul: "as Go's `regexp` says it",
        ours: "as the Rust crate `regex` says it",
        reason: "another engine; the same expressions are refused",
        shown_by: ShownBy::Written,
        excuses: |_, difference, _| {
            difference.texts().is_some_and(|(consul, ours)| {
                consul.contains("error parsing regexp: ")
                    && consul.split("error").next() == ours.split("error").next()
            })
        },
    },
    Entry {
        what: "wording of errors in a filter",
        consul: "names every token that would have been right there",
        ours: "names the place",
        reason: "the list is made by Consul's parser generator, not for readers",
        shown_by: ShownBy::Written,
        excuses: |_, difference, _| {
            both_begin(
                difference,
                "Failed to create boolean expression evaluator: 1:",
            )
        },
    },
    Entry {
        what: "filter on `catalog/services`",
        consul: "ignores it (newer versions take it)",
        ours: "takes it, as Consul does since 1.14",
        reason: "Prometheus and Traefik send it",
        shown_by: ShownBy::Written,
        excuses: |request, difference, _| {
            path(request, "/v1/catalog/services?filter=") && difference.place.starts_with("body")
        },
    },
    Entry {
        what: NODE_GONE,
        consul: "the index of `catalog/node/NAME` goes back when the node goes, whoever waits there waits on, and it does \
                 not move while the node is away",
        ours: "it goes on, and whoever waits is told",
        reason: "an index that goes back makes clients begin anew; a client that waits for a node's end should hear of it",
        shown_by: ShownBy::Written,
        excuses: |request, difference, consul| {
            let body = &consul["body"];
            path(request, "/v1/catalog/node")
                && difference.place == "header/x-consul-index"
                && (body.is_null() || body["Node"].is_null())
        },
    },
    Entry {
        what: "an index that moves for nothing",
        consul: "registering an instance with its check again as it is moves the index of all checks",
        ours: "it stays",
        reason: "what changes nothing wakes nobody",
        shown_by: ShownBy::Generated,
        excuses: |request, difference, _| {
            let of_checks = [
                "/v1/health/node/",
                "/v1/health/checks/",
                "/v1/health/state/",
            ];
            of_checks.iter().any(|start| path(request, start))
                && difference.place == "header/x-consul-index"
                && difference.consul == Some(json!("up"))
                && difference.ours == Some(json!("same"))
        },
    },
    Entry {
        what: IDLE,
        consul: "ends some although nothing they ask for changed: of an unknown service when another comes or goes, \
                 of checks when one is registered again as it is, of a node when a neighbour in its index moves",
        ours: "waits on there, and ends others: by a tag, when only instances without the tag change",
        reason: "an answer without news tells nothing; which ones come is chance of how each keeps its indexes",
        shown_by: ShownBy::Written,
        excuses: |_, _, _| false,
    },
    Entry {
        what: "the tags of a check's service in `agent/checks`",
        consul: "those of the time when the check was registered",
        ours: "those of its last change of status, as in the catalog",
        reason: "agent and catalog are one store here; the newer of the two is nearer to the truth",
        shown_by: ShownBy::Written,
        excuses: |request, difference, _| {
            let of_agent = ["/v1/agent/checks", "/v1/agent/health/"];
            of_agent.iter().any(|start| path(request, start))
                && (difference.place.contains("ServiceTags") || difference.field() == "ServiceName")
        },
    },
    Entry {
        what: "a change of a check's output alone",
        consul: "the agent shows it at once, the catalog after 2.5 to 7.5 minutes",
        ours: "both show it at once; neither wakes anybody",
        reason: "held back, it only makes what people read older; waiting queries are spared by both alike",
        shown_by: ShownBy::Written,
        excuses: |request, difference, _| {
            path(request, "/v1/health/")
                && difference.field() == "Output"
                && difference.texts().is_some()
        },
    },
    Entry {
        what: "when a check first runs",
        consul: "after a random part of its interval",
        ours: "at once",
        reason: "an instance need not wait for its interval to be known as healthy; checks are spread after their first run",
        shown_by: ShownBy::Written,
        excuses: |request, difference, _| {
            path(request, "/v1/agent/checks")
                && difference.texts().is_some_and(|(consul, ours)| {
                    consul.is_empty() && ours.contains("connection refused")
                })
        },
    },
    Entry {
        what: "the first run of an alias check",
        consul: "the check is critical for a moment and then follows its service: two writes",
        ours: "it follows at once: one write",
        reason: "the moment in between is a false alarm",
        shown_by: ShownBy::Written,
        excuses: |request, difference, _| {
            path(request, "/v1/health/checks/side") && difference.field() == "ModifyIndex"
        },
    },
    Entry {
        what: "the reason phrase in the output of an HTTP check",
        consul: "as the server wrote it",
        ours: "the usual one of the status",
        reason: "a phrase has no meaning of its own, and HTTP/2 has none",
        shown_by: ShownBy::Written,
        excuses: |request, difference, _| {
            path(request, "/v1/agent/checks")
                && difference.texts().is_some_and(|(consul, ours)| {
                    consul.contains("204 Odd") && ours.contains("204 No Content")
                })
        },
    },
    Entry {
        what: "conflicting parameters of `catalog/datacenters`",
        consul: "answers 400 and an error with the list after it, in one body",
        ours: "answers the list",
        reason: "an oversight in Consul; no client sends it",
        shown_by: ShownBy::Written,
        excuses: |request, _, _| path(request, "/v1/catalog/datacenters?stale&consistent"),
    },
    Entry {
        what: "OPTIONS of a prepared query",
        consul: "a body of `{}`",
        ours: "no body, as everywhere else",
        reason: "an oversight in Consul; nobody reads it",
        shown_by: ShownBy::Written,
        excuses: |request, _, _| request.method == "OPTIONS" && path(request, "/v1/query/"),
    },
];
