//! The brokers compared, each started as one program on the CPU of its own, and what they use.
//!
//! All listen on two ports, one for clients and one for workers, and give a request to the worker that has been free for
//! longest. Only turno's holds on to a request until it is answered.

use std::fmt;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use e2e::parts::{self, Part};
use e2e::process::{self, Process};
use e2e::{ports, wait};

use crate::machine::Cores;
use crate::proxy::cpu_seconds;

/// The version of what does not say it.
const UNKNOWN: &str = "unknown";

/// A broker program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `peers/lru.c`, as `scripts/real-parts --libzmq` builds it.
    Libzmq,
    /// `peers/lru.py`.
    Pyzmq,
    Turno,
}

impl Kind {
    /// The line in which it says its version.
    pub(crate) fn version(self) -> String {
        let mut command = self.program();
        command.arg("--version");
        match process::run(command, wait::SOON) {
            Ok(ended) => ended.stdout.lines().next().unwrap_or(UNKNOWN).to_owned(),
            Err(_) => UNKNOWN.to_owned(),
        }
    }

    /// Whether it can be started.
    pub(crate) fn find(self) -> Result<(), String> {
        match self.version().as_str() {
            UNKNOWN => Err(format!(
                "the broker on {self} does not start; scripts/real-parts --libzmq would fetch and build what it needs"
            )),
            _ => Ok(()),
        }
    }

    fn program(self) -> Command {
        match self {
            Kind::Libzmq => Command::new(libzmq_broker()),
            Kind::Pyzmq => {
                let mut command = Command::new(Part::Python.path());
                command.env("PYTHONPATH", modules());
                command.arg(parts::checkout().join("bench/peers/lru.py"));
                command
            }
            Kind::Turno => e2e::turno::command(&[]),
        }
    }

    fn command(self, front: SocketAddr, back: SocketAddr) -> Command {
        let (front, back) = (format!("tcp://{front}"), format!("tcp://{back}"));
        let mut command = self.program();
        match self {
            Kind::Libzmq | Kind::Pyzmq => command.args([front, back]),
            Kind::Turno => {
                command.args(["mq", "broker", "--no-register", "--bind", &front]);
                command.args(["--worker-bind", &back])
            }
        };
        command
    }
}

fn libzmq_broker() -> PathBuf {
    parts::checkout().join(".real-parts/libzmq/lru")
}

/// Where `scripts/real-parts` puts Python's modules.
fn modules() -> PathBuf {
    parts::checkout().join(".real-parts/python")
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Libzmq => "C, libzmq",
            Kind::Pyzmq => "pyzmq",
            Kind::Turno => "turno",
        })
    }
}

/// A running broker.
#[derive(Debug)]
pub(crate) struct Broker {
    /// Where clients connect to.
    pub(crate) front: SocketAddr,
    /// Where workers connect to.
    pub(crate) back: SocketAddr,
    process: Process,
}

impl Broker {
    /// Starts it and waits until it listens.
    pub(crate) fn start(kind: Kind, cores: &Cores) -> Broker {
        let (front, back) = (ports::free_address(), ports::free_address());
        let command = cores.on_proxy_core(&kind.command(front, back));
        let mut process = Process::start(&kind.to_string(), command);
        wait::until_true(format!("{kind} to listen"), wait::SOON, || {
            process.assert_running();
            [front, back]
                .iter()
                .all(|address| TcpStream::connect(address).is_ok())
        });
        Broker {
            front,
            back,
            process,
        }
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The CPU time, in seconds, that it has used so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.process.id())
    }

    /// Resident memory in megabytes.
    pub(crate) fn megabytes(&self) -> f64 {
        let status = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kilobytes.unwrap_or(0.0) / 1024.0
    }
}
