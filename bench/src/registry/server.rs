//! The registries compared, each started as one process on the CPU of its own, and what they use.
//!
//! Both keep everything in memory: `consul agent -dev` and `turno registry` without a folder.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use e2e::parts::Part;
use e2e::process::{self, Process};
use e2e::{http, ports, wait};
use rustix::process::{Resource, getrlimit};
use serde_json::Value;

use super::crowd::Crowd;
use crate::machine::Cores;
use crate::proxy::cpu_seconds;

/// A registry is quiet if it uses at most this part of a CPU, for [`QUIET_TIME`].
const QUIET_SHARE: f64 = 0.1;
const QUIET_TIME: Duration = Duration::from_millis(300);
/// It becomes quiet within this.
const QUIET_LIMIT: Duration = Duration::from_secs(120);

/// A registry program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Consul,
    Turno,
}

impl Kind {
    /// The first line in which it says its version.
    pub(crate) fn version(self) -> String {
        let mut command = Command::new(match self {
            Kind::Consul => Part::Consul.path(),
            Kind::Turno => e2e::turno::binary(),
        });
        command.arg("--version");
        match process::run(command, wait::SOON) {
            Ok(ended) => ended.stdout.lines().next().unwrap_or("unknown").to_owned(),
            Err(_) => "unknown".to_owned(),
        }
    }

    fn command(self, address: SocketAddr) -> Command {
        if self == Kind::Turno {
            return e2e::turno::command(&[
                "registry",
                "--listen",
                &address.to_string(),
                "--node",
                "bench",
            ]);
        }
        let mut command = Command::new(Part::Consul.path());
        command.args(["agent", "-dev", "-node", "bench", "-log-level", "warn"]);
        command.args(["-bind", "127.0.0.1", "-client", "127.0.0.1"]);
        command.args(["-http-port", &address.port().to_string()]);
        for flag in ["-server-port", "-serf-lan-port", "-serf-wan-port"] {
            command.args([flag, &ports::free().to_string()]);
        }
        command.args(["-dns-port", "-1", "-grpc-port", "-1"]);
        // It takes 200 connections of one address unless told otherwise, and no more than it may have files.
        let most = format!(
            "limits {{ http_max_conns_per_client = {} }}",
            files_limit() - 100
        );
        command.args(["-hcl", &most]);
        command
    }
}

/// How many files a process started from here may open.
fn files_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(100_000)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Consul => "consul",
            Kind::Turno => "turno",
        })
    }
}

/// A running registry.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    process: Process,
}

/// Memory in kilobytes, as the kernel counts it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) now: u64,
    /// The most it ever was.
    pub(crate) most: u64,
}

impl Server {
    /// Starts it and waits until it has a leader and its own node in the catalog.
    pub(crate) fn start(kind: Kind, cores: &Cores) -> Server {
        let address = ports::free_address();
        let command = cores.on_proxy_core(&kind.command(address));
        let mut process = Process::start(&kind.to_string(), command);
        wait::until_true(format!("{kind} to be ready"), wait::SOON, || {
            process.assert_running();
            http::get(address, "/v1/health/node/bench")
                .is_ok_and(|answer| answer.text().contains("passing"))
        });
        Server {
            kind,
            address,
            process,
        }
    }

    /// The CPU time, in seconds, that it has used so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.process.id())
    }

    pub(crate) fn memory(&self) -> Memory {
        let status = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(status).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok())
                .unwrap_or(0)
        };
        Memory {
            now: field("VmRSS:"),
            most: field("VmHWM:"),
        }
    }

    /// Waits until it has nothing to do any more.
    ///
    /// # Panics
    /// If it never has.
    pub(crate) fn settle(&self) {
        wait::until_true(format!("{} to be quiet", self.kind), QUIET_LIMIT, || {
            let before = self.cpu_seconds();
            std::thread::sleep(QUIET_TIME);
            self.cpu_seconds() - before <= QUIET_SHARE * QUIET_TIME.as_secs_f64()
        });
    }

    /// Sends many `PUT`s on a few connections, each as soon as the one before is answered.
    pub(crate) fn put_all(
        &self,
        mut next: impl FnMut(usize) -> Option<(String, Value)>,
    ) -> Result<(), String> {
        let mut crowd = Crowd::new().map_err(|error| error.to_string())?;
        let mut number = 0;
        let mut open = 0;
        let mut free: Vec<usize> = (0..WRITERS)
            .map(|_| crowd.join(self.address))
            .collect::<Result<_, _>>()
            .map_err(|error| format!("{}: {error}", self.kind))?;
        loop {
            while let Some(connection) = free.pop() {
                let Some((path, body)) = next(number) else {
                    break;
                };
                number += 1;
                open += 1;
                let request = put(&path, &body.to_string());
                let sent = crowd.send(connection, &request);
                sent.map_err(|error| error.to_string())?;
            }
            if open == 0 {
                return Ok(());
            }
            let answers = crowd.collect(wait::SOON).map_err(|e| e.to_string())?;
            if answers.is_empty() {
                return Err(format!("{} does not answer", self.kind));
            }
            for answer in answers {
                if answer.status != 200 {
                    return Err(format!("{} answers {}", self.kind, answer.status));
                }
                open -= 1;
                free.push(answer.from);
            }
        }
    }
}

/// Who registers at the same time.
const WRITERS: usize = 8;

/// A `PUT` with a body.
pub(crate) fn put(path: &str, body: &str) -> Vec<u8> {
    format!(
        "PUT {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A `GET`.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").into_bytes()
}
