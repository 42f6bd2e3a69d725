//! A system of functions whose parts are programs of their own, found through a registry; and its clients.
//!
//! It starts, kills and asks. What should come of it is the tests' business.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use e2e::http::{self, Answer, Connection};
use e2e::ports;
use e2e::process::Process;
use e2e::registry::{Kind, Registry};
use e2e::turno;
use e2e::wait;
use serde_json::{Value, json};

const ANY: &str = "tcp://127.0.0.1:0";

/// A system whose parts find each other through a registry.
pub(super) struct System {
    pub(super) registry: Registry,
    pub(super) parts: BTreeMap<String, Process>,
    pub(super) http: SocketAddr,
}

impl System {
    /// A front end, a broker and a coordinator.
    pub(super) fn start(kind: Kind) -> Self {
        Self::with(kind, &[])
    }

    pub(super) fn with(kind: Kind, front: &[&str]) -> Self {
        let http = ports::free_address();
        let mut system = Self {
            registry: Registry::start(kind),
            parts: BTreeMap::new(),
            http,
        };
        system.broker();
        system.coordinator();
        let listen = http.to_string();
        let line = ["front", "--listen", &listen, "--answers", ANY];
        system.part("front", &[&line, front].concat());
        system.passing("faas-broker", 1);
        system.passing("faas-coordinator", 1);
        system.passing("faas-front", 1);
        system
    }

    pub(super) fn part(&mut self, name: &str, arguments: &[&str]) {
        let consul = format!("http://{}", self.registry.address);
        let mut command = turno::command(&["faas"]);
        command.args(arguments).args(["--consul", &consul]);
        let process = Process::start(name, command);
        self.parts.insert(name.to_owned(), process);
    }

    pub(super) fn broker(&mut self) {
        let line = [
            "broker",
            "--requests",
            ANY,
            "--answers",
            ANY,
            "--jobs",
            ANY,
            "--workers",
            ANY,
        ];
        self.part("broker", &line);
    }

    pub(super) fn coordinator(&mut self) {
        self.part("coordinator", &["coordinator", "--in", ANY, "--out", ANY]);
    }

    pub(super) fn queue(&mut self, name: &str) {
        self.part(name, &["queue", "--name", name]);
        self.says(name, "listening");
        let queues = |system: &Self| system.functions()["queues"].clone();
        wait::until_true(format!("{name} to be known"), wait::SOON, || {
            queues(self)
                .as_array()
                .is_some_and(|it| it.contains(&json!(name)))
        });
    }

    /// A worker that takes this long for a job, once it is known.
    pub(super) fn worker(&mut self, name: &str, builtin: &str, function: &str) {
        let before = self.workers(function);
        self.start_worker(name, builtin, function);
        wait::until_true(format!("{name} to be known"), wait::SOON, || {
            self.workers(function) > before
        });
    }

    pub(super) fn start_worker(&mut self, name: &str, builtin: &str, function: &str) {
        self.part(
            name,
            &["worker", "--function", function, "--builtin", builtin],
        );
    }

    pub(super) fn workers(&self, function: &str) -> u64 {
        self.functions()["functions"][function]["workers"]
            .as_u64()
            .unwrap_or(0)
    }

    pub(super) fn functions(&self) -> Value {
        let (answer, _) = wait::until("the front end", wait::SOON, || {
            http::get(self.http, "/functions").ok()
        });
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    pub(super) fn passing(&self, service: &str, count: usize) {
        wait::until_true(format!("{count} of {service}"), wait::SOON, || {
            self.registry.passing(service).len() == count
        });
    }

    pub(super) fn says(&mut self, part: &str, words: &str) {
        wait::until_true(format!("{part} to say {words:?}"), wait::SOON, || {
            let process = self.parts.get_mut(part).expect("it was started");
            process.assert_running();
            process.output().contains(words)
        });
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self, part: &str) {
        self.parts.get_mut(part).expect("it was started").kill();
    }

    /// The line in which a worker says which queue it joined.
    pub(super) fn queue_of(&self, worker: &str) -> String {
        let output = self.parts[worker].output();
        let joined = output
            .lines()
            .rfind(|line| line.contains("joining the queue"));
        joined.unwrap_or_default().to_owned()
    }

    pub(super) fn call(&self, function: &str, body: &Value) -> Answer {
        call(self.http, function, body)
    }
}

pub(super) fn call(http: SocketAddr, function: &str, body: &Value) -> Answer {
    try_call(http, function, body).expect("an answer")
}

fn try_call(http: SocketAddr, function: &str, body: &Value) -> io::Result<Answer> {
    let body = body.to_string();
    let mut connection = Connection::open(http)?;
    connection.request("POST", &format!("/{function}"), &[], body.as_bytes())
}

/// What is wrong with the answer to this number, if anything.
fn failure_of(http: SocketAddr, number: usize) -> Option<String> {
    let body = json!({ "number": number });
    match try_call(http, "echo", &body) {
        Ok(answer) if (answer.status, answer.text()) == (200, body.to_string()) => None,
        Ok(answer) => Some(format!("{number}: {} {}", answer.status, answer.text())),
        Err(error) => Some(format!("{number}: {error}")),
    }
}

/// Lets clients end, whichever way it goes out of scope.
struct Ends<'a>(&'a AtomicUsize);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Asks from so many clients at once and checks each answer, as long as `meanwhile` says that more is to come, and `more`
/// times after that. It is told how many were answered, and kills parts. After the first failure nothing more is asked.
/// Returns how many were asked.
pub(super) fn calls(
    http: SocketAddr,
    at_once: usize,
    more: usize,
    mut meanwhile: impl FnMut(usize) -> bool,
) -> usize {
    let (next, done) = (AtomicUsize::new(1), AtomicUsize::new(0));
    let last = AtomicUsize::new(usize::MAX);
    let failed = Mutex::new(Vec::new());
    let failures = || failed.lock().expect("nobody panics holding it");
    thread::scope(|scope| {
        let clients: Vec<_> = (0..at_once)
            .map(|_| {
                scope.spawn(|| {
                    while failures().is_empty() {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number > last.load(Ordering::Relaxed) {
                            return;
                        }
                        let failure = failure_of(http, number);
                        failures().extend(failure);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        // Each client ends: it has its own limit for an answer, and does not go on after a failure, nor if we panic here.
        let _ends = Ends(&last);
        while meanwhile(done.load(Ordering::Relaxed)) && failures().is_empty() {
            thread::sleep(Duration::from_millis(2));
        }
        last.store(next.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        for client in clients {
            client.join().expect("a client does not panic");
        }
    });
    assert_eq!(
        *failures(),
        Vec::<String>::new(),
        "not answered, or by another's answer"
    );
    done.into_inner()
}
