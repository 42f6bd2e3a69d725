//! The way without an agent: a node of one's own in the catalog of a Consul far away, with the checks run here.
//!
//! Consul keeps such a node for ever and checks nothing of it. So the node is guarded: a session that lives only as long
//! as it is renewed holds a key, and whoever sees a guarded node without its key takes it out (`reaper`). This process
//! does so for others, as they do for it.

mod checks;
mod ear;
mod guard;
mod life;
mod mirror;
mod plan;
pub mod reaper;
mod results;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use consul::Client;
use consul::types::{CatalogDeregistration, CatalogNode, Status};

use tokio::time::Instant;

use super::refusal::{self, Refused};
use super::{Settled, Trouble, Wanted, mark};
use crate::check::{Runner, Scripts};
use checks::{How, Means};
use ear::Ear;
use guard::Guard;
use results::Results;

/// Consul ends a session after up to twice its TTL, which is at least 10 s: so a node cannot be gone sooner than this.
pub const TTL_MIN: Duration = Duration::from_secs(20);

/// Consul's longest session TTL, twice.
pub const TTL_MAX: Duration = Duration::from_secs(48 * 3_600);

/// Statuses that change at the same time are written together.
const GATHER: Duration = Duration::from_millis(50);

/// The node fact that says how the node is guarded.
pub const GUARD: &str = "turno-guard";

/// Its value.
pub const GUARD_SESSION: &str = "session";

/// A node in the catalog that no agent keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Its name, unlike that of any agent's node.
    pub name: String,
    /// Its address, by which others reach the instances that have none of their own.
    pub address: String,
    /// When this process falls silent, the node is gone after so long at most; from [`TTL_MIN`] to [`TTL_MAX`].
    pub ttl: Duration,
    /// What tells this machine from others: the next life of this process takes over from one of the same machine.
    pub machine: String,
    /// Whether checks may run programs; the definitions are files of this machine.
    pub scripts: Scripts,
    /// Where programs of this machine report their TTL checks: a loopback address. Without one there are no such checks.
    pub reports: Option<SocketAddr>,
}

/// Why a node cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The name is empty or has characters that a key's path cannot have.
    #[error("a node's name consists of letters, digits, '.', '_' and '-': {0:?}")]
    Name(String),
    /// There is no address.
    #[error("a node needs an address that others can connect to, found {0:?}")]
    Address(String),
    /// The TTL is out of bounds.
    #[error(
        "the TTL is from 20s to 48h, because Consul's sessions last up to twice the 10s they last at least; found {0:?}"
    )]
    Ttl(Duration),
    /// Nothing guards the listener for reports.
    #[error(
        "TTL checks are reported by programs of this machine: the address must be a loopback one, found {0}"
    )]
    NotLoopback(SocketAddr),
    /// There is no listening for reports there.
    #[error(transparent)]
    Listen(#[from] daemon::net::ListenError),
}

/// What tells this machine from others, as far as can be found out.
#[must_use]
pub fn machine() -> String {
    let first_line = |path| {
        Some(
            std::fs::read_to_string(path)
                .ok()?
                .lines()
                .next()?
                .trim()
                .to_owned(),
        )
    };
    let known = ["/etc/machine-id", "/proc/sys/kernel/hostname"]
        .into_iter()
        .filter_map(first_line);
    known
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("/")
}

/// A node that is kept in the catalog.
#[derive(Debug)]
pub(super) struct Node {
    client: Client,
    config: NodeConfig,
    agent: String,
    guard: Guard,
    runner: Runner,
    results: Arc<Results>,
    /// Checks that are run.
    running: BTreeSet<String>,
    /// Checks that programs report.
    told: BTreeSet<String>,
    ear: Option<Ear>,
    registered: bool,
}

impl Node {
    pub(super) fn new(
        client: Client,
        config: NodeConfig,
        agent: String,
    ) -> Result<Self, NodeError> {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if config.name.is_empty() || !config.name.chars().all(good) || config.name.starts_with('.')
        {
            return Err(NodeError::Name(config.name));
        }
        if matches!(config.address.as_str(), "" | "0.0.0.0" | "::") {
            return Err(NodeError::Address(config.address));
        }
        if !(TTL_MIN..=TTL_MAX).contains(&config.ttl) {
            return Err(NodeError::Ttl(config.ttl));
        }
        let results = Arc::new(Results::default());
        let ear = config.reports.map(|address| Ear::open(address, &results));
        let ear = ear.transpose()?;
        Ok(Self {
            ear,
            guard: Guard::new(client.clone(), &config, &agent),
            runner: Runner::with_scripts(Arc::clone(&results) as _, config.scripts),
            client,
            config,
            agent,
            results,
            running: BTreeSet::new(),
            told: BTreeSet::new(),
            registered: false,
        })
    }

    /// Where programs report their checks.
    pub(super) fn reports(&self) -> Option<SocketAddr> {
        self.ear.as_ref().and_then(|ear| ear.address)
    }

    /// Waits until a check's status has changed. Cancel-safe: whoever cancels it looks anyway.
    pub(super) async fn news(&self) {
        self.results.changed().await;
        tokio::time::sleep(GATHER).await;
    }

    /// Runs the checks that are wanted, keeps the guard, and writes what the catalog has otherwise.
    pub(super) async fn settle(&mut self, wanted: &Wanted) -> Result<Settled, Trouble> {
        let mut refused = self.run_checks(wanted);
        if let Err(trouble) = self.guard.keep().await {
            if matches!(trouble, Trouble::Taken { .. }) {
                // What stands under the name is another's now.
                self.registered = false;
            }
            return Err(trouble);
        }
        let listed = self.client.catalog_node(&self.config.name).await?;
        let checks = self.client.health_node(&self.config.name).await?;
        self.not_an_agents(listed.as_ref())?;
        let present = plan::Present {
            node: listed.as_ref(),
            checks: &checks,
        };
        let usable = plan::usable(&wanted.joined, &refused);
        self.results.expire(Instant::now());
        let mut results = self.results.snapshot();
        mirror::settle(&usable, &mut results);
        let writes = plan::plan(
            &self.config,
            &self.agent,
            &usable,
            wanted.hold,
            &results,
            present,
        );
        // Whatever becomes of the requests, some may have arrived.
        self.registered = true;
        self.write(&writes, listed.as_ref(), &mut refused).await?;
        Ok(Settled { refused })
    }

    /// Writes. A refusal of one thing keeps nothing else from being written.
    async fn write(
        &self,
        writes: &plan::Writes,
        listed: Option<&CatalogNode>,
        refused: &mut Refused,
    ) -> Result<(), Trouble> {
        for entry in &writes.register {
            let result = self.client.catalog_register(entry).await;
            if !refusal::note(refused, || plan::subject(entry), result)? {
                continue;
            }
            let known = |id| listed.is_some_and(|node| node.services.contains_key(id));
            if let Some(service) = entry.service.as_ref().filter(|it| !known(&it.id)) {
                tracing::info!(
                    instance = service.id,
                    service = service.service,
                    node = entry.node,
                    "registered"
                );
            }
            for check in &entry.checks {
                tracing::debug!(check = check.check_id, status = %check.status, "written");
            }
        }
        for entry in &writes.deregister {
            let result = self.client.catalog_deregister(entry).await;
            if refusal::note(refused, || plan::gone(entry), result)? {
                tracing::info!(
                    instance = entry.service_id,
                    check = entry.check_id,
                    node = entry.node,
                    "deregistered"
                );
            }
        }
        Ok(())
    }

    /// Takes the node out, and then its guard.
    pub(super) async fn leave(&mut self) -> Result<(), Trouble> {
        self.runner.stop();
        if self.registered && self.guard.is_held() {
            let all = CatalogDeregistration {
                node: self.config.name.clone(),
                ..CatalogDeregistration::default()
            };
            self.client.catalog_deregister(&all).await?;
            self.registered = false;
            tracing::info!(node = self.config.name, "deregistered");
        }
        Ok(self.guard.release().await?)
    }

    /// Starts and ends checks so that those run that are wanted. Returns what cannot be checked from here, by id.
    fn run_checks(&mut self, wanted: &Wanted) -> Refused {
        let means = Means {
            node: &self.config.name,
            scripts: self.config.scripts,
            reports: self.ear.is_some(),
        };
        let mut refused = Refused::new();
        let mut all = Vec::new();
        for (id, service) in &wanted.joined.services {
            let own: Result<Vec<_>, String> = service
                .check_ids()
                .into_iter()
                .zip(&service.checks)
                .map(|(id, check)| Ok((id.clone(), means.of(id, check)?, check.status)))
                .collect();
            match own {
                Ok(own) => all.extend(own),
                Err(reason) => {
                    refused.insert(id.clone(), reason);
                }
            }
        }
        for (id, check) in &wanted.joined.checks {
            match means.of_node(id, check) {
                Ok(how) => all.push((id.clone(), how, check.status)),
                Err(reason) => {
                    refused.insert(id.clone(), reason);
                }
            }
        }
        self.start(all);
        refused
    }

    /// Has exactly these checks run or told. Those that were so before go on.
    fn start(&mut self, all: Vec<(String, How, Option<Status>)>) {
        let kept = |wanted: fn(&How) -> bool| -> BTreeSet<String> {
            let kept = all.iter().filter(|(_, how, _)| wanted(how));
            kept.map(|(id, _, _)| id.clone()).collect()
        };
        let running = kept(|how| matches!(how, How::Run(_)));
        let told = kept(|how| matches!(how, How::Told(_)));
        for gone in self.running.difference(&running) {
            self.runner.remove(gone);
            self.results.forget(gone);
        }
        for gone in self.told.difference(&told) {
            self.results.forget(gone);
        }
        for (id, how, initial) in all {
            let initial = initial.unwrap_or(Status::Critical);
            match how {
                How::Run(spec) => {
                    let status = self.results.begin(&id, initial);
                    self.runner.set(spec, status);
                }
                How::Told(period) => self.results.listen(&id, initial, period, Instant::now()),
                How::Mirror => {}
            }
        }
        (self.running, self.told) = (running, told);
    }

    /// A node that an agent keeps, or another kind of writer, is not ours to write to.
    fn not_an_agents(&self, listed: Option<&CatalogNode>) -> Result<(), Trouble> {
        match listed {
            Some(found) if !found.node.meta.contains_key(mark::AGENT) => {
                Err(Trouble::Foreign(self.config.name.clone()))
            }
            _ => Ok(()),
        }
    }
}
