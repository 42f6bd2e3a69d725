//! A registry to test against: a real Consul agent in development mode, or turno's own. Both are spoken to in the same way,
//! with plain `curl`, as a person or a script would do it.

use std::fmt;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http;
use crate::parts::Part;
use crate::ports;
use crate::process::{self, Ended, Process};
use crate::turno;
use crate::wait;

/// The registry answers within milliseconds; this is for a machine that is busy.
const CURL_LIMIT: Duration = Duration::from_secs(15);

/// How long a blocking query of the harness is held.
const HOLD: &str = "10s";

/// Which program is the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HashiCorp's, `consul agent -dev`.
    Consul,
    /// `turno registry`.
    Embedded,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Consul => "consul",
            Kind::Embedded => "the embedded registry",
        })
    }
}

/// A running registry. It remembers nothing when it is killed and started again, unless it was started as durable.
#[derive(Debug)]
pub struct Registry {
    /// Where its HTTP API is, also after a restart.
    pub address: SocketAddr,
    /// Where its DNS is, if it has been asked for.
    pub dns: Option<SocketAddr>,
    kind: Kind,
    /// It is to take more connections of one address than Consul takes by default.
    many: bool,
    /// Ports that only Consul needs: server, LAN and WAN gossip.
    others: [u16; 3],
    process: Option<Process>,
    /// Where it keeps its data, if it does.
    data: Option<tempfile::TempDir>,
}

impl Registry {
    /// Starts an empty registry and waits until it can be used.
    pub fn start(kind: Kind) -> Registry {
        Registry::start_with(kind, None, None)
    }

    /// The same, and it answers DNS.
    pub fn start_with_dns(kind: Kind) -> Registry {
        Registry::start_with(kind, None, Some(ports::free_address()))
    }

    /// The same, but it keeps what it knows on disk.
    ///
    /// # Panics
    /// If there can be no temporary folder.
    pub fn start_durable(kind: Kind) -> Registry {
        let data = tempfile::tempdir().expect("a temporary folder can be made");
        Registry::start_with(kind, Some(data), None)
    }

    /// The same, and it takes thousands of connections of one address: Consul drops what is beyond 200 unless told otherwise.
    pub fn start_for_many(kind: Kind) -> Registry {
        let mut registry = Registry::unstarted(kind, None, None);
        registry.many = true;
        registry.start_again();
        registry
    }

    fn start_with(
        kind: Kind,
        data: Option<tempfile::TempDir>,
        dns: Option<SocketAddr>,
    ) -> Registry {
        let mut registry = Registry::unstarted(kind, data, dns);
        registry.start_again();
        registry
    }

    fn unstarted(kind: Kind, data: Option<tempfile::TempDir>, dns: Option<SocketAddr>) -> Registry {
        Registry {
            data,
            dns,
            address: ports::free_address(),
            kind,
            many: false,
            others: std::array::from_fn(|_| ports::free()),
            process: None,
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it after [`Self::kill`], on the same ports, empty, its index back at the beginning.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn start_again(&mut self) {
        let command = match self.kind {
            Kind::Consul => self.consul(),
            Kind::Embedded => {
                let address = self.address.to_string();
                let mut command =
                    turno::command(&["registry", "--listen", &address, "--node", "e2e"]);
                if let Some(data) = &self.data {
                    command.arg("--data-dir").arg(data.path());
                }
                if let Some(dns) = self.dns {
                    command.args(["--dns-listen", &dns.to_string()]);
                }
                command
            }
        };
        let mut process = Process::start(&self.kind.to_string(), command);
        wait::until_true(format!("{} to be ready", self.kind), wait::SOON, || {
            process.assert_running();
            self.is_ready()
        });
        self.process = Some(process);
    }

    fn consul(&self) -> Command {
        let mut command = Command::new(Part::Consul.path());
        command.arg("agent");
        match &self.data {
            None => command.arg("-dev"),
            Some(data) => command
                .args(["-server", "-bootstrap-expect", "1", "-data-dir"])
                .arg(data.path()),
        };
        command.args(["-node", "e2e", "-bind", "127.0.0.1", "-client", "127.0.0.1"]);
        command.args([
            "-log-level",
            "warn",
            "-http-port",
            &self.address.port().to_string(),
        ]);
        for (name, port) in ["-server-port", "-serf-lan-port", "-serf-wan-port"]
            .iter()
            .zip(self.others)
        {
            command.args([*name, &port.to_string()]);
        }
        let dns = self
            .dns
            .map_or("-1".to_owned(), |dns| dns.port().to_string());
        command.args(["-dns-port", &dns, "-grpc-port", "-1"]);
        if self.many {
            command.args(["-hcl", "limits { http_max_conns_per_client = 10000 }"]);
        }
        command
    }

    /// It has a leader, and its own node is in the catalog: before that, what is registered is not yet seen.
    fn is_ready(&self) -> bool {
        let text = |path| {
            http::get(self.address, path)
                .map(|answer| answer.text())
                .unwrap_or_default()
        };
        text("/v1/status/leader").len() > "\"\"".len() + 1
            && (self.kind == Kind::Embedded || text("/v1/health/node/e2e").contains("passing"))
    }

    /// Registers an instance with plain `curl -X PUT`.
    ///
    /// # Panics
    /// If the registry refuses it.
    pub fn register(&self, registration: &Registration) {
        let body = registration.json().to_string();
        self.put("/v1/agent/service/register", &["-d", &body]);
    }

    /// Deregisters an instance with plain `curl -X PUT`.
    ///
    /// # Panics
    /// If the registry refuses it.
    pub fn deregister(&self, id: &str) {
        self.put(&format!("/v1/agent/service/deregister/{id}"), &[]);
    }

    /// Registers an instance within this process, for a test that measures: starting curl takes longer than all else.
    ///
    /// # Panics
    /// If the registry refuses it.
    pub fn register_quickly(&self, registration: &Registration) {
        let body = registration.json().to_string();
        self.put_quickly("/v1/agent/service/register", body.as_bytes());
    }

    /// Deregisters an instance within this process.
    ///
    /// # Panics
    /// If the registry refuses it.
    pub fn deregister_quickly(&self, id: &str) {
        self.put_quickly(&format!("/v1/agent/service/deregister/{id}"), b"");
    }

    fn put_quickly(&self, path: &str, body: &[u8]) {
        let answer = http::Connection::open(self.address)
            .and_then(|mut connection| connection.request("PUT", path, &[], body))
            .expect("the registry answers");
        assert_eq!(answer.status, 200, "PUT {path}: {}", answer.text());
    }

    /// Puts an instance into maintenance, or takes it out again.
    ///
    /// # Panics
    /// If the registry refuses it.
    pub fn maintenance(&self, id: &str, enable: bool) {
        self.put(
            &format!("/v1/agent/service/maintenance/{id}?enable={enable}&reason=test"),
            &[],
        );
    }

    /// `curl -X PUT` with more arguments.
    ///
    /// # Panics
    /// If the registry refuses it.
    pub fn put(&self, path: &str, arguments: &[&str]) {
        let mut command = Command::new(Part::Curl.path());
        command
            .args([
                "-sS",
                "-f",
                "-X",
                "PUT",
                &format!("http://{}{path}", self.address),
            ])
            .args(arguments);
        let Ended {
            code,
            stdout,
            stderr,
        } = process::run(command, CURL_LIMIT).expect("curl can be started");
        assert_eq!(
            code, 0,
            "{} refused PUT {path}: {stdout} {stderr}",
            self.kind
        );
    }

    /// The ids of the instances of `service` that pass their checks, in any order.
    pub fn passing(&self, service: &str) -> Vec<String> {
        let answer = http::get(
            self.address,
            &format!("/v1/health/service/{service}?passing"),
        );
        answer.map(|answer| ids(&answer.text())).unwrap_or_default()
    }

    /// Holds a blocking query until `id` passes its checks. Returns when the registry said so.
    ///
    /// # Panics
    /// If it does not, for far longer than a check takes.
    pub fn await_passing(&self, service: &str, id: &str) -> Instant {
        let started = Instant::now();
        let mut index = "0".to_owned();
        while started.elapsed() < wait::SOON {
            let path = format!("/v1/health/service/{service}?passing&index={index}&wait={HOLD}");
            let answer = http::get(self.address, &path).expect("the registry answers");
            let seen = Instant::now();
            if ids(&answer.text()).iter().any(|found| found == id) {
                return seen;
            }
            index = answer.header("x-consul-index").unwrap_or("0").to_owned();
        }
        panic!("{id} did not pass its checks within {:?}", wait::SOON);
    }
}

/// The instance ids in an answer of `/v1/health/service`.
fn ids(text: &str) -> Vec<String> {
    let entries: Value = serde_json::from_str(text).unwrap_or_default();
    let id = |entry: &Value| entry["Service"]["ID"].as_str().map(str::to_owned);
    entries
        .as_array()
        .map(|entries| entries.iter().filter_map(id).collect())
        .unwrap_or_default()
}

/// An instance of the service `web`, as a test registers it: with an HTTP check of `/health` every second, the shortest
/// interval that Consul knows.
#[derive(Clone, Debug)]
pub struct Registration {
    id: String,
    address: SocketAddr,
    weight: Option<u32>,
    status: Option<&'static str>,
}

impl Registration {
    /// An instance that is taken to pass from the first moment.
    pub fn new(id: &str, address: SocketAddr) -> Registration {
        Registration {
            id: id.to_owned(),
            address,
            weight: None,
            status: Some("passing"),
        }
    }

    /// The same, but it counts as critical until its first check has passed, which is Consul's default.
    pub fn unproven(mut self) -> Registration {
        self.status = None;
        self
    }

    /// The same, with a weight while it passes.
    pub fn weight(mut self, weight: u32) -> Registration {
        self.weight = Some(weight);
        self
    }

    fn json(&self) -> Value {
        let mut check = json!({
            "Name": "health",
            "HTTP": format!("http://{}/health", self.address),
            "Interval": "1s",
            "Timeout": "5s",
        });
        if let Some(status) = self.status {
            check["Status"] = json!(status);
        }
        let mut service = json!({
            "ID": self.id,
            "Name": "web",
            "Address": self.address.ip().to_string(),
            "Port": self.address.port(),
            "Check": check,
        });
        if let Some(weight) = self.weight {
            service["Weights"] = json!({ "Passing": weight, "Warning": 1 });
        }
        service
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_says_only_what_was_asked() {
        let plain = Registration::new("a", SocketAddr::from(([127, 0, 0, 1], 80)));
        assert_eq!(plain.json()["Check"]["Status"], "passing");
        assert_eq!(plain.json().get("Weights"), None);
        assert_eq!(plain.clone().unproven().json()["Check"].get("Status"), None);
        assert_eq!(plain.weight(3).json()["Weights"]["Passing"], 3);
    }

    #[test]
    fn ids_of_an_answer_and_of_nonsense() {
        assert_eq!(
            ids(r#"[{"Service":{"ID":"a"}},{"Service":{"ID":"b"}}]"#),
            ["a", "b"]
        );
        assert!(ids("No cluster leader").is_empty());
    }
}
