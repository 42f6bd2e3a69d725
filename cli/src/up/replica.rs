//! One replica of `hello`: its process, its presence in the registry, and its next life.
//!
//! It knows its own number and nothing of the other replicas, nor of the balancer.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use consul::{
    Client,
    types::{CheckDefinition, ServiceRegistration, Status},
};
use daemon::{backoff::Backoff, telemetry::LogFormat};
use rustix::process::Signal;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{ChildStdin, ChildStdout, Command},
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    SERVICE,
    board::{Board, Phase},
};
use crate::{
    presence::Presence,
    process::{Process, ending},
};

/// How often the registry asks for a replica's health: Consul's shortest.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A replica that hangs is out of rotation after this, rather than after the registry's default.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// Consul forgets a replica that was critical this long; it takes nothing shorter.
const FORGET_AFTER: &str = "1m";

/// From the start of the process to its line that says where it listens; a busy machine needs some.
const START: Duration = Duration::from_secs(10);

/// The longest such line: a name, and an address.
const LINE_BYTES: u64 = 512;

/// A replica that was asked to stop gets this long for its requests in flight.
const GRACE: Duration = Duration::from_secs(10);

/// The first wait before a replica that died is started again. Short: it may be the only one.
const RESTART_MIN: Duration = Duration::from_millis(50);

/// The longest wait: a replica that cannot start should not keep the machine busy.
const RESTART_MAX: Duration = Duration::from_secs(10);

/// One that lived this long was well: its next death starts the waits over.
const STEADY: Duration = Duration::from_secs(10);

/// What all replicas have in common.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    /// The program: this one.
    pub(super) program: PathBuf,
    /// How it logs.
    pub(super) log_format: LogFormat,
    /// The registry.
    pub(super) client: Client,
    /// Where it is shown.
    pub(super) board: Board,
}

/// A replica, alive or between two lives.
#[derive(Debug)]
pub(super) struct Replica {
    number: usize,
    id: String,
    recipe: Recipe,
}

/// A process that has said where it listens. It ends when `stdin` is closed.
struct Started {
    process: Process,
    address: SocketAddr,
    _stdin: Option<ChildStdin>,
}

impl Replica {
    pub(super) fn new(number: usize, recipe: Recipe) -> Self {
        Self {
            number,
            id: format!("{SERVICE}-{number}"),
            recipe,
        }
    }

    /// Keeps one process running and registered until `stop`; then deregisters it and ends it.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::new(RESTART_MIN, RESTART_MAX);
        loop {
            let started = Instant::now();
            let Err(why) = self.live(&stop).await else {
                break;
            };
            if started.elapsed() > STEADY {
                backoff.reset();
            }
            let delay = backoff.next_delay();
            warn!(replica = self.id, why, restart_in = ?delay, "a replica died");
            self.show(|row| {
                row.phase = Phase::Restarting;
                row.pid = None;
                row.address = None;
                row.restarts += 1;
            });
            tokio::select! {
                () = time::sleep(delay) => {}
                () = stop.cancelled() => break,
            }
        }
        self.recipe.board.remove(self.number);
    }

    /// One life, from the start of the process to its end. An error is an end nobody asked for.
    async fn live(&self, stop: &CancellationToken) -> Result<(), String> {
        let started = tokio::select! {
            // First, so that nothing is started that should not be.
            biased;
            // Dropping the unfinished start kills the process; it was not in rotation yet.
            () = stop.cancelled() => return Ok(()),
            started = self.start() => started?,
        };
        let Started {
            mut process,
            address,
            ..
        } = started;
        self.show(|row| (row.address, row.phase) = (Some(address), Phase::Running));
        let mut presence =
            Presence::start(self.recipe.client.clone(), registration(&self.id, address));
        let announced = async {
            presence.registered().await;
            self.show(|row| row.phase = Phase::Registered);
            std::future::pending::<()>().await;
        };
        let died = tokio::select! {
            ended = process.wait() => Some(ended),
            () = stop.cancelled() => None,
            () = announced => unreachable!("it never ends"),
        };
        match died {
            Some(ended) => {
                presence.leave().await;
                Err(ended.map_or_else(|error| error.to_string(), ending))
            }
            None => {
                self.show(|row| row.phase = Phase::Stopping);
                presence.leave_rotation().await;
                if let Err(error) = process.stop(Signal::TERM, GRACE).await {
                    warn!(replica = self.id, %error, "cannot wait for a replica to end");
                }
                Ok(())
            }
        }
    }

    /// Starts the process and learns where it listens.
    async fn start(&self) -> Result<Started, String> {
        let mut process = Process::spawn(&mut self.command())
            .map_err(|error| format!("cannot start {}: {error}", self.recipe.program.display()))?;
        self.show(|row| (row.pid, row.phase) = (process.id(), Phase::Starting));
        let (stdin, stdout) = process.pipes();
        let stdout = stdout.ok_or("no pipe to its standard output")?;
        match time::timeout(START, first_line(stdout)).await {
            Ok(line) => {
                let line = line?;
                let address = address(&line)
                    .ok_or_else(|| format!("it did not say where it listens: {line:?}"))?;
                Ok(Started {
                    process,
                    address,
                    _stdin: stdin,
                })
            }
            Err(_) => Err(format!("it did not listen within {START:?}")),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.recipe.program);
        command
            .args([
                "microservice",
                SERVICE,
                "--listen",
                "127.0.0.1:0",
                "--exit-on-stdin-close",
            ])
            .args([
                "--instance",
                &self.id,
                "--log-format",
                &self.recipe.log_format.to_string(),
            ])
            .env_remove("CONSUL_HTTP_TOKEN")
            .env_remove("TURNO_ADMIN_TOKEN")
            // Systemd watches us, and hears of us.
            .env_remove(daemon::systemd::SOCKET_VARIABLE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if std::env::var_os("RUST_LOG").is_none() {
            // What a replica has to say of its start and stop, `up` says already.
            command.env("RUST_LOG", "warn");
        }
        command
    }

    fn show(&self, change: impl FnOnce(&mut super::board::ReplicaView)) {
        self.recipe.board.update(self.number, &self.id, change);
    }
}

async fn first_line(stdout: ChildStdout) -> Result<String, String> {
    let mut line = String::new();
    let read = BufReader::new(tokio::io::AsyncReadExt::take(stdout, LINE_BYTES))
        .read_line(&mut line)
        .await;
    match read {
        Ok(0) => Err("it ended before it listened".to_owned()),
        Ok(_) => Ok(line.trim_end().to_owned()),
        Err(error) => Err(format!("cannot read its first line: {error}")),
    }
}

/// The address at the end of the line with which a microservice says that it listens.
fn address(line: &str) -> Option<SocketAddr> {
    line.rsplit_once("http://")?.1.parse().ok()
}

fn registration(id: &str, address: SocketAddr) -> ServiceRegistration {
    let check = CheckDefinition {
        timeout: Some(consul::types::format_duration(CHECK_TIMEOUT)),
        // Somebody else's registry should not remember us for ever if we are killed hard.
        deregister_critical_service_after: Some(FORGET_AFTER.to_owned()),
        // It has just told us that it listens; the registry's own check goes on from there.
        status: Some(Status::Passing),
        ..CheckDefinition::http(format!("http://{address}/health"), CHECK_INTERVAL)
    };
    ServiceRegistration {
        id: id.to_owned(),
        checks: vec![check],
        ..ServiceRegistration::new(SERVICE, address.ip().to_string(), address.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_at_the_end_of_the_line() {
        for (line, want) in [
            (
                "hello-1 listening on http://127.0.0.1:40123",
                Some("127.0.0.1:40123"),
            ),
            ("hello-1 listening on http://[::1]:1", Some("[::1]:1")),
            ("turno: no", None),
            ("http://nowhere", None),
            ("", None),
        ] {
            assert_eq!(
                address(line).map(|a| a.to_string()).as_deref(),
                want,
                "{line}"
            );
        }
    }
}
