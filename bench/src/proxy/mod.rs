//! The programs compared, each set up as its manual recommends for this work, and started as one process on one CPU.

mod haproxy;
mod nginx;
mod turno;

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use e2e::parts::Part;
use e2e::process::{self, Process};
use e2e::{http, ports, wait};

use crate::machine::Cores;
use crate::origin::Origins;

/// A program that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Haproxy,
    Nginx,
    Turno,
}

impl Kind {
    fn program(self) -> PathBuf {
        match self {
            Kind::Haproxy => Part::Haproxy.path(),
            Kind::Nginx => Part::Nginx.path(),
            Kind::Turno => e2e::turno::binary(),
        }
    }

    /// The first line in which it says its version.
    pub(crate) fn version(self) -> String {
        let mut command = Command::new(self.program());
        command.arg(if self == Kind::Turno {
            "--version"
        } else {
            "-v"
        });
        let Ok(ended) = process::run(command, wait::SOON) else {
            return "unknown".to_owned();
        };
        let text = format!("{}{}", ended.stdout, ended.stderr);
        text.lines().next().unwrap_or("unknown").to_owned()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Haproxy => "haproxy",
            Kind::Nginx => "nginx",
            Kind::Turno => "turno",
        })
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Kind, String> {
        match name {
            "haproxy" => Ok(Kind::Haproxy),
            "nginx" => Ok(Kind::Nginx),
            "turno" => Ok(Kind::Turno),
            _ => Err("the proxies are haproxy, nginx and turno".to_owned()),
        }
    }
}

/// A running proxy before the origins.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) kind: Kind,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    process: Process,
    _folder: tempfile::TempDir,
}

impl Proxy {
    /// Starts it and waits until it answers.
    pub(crate) fn start(kind: Kind, origins: &Origins, cores: &Cores) -> Proxy {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let address = ports::free_address();
        let command = match kind {
            Kind::Haproxy => haproxy::command(address, &origins.addresses, folder.path()),
            Kind::Nginx => nginx::command(address, &origins.addresses, folder.path()),
            Kind::Turno => turno::command(address, &origins.addresses, folder.path()),
        };
        let mut process = Process::start(&kind.to_string(), cores.on_proxy_core(&command));
        wait::until_true(format!("{kind} to answer"), wait::SOON, || {
            process.assert_running();
            http::get(address, "/").is_ok_and(|answer| answer.status == 200)
        });
        Proxy {
            kind,
            address,
            process,
            _folder: folder,
        }
    }

    /// The process id of what was started; for nginx, the parent of the one that works.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The CPU time, in seconds, that its processes and their threads have used so far, in user space and in the kernel.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.id())
    }
}

/// The CPU time, in seconds, that a process, its children and their threads have used so far.
pub(crate) fn cpu_seconds(id: u32) -> f64 {
    let ticks: u64 = family(id).into_iter().filter_map(cpu_ticks).sum();
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// A process and its children, and theirs.
fn family(parent: u32) -> Vec<u32> {
    let mut all = vec![parent];
    let children = format!("/proc/{parent}/task/{parent}/children");
    for child in fs::read_to_string(children)
        .unwrap_or_default()
        .split_whitespace()
    {
        all.extend(child.parse().map(family).unwrap_or_default());
    }
    all
}

/// utime + stime of /proc/PID/stat (fields 14 and 15, proc(5)), which are those of all its threads.
fn cpu_ticks(id: u32) -> Option<u64> {
    parse_ticks(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

fn parse_ticks(stat: &str) -> Option<u64> {
    // The name of the program is in brackets and may hold anything, brackets included.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("the folder was just made");
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_fields_14_and_15() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 200 0 0 30 12 5 6 20 0 1 0 100 1 1";
        assert_eq!(parse_ticks(stat), Some(42));
        assert_eq!(parse_ticks("7 (a"), None);
    }

    #[test]
    fn this_process_has_used_some_time() {
        assert!(cpu_ticks(std::process::id()).is_some());
    }
}
