//! The HAProxy process: started, found running, told to reload, told to stop.
//!
//! A master with workers (`-W`), in the foreground, in a process group of its own: a Ctrl-C that ends turno lets turno
//! decide what becomes of HAProxy, and a turno that is killed leaves it serving, to be found by the next one.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::HaproxyError;
use super::config::Config;
use super::observed::{Processes, processes};
use super::render::absolute;
use super::socket::{Socket, SocketError};

/// How long a new worker may take to be there: reading a file with 50,000 servers takes a second.
const LOADED_WITHIN: Duration = Duration::from_secs(30);

/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long a process may take to end after its drain time is over.
const END_GRACE: Duration = Duration::from_secs(5);

/// HAProxy's master, if it runs.
#[derive(Debug)]
pub(super) struct Master {
    program: PathBuf,
    file: PathBuf,
    path: PathBuf,
    socket: Socket,
    runtime: Socket,
    child: Option<Child>,
}

impl Master {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            program: config.program.clone(),
            file: config.file.clone(),
            path: config.master.clone(),
            socket: Socket::new(&config.master),
            runtime: Socket::new(&config.socket),
            child: None,
        }
    }

    /// Its processes, if a master answers.
    pub(super) async fn processes(&self) -> Result<Processes, SocketError> {
        let text = self.socket.ask("show proc").await?;
        Ok(processes(&text).unwrap_or_default())
    }

    /// Fails if the program cannot be run. Otherwise the check of the file would, for a reason that is not the file's.
    pub(super) async fn can_start(&self) -> Result<(), HaproxyError> {
        let mut version = Command::new(&self.program);
        version.arg("-v").stdin(Stdio::null()).stdout(Stdio::null());
        let ran = version.stderr(Stdio::null()).status().await;
        ran.map(drop).map_err(|source| HaproxyError::Program {
            program: self.program.clone(),
            source,
        })
    }

    /// Starts one, and returns when its worker answers.
    pub(super) async fn start(&mut self) -> Result<Processes, HaproxyError> {
        let child = Command::new(&self.program)
            .arg("-W")
            .arg("-S")
            .arg(format!("{},mode,600", absolute(&self.path)))
            .arg("-f")
            .arg(absolute(&self.file))
            .stdin(Stdio::null())
            // What systemd is told is turno's business.
            .env_remove(daemon::systemd::SOCKET_VARIABLE)
            .process_group(0)
            .spawn()
            .map_err(|source| HaproxyError::Program {
                program: self.program.clone(),
                source,
            })?;
        self.child = Some(child);
        let started = async {
            loop {
                if let Some(status) = self.ended() {
                    return Err(HaproxyError::Ended(status));
                }
                if let Ok(now) = self.processes().await
                    && now.worker.is_some()
                    && self.runtime.ask("show info").await.is_ok()
                {
                    return Ok(now);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        match tokio::time::timeout(LOADED_WITHIN, started).await {
            Ok(started) => started,
            Err(_) => Err(HaproxyError::NotLoaded("it does not answer".to_owned())),
        }
    }

    /// How the child has ended, if it has.
    fn ended(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        Some(status.to_string())
    }

    /// Waits for the end of the child. For ever, if there is none of ours. Cancel-safe.
    pub(super) async fn ends(&mut self) -> String {
        match &mut self.child {
            Some(child) => {
                let status = child.wait().await;
                self.child = None;
                status.map_or_else(|error| error.to_string(), |status| status.to_string())
            }
            None => std::future::pending().await,
        }
    }

    /// Tells it to read its file anew, and waits until a new worker has. The old one finishes what it has.
    pub(super) async fn reload(&self) -> Result<Processes, HaproxyError> {
        let before = self.processes().await?;
        // The master runs itself anew and closes this connection; nothing is said about the outcome (2.6).
        self.socket.ask("reload").await?;
        let loaded = async {
            loop {
                if let Ok(now) = self.processes().await {
                    if now.failed > 0 {
                        return Err(HaproxyError::NotLoaded(
                            "its log, above, says why; the worker from before goes on".to_owned(),
                        ));
                    }
                    if now.worker.is_some()
                        && now.worker != before.worker
                        && self.answers(now.worker).await
                    {
                        return Ok(now);
                    }
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        match tokio::time::timeout(LOADED_WITHIN, loaded).await {
            Ok(loaded) => loaded,
            Err(_) => Err(HaproxyError::NotLoaded(format!(
                "no new worker within {}s",
                LOADED_WITHIN.as_secs()
            ))),
        }
    }

    /// Whether it is that worker who answers on the runtime socket.
    async fn answers(&self, worker: Option<u32>) -> bool {
        let Ok(said) = self.runtime.ask("show info").await else {
            return false;
        };
        let pid = said.lines().find_map(|line| line.strip_prefix("Pid: "));
        pid.and_then(|pid| pid.trim().parse().ok()) == worker
    }

    /// Lets it finish what it has, within `drain`, and end.
    pub(super) async fn stop(&mut self, drain: Duration) {
        let Ok(running) = self.processes().await else {
            return;
        };
        let pid = i32::try_from(running.master).ok().and_then(Pid::from_raw);
        let Some(pid) = pid else { return };
        for (signal, limit) in [
            (Signal::USR1, drain + END_GRACE),
            (Signal::TERM, END_GRACE),
            (Signal::KILL, END_GRACE),
        ] {
            // It fails only if the process has ended already.
            if kill_process(pid, signal).is_err() {
                return;
            }
            if tokio::time::timeout(limit, self.gone()).await.is_ok() {
                return;
            }
            tracing::warn!(
                pid = pid.as_raw_nonzero(),
                ?signal,
                "HAProxy has not ended in time"
            );
        }
    }

    async fn gone(&mut self) {
        if self.child.is_some() {
            self.ends().await;
            return;
        }
        while self.processes().await.is_ok() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
