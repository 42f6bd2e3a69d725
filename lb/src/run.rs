//! A whole balancer: discovery, control and workers, put together and started.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use daemon::systemd::Pulse;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::config::{Config, RouteConfig};
use crate::control::{self, Change, Control, Inputs, Outputs};
use crate::discovery::Discovery;
use crate::observe::Metrics;
use crate::pool::Reports;
use crate::proxy::{self, ListenError, Reserved, Shared, Worker};
use crate::routing::RouteTable;

/// Changes a slow reader may be behind before it misses some.
const CHANGES_KEPT: usize = 1_024;

/// Why a balancer did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A worker's thread cannot be made.
    #[error("cannot start a worker: {0}")]
    Worker(#[source] std::io::Error),
    /// It was told to stop before it listened.
    #[error("stopped before the registry answered")]
    Stopped,
}

/// A running balancer.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    admin: Admin,
    changes: broadcast::Sender<Change>,
    routes: watch::Sender<Vec<RouteConfig>>,
    config: Config,
    workers: Vec<std::thread::JoinHandle<std::io::Result<()>>>,
    pulses: Vec<Pulse>,
    discovery: Discovery,
    shutdown: CancellationToken,
}

impl Balancer {
    /// Starts, and returns when it listens: after the first answer for each service, so that it never refuses a request
    /// because it is young. Stops when `shutdown` is cancelled.
    ///
    /// # Errors
    /// The address cannot be used (checked before anything else), or `shutdown` came first.
    pub async fn start(
        config: Config,
        client: consul::Client,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        let reserved = proxy::reserve(config.listen)?;
        Self::start_on(reserved, config, client, shutdown).await
    }

    /// The same on a listening socket that a service manager holds, whatever `config.listen` says. Clients who connect when
    /// it has stopped wait in that socket for the next balancer.
    ///
    /// # Errors
    /// The socket cannot be used, or `shutdown` came first.
    pub async fn start_inherited(
        listener: std::net::TcpListener,
        config: Config,
        client: consul::Client,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        let reserved = proxy::inherit(listener)?;
        Self::start_on(reserved, config, client, shutdown).await
    }

    async fn start_on(
        reserved: Reserved,
        config: Config,
        client: consul::Client,
        shutdown: CancellationToken,
    ) -> Result<Self, StartError> {
        let metrics = Metrics::new();
        let mut discovery = Discovery::new(client, &config.fixed);
        let followed = config.discovered();
        discovery.follow(&followed, &shutdown);
        tokio::select! {
            () = discovery.first_snapshot(&followed) => {}
            () = shutdown.cancelled() => return Err(StartError::Stopped),
        }
        let (reports, failures) = Reports::channel();
        let mut control = Control::new(config.routes.clone(), Arc::clone(&metrics));
        let snapshots = discovery.snapshots();
        let first = control.table(&snapshots.borrow(), Instant::now());
        let table = watch::Sender::new(Arc::new(first));
        let published = table.subscribe();
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        let routes = watch::Sender::new(config.routes.clone());
        let inputs = Inputs {
            snapshots,
            routes: routes.subscribe(),
            failures,
        };
        let outputs = Outputs {
            table,
            changes: changes.clone(),
        };
        let mut limits = config.limits;
        let allowed = proxy::clients_allowed();
        if allowed < limits.connections {
            tracing::debug!(
                allowed,
                wanted = limits.connections,
                "fewer clients at once: the limit of open files"
            );
            limits.connections = allowed;
        }
        let shared = Arc::new(Shared {
            limits,
            workers: config.workers,
            metrics: Arc::clone(&metrics),
            reports,
            access_log: config.access_log,
            abort_on_close: config.abort_on_close,
            inherited: reserved.is_inherited(),
        });
        let sockets = reserved.share(config.workers)?;
        let address = sockets
            .first()
            .and_then(|socket| socket.local_addr().ok())
            .unwrap_or(config.listen);
        let pulses: Vec<Pulse> = (0..sockets.len())
            .map(|i| Pulse::new(&format!("worker-{i}")))
            .collect();
        let workers = start_workers(&shared, &published, sockets, &pulses, &shutdown)?;
        tokio::spawn(control::run(control, inputs, outputs, shutdown.clone()));
        let admin = Admin {
            metrics,
            table: published,
            snapshots: discovery.snapshots(),
            freshness: discovery.freshness(),
        };
        Ok(Self {
            address,
            admin,
            changes,
            routes,
            config,
            workers,
            pulses,
            discovery,
            shutdown,
        })
    }

    /// Where it accepts requests.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The pulses of its workers, for a watchdog.
    #[must_use]
    pub fn pulses(&self) -> Vec<Pulse> {
        self.pulses.clone()
    }

    /// What it says of itself.
    #[must_use]
    pub fn admin(&self) -> Admin {
        self.admin.clone()
    }

    /// What changes in the rotation, from now on.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Takes the routes of `config`, and starts to follow the services they name that were not followed. A route to a new
    /// service answers 503 until the registry has told who is in it.
    ///
    /// What else differs needs a new start; its names are returned.
    pub fn reload(&mut self, config: Config) -> Vec<&'static str> {
        self.discovery.follow(&config.discovered(), &self.shutdown);
        self.routes.send_if_modified(|routes| {
            let changed = *routes != config.routes;
            routes.clone_from(&config.routes);
            changed
        });
        let now = &self.config;
        let differs = [
            ("listen", now.listen != config.listen),
            ("admin", now.admin != config.admin),
            ("workers", now.workers != config.workers),
            ("fixed", now.fixed != config.fixed),
            ("limits", now.limits != config.limits),
            ("access_log", now.access_log != config.access_log),
            (
                "abort_on_close",
                now.abort_on_close != config.abort_on_close,
            ),
        ];
        self.config.routes = config.routes;
        differs
            .into_iter()
            .filter(|(_, differs)| *differs)
            .map(|(name, _)| name)
            .collect()
    }

    /// Waits until it was told to stop and every worker has drained.
    pub async fn stopped(self) {
        self.shutdown.cancelled().await;
        let joined = tokio::task::spawn_blocking(move || {
            for worker in self.workers {
                match worker.join() {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::error!("a worker failed: {error}"),
                    Err(_) => tracing::error!("a worker panicked"),
                }
            }
        });
        if joined.await.is_err() {
            tracing::error!("waiting for the workers failed");
        }
    }
}

fn start_workers(
    shared: &Arc<Shared>,
    published: &watch::Receiver<Arc<RouteTable>>,
    sockets: Vec<std::net::TcpListener>,
    pulses: &[Pulse],
    shutdown: &CancellationToken,
) -> Result<Vec<std::thread::JoinHandle<std::io::Result<()>>>, StartError> {
    let mut workers = Vec::with_capacity(sockets.len());
    for (i, (socket, pulse)) in sockets.into_iter().zip(pulses.iter().cloned()).enumerate() {
        let (shared, published, shutdown) =
            (Arc::clone(shared), published.clone(), shutdown.clone());
        let thread = std::thread::Builder::new().name(format!("worker-{i}"));
        let worker = thread.spawn(move || Worker::run(shared, published, socket, pulse, shutdown));
        workers.push(worker.map_err(StartError::Worker)?);
    }
    Ok(workers)
}
