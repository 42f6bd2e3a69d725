//! Keeps checks running: one task for each, never two runs of one check at once.
//!
//! The runner owns the tasks; replacing or removing a check ends its task, dropping the runner ends
//! all. It decides nothing: when to run is the pace's business, what counts the thresholds'.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use consul::types::Status;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::http::{self, Clients, HttpCheck};
use super::pace::Pace;
use super::script::CONCURRENT_SCRIPTS;
use super::thresholds::Thresholds;
use super::{CheckKind, CheckSpec, Outcome, Scripts, h2, script, tcp, tls, udp, zmtp};

/// How many checks run at the same moment, each with one socket; the others wait their turn, and
/// their time limit starts when it comes. Leaves most of the usual 1,024 file descriptors to the
/// registry's clients, while a thousand quick checks still pass in well under a second.
pub const CONCURRENT_RUNS: usize = 256;

/// Where results go.
pub trait Report: Send + Sync + 'static {
    /// Called after each run whose result counts, also when it says the same as the one before.
    /// Called from the check's task: it must not wait for long. A call that is just being made
    /// when the check is removed may still arrive, so an unknown `check_id` is to be ignored.
    fn report(&self, check_id: &str, status: Status, output: String);
}

/// Runs checks until it is dropped. Its methods need a tokio runtime around them.
pub struct Runner {
    shared: Arc<Shared>,
    running: Mutex<HashMap<String, Running>>,
}

struct Shared {
    report: Arc<dyn Report>,
    clients: Clients,
    tls: Arc<tls::Settings>,
    scripts: Scripts,
    permits: Semaphore,
    processes: Semaphore,
}

struct Running {
    spec: CheckSpec,
    _task: AbortOnDropHandle<()>,
}

impl Runner {
    /// A runner without checks, which runs no scripts.
    pub fn new(report: Arc<dyn Report>) -> Self {
        Self::with_scripts(report, Scripts::Off)
    }

    /// A runner without checks that runs the scripts that `scripts` allows. One it does not allow is critical and says
    /// so; whoever accepts definitions is to refuse it before.
    pub fn with_scripts(report: Arc<dyn Report>, scripts: Scripts) -> Self {
        let tls = Arc::<tls::Settings>::default();
        Self {
            shared: Arc::new(Shared {
                report,
                clients: Clients::new(Arc::clone(&tls)),
                tls,
                scripts,
                permits: Semaphore::new(CONCURRENT_RUNS),
                processes: Semaphore::new(CONCURRENT_SCRIPTS),
            }),
            running: Mutex::default(),
        }
    }

    /// Starts a check, or replaces the one of the same id. One that is already running exactly so
    /// is left alone: registering again what is registered disturbs nothing.
    ///
    /// `initial` is the status the check has before its first run; it has no part in what counts.
    pub fn set(&self, spec: CheckSpec, initial: Status) {
        match self.running().entry(spec.id.clone()) {
            Entry::Occupied(running) if running.get().spec == spec => {}
            Entry::Occupied(mut running) => {
                running.insert(self.start(spec, initial));
            }
            Entry::Vacant(free) => {
                free.insert(self.start(spec, initial));
            }
        }
    }

    /// Ends a check; returns whether there was one.
    pub fn remove(&self, id: &str) -> bool {
        self.running().remove(id).is_some()
    }

    /// Ends all checks.
    pub fn stop(&self) {
        self.running().clear();
    }

    /// How many checks there are.
    pub fn len(&self) -> usize {
        self.running().len()
    }

    /// Whether there is no check.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn start(&self, spec: CheckSpec, initial: Status) -> Running {
        let pace = Pace::new(spec.pause(), initial);
        let thresholds = Thresholds::new(
            spec.success_before_passing,
            spec.failures_before_warning,
            spec.failures_before_critical,
        );
        let (shared, check) = (Arc::clone(&self.shared), spec.clone());
        let task = async move {
            let report = |outcome: Outcome| {
                debug!(check = check.id, status = ?outcome.status, "a check ran");
                shared
                    .report
                    .report(&check.id, outcome.status, outcome.output);
            };
            keep_running(pace, thresholds, || shared.run(&check), report).await;
        };
        Running {
            spec,
            _task: AbortOnDropHandle::new(tokio::spawn(task)),
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        // Nothing under this lock leaves the map half changed.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("checks", &self.len())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// One run, within its time limit, which starts when its turn has come.
    async fn run(&self, check: &CheckSpec) -> Outcome {
        let limit = check.limit();
        // Never closed, so waiting cannot fail; and if it did, running is the better answer.
        match &check.kind {
            CheckKind::Script { args, source } => {
                if let Err(refused) = self.scripts.permit(*source) {
                    return Outcome::critical(refused.to_string());
                }
                let _turn = self.processes.acquire().await.ok();
                script::check(args, limit, check.output_limit()).await
            }
            CheckKind::OsService { name } => {
                let _turn = self.processes.acquire().await.ok();
                script::os_service(name, limit).await
            }
            CheckKind::Udp { address } => {
                let _turn = self.permits.acquire().await.ok();
                udp::check(address, limit).await
            }
            kind => {
                let _turn = self.permits.acquire().await.ok();
                match tokio::time::timeout(limit, self.probe(kind, check.output_limit())).await {
                    Ok(outcome) => outcome,
                    Err(_) => Outcome::critical(late(kind, limit)),
                }
            }
        }
    }

    /// One run of a kind that is a future and nothing else: it may be given up at any moment.
    async fn probe(&self, kind: &CheckKind, output_limit: usize) -> Outcome {
        match kind {
            CheckKind::Http {
                url,
                method,
                headers,
                body,
                tls,
                disable_redirects,
            } => {
                let check = HttpCheck {
                    url,
                    method,
                    headers,
                    body,
                    tls,
                    disable_redirects: *disable_redirects,
                    output_limit,
                };
                self.clients.check(check).await
            }
            CheckKind::Tcp { address, tls } => tcp::check(address, tls.as_ref(), &self.tls).await,
            CheckKind::Grpc { target, tls } => h2::grpc(target, tls.as_ref(), &self.tls).await,
            CheckKind::H2Ping { address, tls } => h2::ping(address, tls.as_ref(), &self.tls).await,
            CheckKind::Zmtp { address } => zmtp::check(address).await,
            CheckKind::Udp { .. } | CheckKind::Script { .. } | CheckKind::OsService { .. } => {
                unreachable!("`run` keeps the time of these itself")
            }
        }
    }
}

/// What is said of a run whose time is up.
fn late(kind: &CheckKind, limit: Duration) -> String {
    match kind {
        CheckKind::Http { url, method, .. } => {
            let attempt = http::attempt(method, url);
            format!("{attempt}: timeout: no complete answer within {limit:?}")
        }
        CheckKind::Grpc { target, .. } => {
            format!("gRPC check {target}: no answer within {limit:?}")
        }
        CheckKind::H2Ping { address, .. } => {
            format!("HTTP2 ping to {address} failed: no answer within {limit:?}")
        }
        CheckKind::Zmtp { address } => {
            format!("ZMTP greeting {address}: the peer did not greet within {limit:?}")
        }
        CheckKind::Tcp { address, .. } => format!("dial tcp {address}: i/o timeout"),
        _ => format!("no result within {limit:?}"),
    }
}

/// Run, report what counts, pause; for ever.
async fn keep_running<F: Future<Output = Outcome>>(
    mut pace: Pace,
    mut thresholds: Thresholds,
    run: impl Fn() -> F,
    report: impl Fn(Outcome),
) {
    tokio::time::sleep(pace.first(fastrand::f64())).await;
    loop {
        let outcome = run().await;
        let pause = pace.after(outcome.status, fastrand::f64());
        if let Some(status) = thresholds.observe(outcome.status) {
            report(Outcome { status, ..outcome });
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests;
