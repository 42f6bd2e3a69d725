//! A worker: one thread with a runtime of its own, that accepts and serves clients. Nothing here is shared but what
//! [`Shared`] and the published table hold.

use std::cell::{RefCell, RefMut};
use std::collections::HashSet;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use daemon::systemd::Pulse;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::Client;
use super::connections::Connections;
use super::drain::Drain;
use crate::config::Limits;
use crate::observe::Metrics;
use crate::pool::Reports;
use crate::routing::RouteTable;

/// The size of every buffer that bodies go through, and of what is read at once.
const BUFFER: usize = 64 * 1024;

/// Buffers a worker keeps for reuse: as many bodies at once cost no allocation.
const KEPT_BUFFERS: usize = 32;

/// How often unused upstream connections are looked through.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The pause after a failed accept (no descriptor, no memory): accepting again at once would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// When it stops, a client who has connected and sent nothing gets so long to send its first request: longer than a client
/// on a busy machine takes from one to the other, and short for whoever waits for the end.
const FIRST_REQUEST: Duration = Duration::from_millis(500);

/// What all workers have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) workers: usize,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) reports: Reports,
    pub(crate) access_log: bool,
    pub(crate) abort_on_close: bool,
    /// Whether a service manager goes on listening when we end.
    pub(crate) inherited: bool,
}

/// What the clients of one worker share.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) connections: RefCell<Connections>,
    /// Where every read of a head lands. Used between two awaits, never across one.
    pub(super) scratch: RefCell<Box<[u8]>>,
    /// Where a response's head is written before it goes out. Used like `scratch`.
    pub(super) out: RefCell<Vec<u8>>,
    pub(super) drain: Drain,
    pulse: Pulse,
    table: RefCell<Table>,
    buffers: RefCell<Vec<Box<[u8]>>>,
}

/// The published table as this worker last saw it.
#[derive(Debug)]
struct Table {
    published: watch::Receiver<Arc<RouteTable>>,
    current: Arc<RouteTable>,
}

impl Worker {
    /// Accepts and serves on the calling thread until `shutdown`, then drains.
    ///
    /// # Errors
    /// The runtime cannot be made, or the socket not be used.
    pub(crate) fn run(
        shared: Arc<Shared>,
        published: watch::Receiver<Arc<RouteTable>>,
        listener: std::net::TcpListener,
        pulse: Pulse,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())?;
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener)?;
            let worker = Rc::new(Self::new(shared, published, pulse));
            worker.serve(listener, shutdown).await;
            Ok(())
        })
    }

    fn new(
        shared: Arc<Shared>,
        mut published: watch::Receiver<Arc<RouteTable>>,
        pulse: Pulse,
    ) -> Self {
        let current = Arc::clone(&published.borrow_and_update());
        Self {
            connections: RefCell::new(Connections::new(shared.limits.upstream_idle_connections)),
            scratch: RefCell::new(vec![0; BUFFER].into()),
            out: RefCell::default(),
            drain: Drain::default(),
            pulse,
            table: RefCell::new(Table { published, current }),
            buffers: RefCell::default(),
            shared,
        }
    }

    /// The newest table. Costs one atomic load while it is the same. To be used before the next await.
    pub(super) fn table(&self) -> RefMut<'_, Arc<RouteTable>> {
        let mut table = self.table.borrow_mut();
        // A closed channel keeps its last value, which is what we have.
        if table.published.has_changed().unwrap_or(false) {
            let newest = Arc::clone(&table.published.borrow_and_update());
            table.current = newest;
        }
        RefMut::map(table, |table| &mut table.current)
    }

    pub(super) fn take_buffer(&self) -> Box<[u8]> {
        self.buffers
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| vec![0; BUFFER].into())
    }

    pub(super) fn give_buffer(&self, buffer: Box<[u8]>) {
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < KEPT_BUFFERS {
            buffers.push(buffer);
        }
    }

    async fn serve(self: Rc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        let clients = TaskTracker::new();
        let sweeper = tokio::task::spawn_local(Rc::clone(&self).sweep());
        tokio::select! {
            () = self.accept(&listener, &clients) => {}
            () = shutdown.cancelled() => {}
        }
        self.drain.start();
        // Whoever waits in a socket that outlives us is for the balancer that comes next.
        if !self.shared.inherited {
            self.accept_the_last(&listener, &clients);
        }
        drop(listener);
        clients.close();
        let worker = Rc::clone(&self);
        let patience = tokio::task::spawn_local(async move {
            tokio::time::sleep(FIRST_REQUEST).await;
            worker.drain.end_patience();
        });
        let limit = self.shared.limits.drain;
        if tokio::time::timeout(limit, clients.wait()).await.is_err() {
            let left = clients.len();
            tracing::warn!(
                connections = left,
                "closed with requests in flight after {}s",
                limit.as_secs_f32()
            );
        }
        patience.abort();
        sweeper.abort();
    }

    /// Accepts for ever.
    async fn accept(self: &Rc<Self>, listener: &TcpListener, clients: &TaskTracker) {
        let limits = &self.shared.limits;
        let permits = Arc::new(Semaphore::new(
            limits.connections.div_ceil(self.shared.workers),
        ));
        let mut failures = 0_u64;
        loop {
            // The semaphore is never closed, so a permit always comes.
            let permit = Arc::clone(&permits).acquire_owned().await.ok();
            match listener.accept().await {
                Ok((stream, peer)) => {
                    failures = 0;
                    let client = Client::new(Rc::clone(self), stream, peer);
                    clients.spawn_local(async move {
                        client.serve().await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    self.shared.metrics.accept_errors.inc();
                    if failures.is_power_of_two() || failures == 0 {
                        tracing::warn!("cannot accept: {error}");
                    }
                    failures += 1;
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Serves whom the kernel has accepted for us already: closing the socket would reset them.
    fn accept_the_last(self: &Rc<Self>, listener: &TcpListener, clients: &TaskTracker) {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        while let std::task::Poll::Ready(Ok((stream, peer))) = listener.poll_accept(&mut cx) {
            let client = Client::new(Rc::clone(self), stream, peer);
            clients.spawn_local(client.serve());
        }
    }

    /// Looks through the unused connections now and then, and shows by it that the worker lives.
    async fn sweep(self: Rc<Self>) {
        let mut interval = tokio::time::interval(SWEEP_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.pulse.beat();
            let table = Arc::clone(&self.table());
            let members = table.routes().flat_map(|route| route.pool.members());
            let wanted: HashSet<u64> = members.map(|(upstream, _)| upstream.key()).collect();
            let limit = self.shared.limits.upstream_idle;
            self.connections
                .borrow_mut()
                .sweep(Instant::now(), limit, &wanted);
        }
    }
}

/// Sets what every connection of a proxy needs: what is written is complete, so it need not wait for more.
pub(super) fn without_delay(stream: &TcpStream) {
    // It fails only on a connection that is gone already, which the next read tells.
    let _ = stream.set_nodelay(true);
}
