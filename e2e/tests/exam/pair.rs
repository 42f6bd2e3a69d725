//! The two registries under examination, spoken to in the same words: a real Consul and the embedded one.
//!
//! It sends, waits until the two agree or will not, and cleans both between sequences. It does not judge: what differs
//! beyond what is intended is handed to the caller.

use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use e2e::http::{Answer, Connection};
use e2e::registry::{Kind, Registry};
use e2e::wait;
use serde_json::Value;

use crate::answer::Memory;
use crate::compare::{Difference, differences};
use crate::intended::Intended;
use crate::waiting::Waiting;

/// Consul's agent tells its catalog of a status a moment after it has answered; both are asked again for this long
/// before they are said to differ.
const SETTLE: Duration = Duration::from_millis(1500);

/// Between two looks while settling.
pub(crate) const LOOK: Duration = Duration::from_millis(4);

/// Longer than any sequence: a blocking query ends by a change or not at all.
const HOLD: &str = "wait=10m";

/// How long a waiting client listens; above [`HOLD`].
const PATIENCE: Duration = Duration::from_secs(700);

/// A request, the same for both. `$NAME` in path and body is filled in for each from what it answered before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) path: String,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn new(method: &str, path: impl Into<String>, body: impl Into<String>) -> Request {
        Request {
            method: method.to_owned(),
            headers: Vec::new(),
            path: path.into(),
            body: body.into(),
        }
    }

    pub(crate) fn get(path: impl Into<String>) -> Request {
        Request::new("GET", path, "")
    }

    /// The request in one line, shortened where it is long.
    pub(crate) fn line(&self) -> String {
        let mut line = format!("{} {} {}", self.method, self.path, self.body);
        if line.len() > 400 {
            let cut = line
                .char_indices()
                .map(|(at, _)| at)
                .take_while(|at| *at <= 400)
                .last();
            line.truncate(cut.unwrap_or(0));
            line.push('…');
        }
        line
    }
}

/// One registry, and what it has answered so far.
#[derive(Debug)]
pub(crate) struct Side {
    registry: Registry,
    connection: Option<Connection>,
    pub(crate) memory: Memory,
}

impl Side {
    fn start(kind: Kind) -> Side {
        Side {
            registry: Registry::start(kind),
            connection: None,
            memory: Memory::default(),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.registry.address
    }

    /// Sends a request and reads its answer, on the connection kept for it or on a new one.
    ///
    /// # Panics
    /// If there is no answer.
    pub(crate) fn send(&mut self, request: &Request) -> Answer {
        let path = self.memory.fill(&request.path);
        let body = self.memory.fill(&request.body);
        let headers: Vec<(&str, &str)> = request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        for _ in 0..2 {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => Connection::open(self.address()).expect("the registry listens"),
            };
            // A connection that was kept may have been closed meanwhile; a new one may not.
            if let Ok(answer) =
                connection.request(&request.method, &path, &headers, body.as_bytes())
            {
                if answer.header("connection") != Some("close") {
                    self.connection = Some(connection);
                }
                return answer;
            }
        }
        panic!("no answer to {} from {:?}", request.line(), self.registry)
    }

    fn get(&mut self, path: &str) -> Value {
        let answer = self.send(&Request::get(path));
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    fn put(&mut self, path: impl Into<String>, body: impl Into<String>) {
        self.send(&Request::new("PUT", path, body));
    }

    fn wait_for(&self, path: &str) -> Receiver<Answer> {
        let address = self.address();
        let path = path.to_owned();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let answer = Connection::open(address).and_then(|mut connection| {
                connection.patience(PATIENCE)?;
                connection.get(&path)
            });
            // Both ends may be gone: the registry is killed when a test ends, and nobody listens then.
            if let Ok(answer) = answer {
                let _ = sender.send(answer);
            }
        });
        receiver
    }

    /// Removes everything that a sequence may have left, and waits until the catalog says so.
    fn clean(&mut self) {
        self.memory.clear();
        self.put("/v1/agent/maintenance?enable=false", "");
        for service in keys(&self.get("/v1/agent/services")) {
            self.put(
                format!("/v1/agent/service/deregister/{}", escape(&service)),
                "",
            );
        }
        for check in keys(&self.get("/v1/agent/checks")) {
            self.put(format!("/v1/agent/check/deregister/{}", escape(&check)), "");
        }
        self.send(&Request::new("DELETE", "/v1/kv/?recurse", ""));
        for session in list(&self.get("/v1/session/list"), "ID") {
            self.put(format!("/v1/session/destroy/{session}"), "");
        }
        for query in list(&self.get("/v1/query"), "ID") {
            self.send(&Request::new("DELETE", format!("/v1/query/{query}"), ""));
        }
        for node in list(&self.get("/v1/catalog/nodes"), "Node") {
            if node != NODE {
                self.put(
                    "/v1/catalog/deregister",
                    serde_json::json!({ "Node": node }).to_string(),
                );
            }
        }
        self.clean_own_node();
        let what = format!("{:?} to be clean", self.registry);
        wait::until_true(what, wait::SOON, || {
            keys(&self.get("/v1/catalog/services")) == ["consul"]
                && list(&self.get("/v1/health/state/any"), "CheckID") == ["serfHealth"]
        });
        self.memory.beginning = self.index();
    }

    /// The index of a write made now.
    fn index(&mut self) -> u64 {
        self.put("/v1/kv/beginning", "");
        let index = self.get("/v1/kv/beginning")[0]["ModifyIndex"].as_u64();
        self.send(&Request::new("DELETE", "/v1/kv/beginning", ""));
        index.expect("a key just written has an index")
    }

    /// What was written to the own node through the catalog: the agent knows nothing of it.
    fn clean_own_node(&mut self) {
        let node = self.get(&format!("/v1/catalog/node/{NODE}"));
        for service in keys(&node["Services"]) {
            if service != "consul" {
                let body = serde_json::json!({ "Node": NODE, "ServiceID": service });
                self.put("/v1/catalog/deregister", body.to_string());
            }
        }
        for check in list(&self.get(&format!("/v1/health/node/{NODE}")), "CheckID") {
            if check != "serfHealth" {
                let body = serde_json::json!({ "Node": NODE, "CheckID": check });
                self.put("/v1/catalog/deregister", body.to_string());
            }
        }
    }
}

/// The name of the node that both registries are.
pub(crate) const NODE: &str = "e2e";

fn keys(value: &Value) -> Vec<String> {
    value
        .as_object()
        .map(|fields| fields.keys().cloned().collect())
        .unwrap_or_default()
}

fn list(value: &Value, field: &str) -> Vec<String> {
    let name = |item: &Value| item[field].as_str().map(str::to_owned);
    value
        .as_array()
        .map(|items| items.iter().filter_map(name).collect())
        .unwrap_or_default()
}

/// A path segment, with what a path cannot hold escaped.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b':' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// Both registries.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) consul: Side,
    pub(crate) ours: Side,
    /// Requests answered by both, for the record.
    pub(crate) exchanges: usize,
}

/// What became of an exchange.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) answers: (Answer, Answer),
    /// What differs and is not intended.
    pub(crate) unintended: Vec<Difference>,
}

impl Pair {
    /// Starts both, empty.
    pub(crate) fn start() -> Pair {
        Pair {
            consul: Side::start(Kind::Consul),
            ours: Side::start(Kind::Embedded),
            exchanges: 0,
        }
    }

    /// Makes both empty again.
    pub(crate) fn clean(&mut self) {
        self.consul.clean();
        self.ours.clean();
    }

    /// Sends a request to both. Reads are repeated for a while if they differ; writes are sent once.
    pub(crate) fn exchange(&mut self, request: &Request, intended: &Intended) -> Outcome {
        self.exchanges += 1;
        let started = Instant::now();
        loop {
            let answers = (self.consul.send(request), self.ours.send(request));
            let unintended = self.judge(request, &answers, intended);
            let settled =
                unintended.is_empty() || request.method != "GET" || started.elapsed() > SETTLE;
            if settled {
                self.consul.memory.keep(&request.path, &answers.0);
                self.ours.memory.keep(&request.path, &answers.1);
                return Outcome {
                    answers,
                    unintended,
                };
            }
            thread::sleep(LOOK);
        }
    }

    fn judge(
        &self,
        request: &Request,
        answers: &(Answer, Answer),
        intended: &Intended,
    ) -> Vec<Difference> {
        let fixed = format!("{}{}", request.path, request.body);
        let consul = self
            .consul
            .memory
            .comparable(&request.path, &answers.0, &fixed);
        let ours = self
            .ours
            .memory
            .comparable(&request.path, &answers.1, &fixed);
        let mut found = differences(&consul, &ours);
        found.retain(|difference| !intended.excuses(request, difference, &consul));
        found
    }

    /// Reads `path` and then waits for it to change, on both.
    ///
    /// # Panics
    /// If one of them gives no index.
    pub(crate) fn watch(&mut self, path: &str) -> Waiting {
        let blocking = |side: &mut Side| {
            let path = side.memory.fill(path);
            let answer = side.send(&Request::get(path.as_str()));
            let index = answer
                .header("x-consul-index")
                .unwrap_or_else(|| panic!("{path} has an index"));
            let join = if path.contains('?') { '&' } else { '?' };
            let waiting = side.wait_for(&format!("{path}{join}index={index}&{HOLD}"));
            (waiting, answer)
        };
        let (consul, before) = blocking(&mut self.consul);
        let (ours, ours_before) = blocking(&mut self.ours);
        Waiting {
            path: path.to_owned(),
            consul,
            ours,
            woken: (None, None),
            before: (before, ours_before),
        }
    }

    /// What differs between the answers of a query that has ended on both.
    pub(crate) fn judge_woken(
        &mut self,
        waiting: &Waiting,
        intended: &Intended,
    ) -> Vec<Difference> {
        let (Some(consul), Some(ours)) = &waiting.woken else {
            return Vec::new();
        };
        self.exchanges += 1;
        let request = Request::get(waiting.path.as_str());
        let found = self.judge(&request, &(consul.clone(), ours.clone()), intended);
        // The look after it compares with what was seen before the wait: a woken query does not move that.
        found
    }
}
