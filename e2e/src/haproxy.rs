//! `turno haproxy` with the HAProxy it drives, seen from outside: by requests, by HAProxy's own sockets, by turno's pages.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::parts::Part;
use crate::process::Process;
use crate::{http, ports, turno, wait};

/// HAProxy answers within a millisecond; this is for a machine that is busy.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// turno and the HAProxy behind it.
#[derive(Debug)]
pub struct Driven {
    /// Where HAProxy accepts requests.
    pub address: SocketAddr,
    /// turno's admin listener.
    pub admin: SocketAddr,
    /// turno.
    pub process: Process,
    registry: SocketAddr,
    flags: Vec<String>,
    folder: tempfile::TempDir,
}

/// A server as HAProxy shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Address and port.
    pub address: String,
    /// Neither in maintenance nor draining.
    pub ready: bool,
    /// Its weight.
    pub weight: u32,
}

impl Driven {
    /// Starts turno, which starts HAProxy, with everything routed to the service `web`; waits until it serves.
    pub fn start(registry: SocketAddr, flags: &[&str]) -> Driven {
        Driven::start_in(registry, flags, |_| {})
    }

    /// The same, after `prepare` was given the folder in which HAProxy's file and sockets will be. `{dir}` in a flag stands
    /// for it.
    pub fn start_in(registry: SocketAddr, flags: &[&str], prepare: impl FnOnce(&Path)) -> Driven {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        prepare(folder.path());
        let dir = folder.path().display().to_string();
        let flags: Vec<String> = flags.iter().map(|f| f.replace("{dir}", &dir)).collect();
        let (address, admin) = (ports::free_address(), ports::free_address());
        let process = run(registry, address, admin, &dir, &flags);
        let mut driven = Driven {
            address,
            admin,
            process,
            registry,
            flags,
            folder,
        };
        driven.await_ready();
        driven
    }

    /// Kills turno alone with `kill -9`, and starts it again; what is done between the two is up to `meanwhile`.
    pub fn restart_turno(&mut self, meanwhile: impl FnOnce(&Driven)) {
        self.process.kill_alone();
        meanwhile(self);
        let dir = self.folder.path().display().to_string();
        self.process = run(self.registry, self.address, self.admin, &dir, &self.flags);
        self.await_ready();
    }

    fn await_ready(&mut self) {
        wait::until_true("turno haproxy to be ready", wait::SOON, || {
            self.process.assert_running();
            self.process.output().contains("turno: ready")
        });
    }

    /// A file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// HAProxy's file.
    pub fn file(&self) -> String {
        fs::read_to_string(self.path("haproxy.cfg")).unwrap_or_default()
    }

    /// What turno says of itself.
    pub fn view(&self) -> Value {
        let answer = http::get(self.admin, "/v1/haproxy");
        answer
            .ok()
            .and_then(|answer| serde_json::from_slice(&answer.body).ok())
            .unwrap_or_default()
    }

    /// A number of [`Self::view`].
    pub fn count(&self, name: &str) -> u64 {
        self.view()[name].as_u64().unwrap_or_default()
    }

    /// Sends a line to HAProxy's worker, and returns its answer; empty if nobody answers.
    pub fn ask(&self, line: &str) -> String {
        ask(&self.path("runtime.sock"), line).unwrap_or_default()
    }

    /// Sends a line to HAProxy's master.
    pub fn ask_master(&self, line: &str) -> String {
        ask(&self.path("master.sock"), line).unwrap_or_default()
    }

    /// The servers of the backend `web`, by name.
    pub fn servers(&self) -> BTreeMap<String, Server> {
        servers(&self.ask("show servers state web"))
    }

    /// The addresses of the servers that get requests, sorted.
    pub fn ready(&self) -> Vec<String> {
        let servers = self.servers().into_values().filter(|server| server.ready);
        let mut addresses: Vec<String> = servers.map(|server| server.address).collect();
        addresses.sort();
        addresses
    }

    /// Waits until just these servers get requests.
    ///
    /// # Panics
    /// If that does not come true.
    pub fn await_ready_servers(&self, addresses: &[SocketAddr]) {
        let mut wanted: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        wanted.sort();
        wait::until_true(format!("HAProxy to serve {wanted:?}"), wait::SOON, || {
            self.ready() == wanted
        });
    }

    /// The process ids of the master, of the worker, and of older workers.
    pub fn processes(&self) -> (Option<u32>, Option<u32>, Vec<u32>) {
        let (mut master, mut worker, mut old) = (None, None, Vec::new());
        let mut is_old = false;
        for line in self.ask_master("show proc").lines() {
            is_old |= line.starts_with("# old");
            let mut words = line.split_whitespace();
            let pid = words.next().and_then(|word| word.parse().ok());
            match (pid, words.next()) {
                (Some(pid), Some("master")) => master = Some(pid),
                (Some(pid), Some("worker")) if is_old => old.push(pid),
                (Some(pid), Some("worker")) => worker = Some(pid),
                _ => {}
            }
        }
        (master, worker, old)
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        // A turno that was killed has left its HAProxy behind, on purpose.
        let master = self.processes().0.and_then(|pid| i32::try_from(pid).ok());
        self.process.kill();
        if let Some(master) = master.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(master, rustix::process::Signal::KILL);
        }
    }
}

fn run(
    registry: SocketAddr,
    address: SocketAddr,
    admin: SocketAddr,
    dir: &str,
    flags: &[String],
) -> Process {
    let mut command = turno::command(&["haproxy", "--dir", dir, "--admin", &admin.to_string()]);
    command.args(["--consul", &format!("http://{registry}")]);
    command.args(["--listen", &address.to_string(), "--route", "/=web"]);
    command.arg("--program").arg(Part::Haproxy.path());
    command.args(flags);
    Process::start("turno haproxy", command)
}

/// Sends a line to one of HAProxy's sockets.
///
/// # Errors
/// If nobody is there.
pub fn ask(socket: &Path, line: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The servers by name in an answer to `show servers state`.
pub fn servers(answer: &str) -> BTreeMap<String, Server> {
    answer.lines().filter_map(server).collect()
}

/// A line of `show servers state`.
fn server(line: &str) -> Option<(String, Server)> {
    let fields: Vec<&str> = line.split(' ').collect();
    let admin: u32 = fields.get(6)?.parse().ok()?;
    let server = Server {
        address: format!("{}:{}", fields[4], fields.get(18)?),
        // 0x04 says only that it was out when HAProxy started, 0x40 that its host name came later.
        ready: admin & !0x44 == 0,
        weight: fields[7].parse().ok()?,
    };
    Some((fields[3].to_owned(), server))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_as_haproxy_shows_it() {
        let line = "3 web 2 s2 127.0.0.1 2 4 5 1 1 1 0 2 6 0 0 0 - 18102 - 0 0 - - 0";
        let (name, server) = super::server(line).expect("a server");
        assert_eq!(name, "s2");
        let expected = Server {
            address: "127.0.0.1:18102".to_owned(),
            ready: true,
            weight: 5,
        };
        assert_eq!(server, expected);
        assert_eq!(super::server("# be_id be_name srv_id"), None);
    }
}
