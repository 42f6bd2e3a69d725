//! What many rows and many waiters take, and whether one change costs more when there are many.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::reads::instance;
use super::server::{Memory, Server};
use super::wakes::{Sample, Waiting};

/// Looked at for idle CPU.
const IDLE: Duration = Duration::from_secs(5);
/// Nodes that the instances are spread over where they are written through the catalog.
const NODES: usize = 100;
/// Single changes that are timed.
const CHANGES: usize = 500;

/// How rows get into the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// `agent/service/register`, each with a TTL check, all on one node.
    Agent,
    /// `catalog/register`, each with a check, on a hundred nodes.
    Catalog,
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Way::Agent => "agent/service/register",
            Way::Catalog => "catalog/register",
        }
    }

    fn request(self, service: usize, n: usize) -> (String, Value) {
        let name = format!("service-{service}");
        let mut body = instance(&name, n);
        if self == Way::Agent {
            return ("/v1/agent/service/register".to_owned(), body);
        }
        let id = body["ID"].take();
        let node = format!("node-{}", n % NODES);
        let check = json!({
            "Node": node, "CheckID": format!("check:{name}-{n}"), "Name": "health", "Status": "passing",
            "ServiceID": id, "Output": "HTTP GET http://10.0.0.1/health: 200 OK",
        });
        let body = json!({
            "Node": node, "Address": "10.1.1.1",
            "Service": {
                "ID": id, "Service": name, "Tags": body["Tags"], "Address": body["Address"],
                "Port": body["Port"], "Meta": body["Meta"],
            },
            "Checks": [check],
        });
        ("/v1/catalog/register".to_owned(), body)
    }
}

/// What it took, and what changes then cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) memory: Memory,
    pub(crate) seconds: f64,
    pub(crate) wake: Sample,
    pub(crate) transaction: f64,
}

/// Registers `instances` of `services` and measures.
pub(crate) fn grow(
    server: &Server,
    way: Way,
    instances: usize,
    services: usize,
) -> Result<Size, String> {
    let started = Instant::now();
    server.put_all(|n| (n < instances).then(|| way.request(n % services, n)))?;
    let seconds = started.elapsed().as_secs_f64();
    server.settle();
    let memory = server.memory();
    let wake = Waiting::new(server, 0)?.one_after_another(CHANGES)?;
    let started = Instant::now();
    server.put_all(|n| {
        let address = format!("10.2.{}.{}", n >> 8, n & 255);
        let node = json!({"Node": "changing", "Address": address});
        let operation = json!([{"Node": {"Verb": "set", "Node": node}}]);
        (n < CHANGES).then(|| ("/v1/txn".to_owned(), operation))
    })?;
    Ok(Size {
        memory,
        seconds,
        wake,
        transaction: started.elapsed().as_secs_f64() * 1e3 / CHANGES as f64,
    })
}

/// What waiting queries take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    /// Kilobytes for each.
    pub(crate) each: f64,
    /// Of one CPU.
    pub(crate) share: f64,
}

/// Lets that many wait, and looks on.
pub(crate) fn wait(server: &Server, waiters: usize) -> Result<Idle, String> {
    // So that the services are there already, and what is measured is the waiting.
    drop(Waiting::new(server, 0)?);
    server.settle();
    let before = server.memory().now;
    let waiting = Waiting::new(server, waiters)?;
    let after = server.memory().now;
    let cpu = server.cpu_seconds();
    std::thread::sleep(IDLE);
    let share = (server.cpu_seconds() - cpu) / IDLE.as_secs_f64();
    drop(waiting);
    Ok(Idle {
        each: after.saturating_sub(before) as f64 / waiters as f64,
        share,
    })
}
