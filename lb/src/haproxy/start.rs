//! How the driving begins: a HAProxy that runs already is taken over, else one is started.

use std::path::Path;
use std::time::Duration;

use daemon::net::ListenError;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::HaproxyError;
use super::config::Config;
use super::driver::{Driver, Setup};
use super::plan::Reason;
use super::render::Page;
use super::status::{Pages, Status};
use crate::discovery::Discovery;

/// How long a registry may be silent before HAProxy is started with the file that is there: after a power cut both may
/// come back, and HAProxy need not wait.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a worker may take to notice that its master was killed, and to give up its ports.
const ORPHAN_GONE: Duration = Duration::from_secs(2);

/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A HAProxy that follows a registry.
#[derive(Debug)]
pub struct Haproxy {
    pages: Pages,
    configs: watch::Sender<Config>,
    config: Config,
    task: JoinHandle<()>,
}

impl Haproxy {
    /// Takes over or starts HAProxy, and returns when it serves what the registry says. Follows until `shutdown`.
    ///
    /// # Errors
    /// The template or the file is no good, HAProxy does not start, there is none to attach to, or `shutdown` came first.
    pub async fn start(
        config: Config,
        client: consul::Client,
        shutdown: CancellationToken,
    ) -> Result<Self, HaproxyError> {
        let page = Page::load(config.template.as_deref())?;
        if let Some(folder) = config.file.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|source| file_error("make", folder, source))?;
        }
        let status = Status::new();
        let mut discovery = Discovery::new(client, &config.fixed);
        discovery.follow(&config.discovered(), &shutdown);
        let pages = Pages {
            status: std::sync::Arc::clone(&status),
            freshness: discovery.freshness(),
        };
        let setup = Setup {
            config: config.clone(),
            page,
        };
        let mut driver = Driver::new(setup, discovery, status);
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Err(HaproxyError::Stopped),
            begun = driver.begin() => begun?,
        }
        let configs = watch::Sender::new(config.clone());
        let task = tokio::spawn(driver.run(configs.subscribe(), shutdown));
        Ok(Self {
            pages,
            configs,
            config,
            task,
        })
    }

    /// What it says of itself.
    #[must_use]
    pub fn pages(&self) -> Pages {
        self.pages.clone()
    }

    /// Takes a new configuration: routes, policies, listeners and whatever else stands in HAProxy's file. What turno itself
    /// or the start of HAProxy depends on needs a new start; its names are returned.
    pub fn configure(&self, mut config: Config) -> Vec<&'static str> {
        let now = &self.config;
        let differs = [
            ("admin", now.admin != config.admin),
            ("fixed", now.fixed != config.fixed),
            ("file", now.file != config.file),
            ("socket", now.socket != config.socket),
            ("master", now.master != config.master),
            ("program", now.program != config.program),
            ("attach", now.attach != config.attach),
            ("keep", now.keep != config.keep),
            ("wait", now.wait != config.wait),
        ];
        config.clone_from(&Config {
            admin: now.admin,
            fixed: now.fixed.clone(),
            file: now.file.clone(),
            socket: now.socket.clone(),
            master: now.master.clone(),
            program: now.program.clone(),
            attach: now.attach,
            keep: now.keep,
            wait: now.wait,
            ..config.clone()
        });
        self.configs.send_replace(config);
        let later = differs.into_iter().filter(|(_, differs)| *differs);
        later.map(|(name, _)| name).collect()
    }

    /// Waits until it was told to stop, and HAProxy has ended or is left to itself.
    pub async fn stopped(self) {
        if self.task.await.is_err() {
            tracing::error!("the driver of HAProxy panicked");
        }
    }
}

impl Driver {
    /// Brings HAProxy to its first state.
    async fn begin(&mut self) -> Result<(), HaproxyError> {
        let config = self.setup.config.clone();
        let mut running = match self.master.processes().await {
            Ok(processes) => {
                tracing::info!(
                    master = processes.master,
                    "HAProxy runs already and is taken over"
                );
                self.status.up(Some(&processes));
                true
            }
            Err(error) if config.attach => return Err(HaproxyError::NotThere(error)),
            Err(_) => false,
        };
        if !running {
            self.master.can_start().await?;
            vacant(&config).await?;
        }
        let services = config.discovered();
        let restartable = !running && self.note.loaded.is_some() && config.file.exists();
        if restartable
            && tokio::time::timeout(PATIENCE, self.discovery.first_snapshot(&services))
                .await
                .is_err()
        {
            tracing::warn!("the registry does not answer: HAProxy is started as it was");
            match self.master.start().await {
                Ok(processes) => {
                    self.status.starts.inc();
                    self.status.up(Some(&processes));
                    running = true;
                }
                Err(error) => tracing::warn!("{error}"),
            }
        }
        self.discovery.first_snapshot(&services).await;
        if !running {
            return self.start().await;
        }
        let skeleton = self.setup.page.skeleton(&config, &self.note.backends)?;
        if self.note.loaded == Some(skeleton) {
            self.take_over().await;
        } else {
            self.ask_for_reload(Reason::Configuration);
        }
        if self.reason.is_some() {
            self.load().await?;
            self.status.reloaded("taken over");
            self.status.pending(None);
            self.reason = None;
        }
        Ok(())
    }
}

/// Fails if somebody else listens where HAProxy is to. HAProxy itself would not: it shares its ports (`SO_REUSEPORT`), and
/// with another program that does so, as the balancer, it would get a part of the connections and say nothing.
async fn vacant(config: &Config) -> Result<(), ListenError> {
    let deadline = Instant::now() + ORPHAN_GONE;
    for address in config.listen.iter().chain(&config.stats) {
        loop {
            match daemon::net::listen(*address) {
                Err(ListenError::InUse(_)) if Instant::now() < deadline => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Err(error @ ListenError::InUse(_)) => return Err(error),
                // What else is wrong HAProxy says itself; it may have rights that turno has not.
                _ => break,
            }
        }
    }
    Ok(())
}

fn file_error(what: &'static str, path: &Path, source: std::io::Error) -> HaproxyError {
    HaproxyError::File(crate::template::TemplateError::File {
        what,
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_somebody_shares_is_not_vacant() {
        // As the balancer's workers do, and HAProxy.
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_reuseport(true).expect("set");
        let any = "127.0.0.1:0".parse().expect("an address");
        socket.bind(any).expect("a free port");
        let taken = socket.listen(1).expect("it listens");
        let address = taken.local_addr().expect("it is bound");
        let config = Config {
            listen: vec![address],
            ..Config::default()
        };
        let error = vacant(&config).await.expect_err("it is taken");
        assert!(error.to_string().contains("already in use"), "{error}");
        drop(taken);
        assert!(vacant(&config).await.is_ok());
    }
}
