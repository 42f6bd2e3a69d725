//! Each part of `turno faas` beside parts that Node's zeromq carries: one of theirs among ours, and one of ours among theirs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use e2e::http::Connection;
use e2e::parts::{self, Part};
use e2e::ports;
use e2e::process::Process;
use e2e::turno;
use e2e::wait;
use serde_json::{Value, json};

const ROLES: [&str; 5] = ["front", "broker", "queue", "coordinator", "worker"];

/// The addresses of a system without a registry: two queues, a worker each.
struct Ports(Value);

impl Ports {
    fn new() -> Self {
        let names = [
            "front",
            "requests",
            "workers",
            "jobs",
            "answers",
            "coordinator_in",
            "coordinator_out",
        ];
        let mut all = json!({ "http": ports::free_address().to_string(), "queues": "qa,qb" });
        for name in names {
            all[name] = json!(format!("tcp://{}", ports::free_address()));
        }
        Self(all)
    }

    fn at(&self, name: &str) -> &str {
        self.0[name].as_str().expect("it was given one")
    }

    fn ours(&self, role: &str, queue: &str) -> Process {
        let address = format!("tcp://{}", ports::free_address());
        let line: Vec<&str> = match role {
            "front" => vec![
                "--listen",
                self.at("http"),
                "--answers",
                self.at("front"),
                "--broker",
                self.at("requests"),
                "--coordinator",
                self.at("coordinator_out"),
                "--timeout",
                "2s",
                "--no-register",
            ],
            "broker" => vec![
                "--requests",
                self.at("requests"),
                "--answers",
                self.at("answers"),
                "--jobs",
                self.at("jobs"),
                "--workers",
                self.at("workers"),
                "--front",
                self.at("front"),
                "--no-register",
            ],
            "queue" => vec![
                "--name",
                queue,
                "--bind",
                &address,
                "--jobs",
                self.at("jobs"),
                "--answers",
                self.at("answers"),
                "--coordinator-in",
                self.at("coordinator_in"),
                "--coordinator-out",
                self.at("coordinator_out"),
                "--no-register",
            ],
            "coordinator" => vec![
                "--in",
                self.at("coordinator_in"),
                "--out",
                self.at("coordinator_out"),
                "--no-register",
            ],
            _ => vec!["--broker", self.at("workers")],
        };
        let mut command = turno::command(&["faas", role]);
        command.args(line);
        Process::start(role, command)
    }

    fn theirs(&self, role: &str, queue: &str) -> Process {
        let mut at = self.0.clone();
        at["queue_name"] = json!(queue);
        at["queue"] = json!(format!("tcp://{}", ports::free_address()));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/faas_parts.js");
        let mut command = Command::new(Part::Node.path());
        command.arg(script).args([role, &at.to_string()]);
        command.env("NODE_PATH", parts::node_modules());
        Process::start(role, command)
    }

    fn start(&self, role: &str, queue: &str, theirs: bool) -> Process {
        let mut process = if theirs {
            self.theirs(role, queue)
        } else {
            self.ours(role, queue)
        };
        let ready = match (theirs, role) {
            (true, _) => "ready",
            (false, "worker") => "joining the queue",
            (false, _) => "listening",
        };
        wait::until_true(format!("{role} to be ready"), wait::SOON, || {
            process.assert_running();
            process.output().contains(ready)
        });
        process
    }

    fn echo(&self, body: &Value) -> Option<(u16, String)> {
        let address = self.at("http").parse().expect("an address");
        let mut connection = Connection::open(address).ok()?;
        let answer = connection
            .request("POST", "/echo", &[], body.to_string().as_bytes())
            .ok()?;
        Some((answer.status, answer.text()))
    }
}

/// A system in which `theirs` says which roles are Node's.
fn serves(what: &str, theirs: impl Fn(&str) -> bool) {
    let ports = Ports::new();
    let mut parts = Vec::new();
    for role in ["coordinator", "broker", "front"] {
        parts.push(ports.start(role, "", theirs(role)));
    }
    let mut workers = Vec::new();
    for queue in ["qa", "qb"] {
        parts.push(ports.start("queue", queue, theirs("queue")));
        workers.push(ports.start("worker", queue, theirs("worker")));
    }
    // Subscriptions may still be on their way to a broker that does not wait for them, and what it sends before is lost.
    // A part that waits for such a request has none of ours: so ask ours only once it is seen to answer.
    wait::until_true(
        format!("{what}: the first answer"),
        Duration::from_secs(40),
        || ports.ours_or_theirs_answers(),
    );
    for number in 0..10 {
        let body = json!({ "number": number, "text": "ä" });
        assert_eq!(ports.echo(&body), Some((200, body.to_string())), "{what}");
    }
    for part in parts.iter_mut().chain(&mut workers) {
        part.assert_running();
    }
    crate::say(&format!("{what}: 10 of 10 answered"));
}

impl Ports {
    /// Asks once, and gives up on the answer after a moment: whoever loses requests never answers them.
    fn ours_or_theirs_answers(&self) -> bool {
        let address = self.at("http").parse().expect("an address");
        let Ok(mut connection) = Connection::open(address) else {
            return false;
        };
        connection
            .patience(Duration::from_millis(500))
            .expect("not zero");
        let answer = connection.request("POST", "/echo", &[], b"1");
        answer.is_ok_and(|answer| answer.status == 200)
    }
}

#[test]
fn each_part_of_theirs_stands_in_for_ours() {
    if !parts::node_available() {
        return;
    }
    for role in ROLES {
        serves(&format!("Node's {role} among ours"), |it| it == role);
    }
}

#[test]
fn each_part_of_ours_stands_in_for_theirs() {
    if !parts::node_available() {
        return;
    }
    for role in ROLES {
        serves(&format!("our {role} among Node's"), |it| it != role);
    }
}
