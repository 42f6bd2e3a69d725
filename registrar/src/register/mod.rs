//! Keeps one instance registered: registers it, looks whether it still is, takes it out at the end.
//!
//! A registry may restart empty, or somebody may deregister the instance behind our back; so this never
//! "registers once" but compares what the agent says with what should be, again and again. It speaks
//! through the consul client only, and does not know whether Consul or the embedded registry answers.

mod beat;
pub(crate) mod compare;
mod contest;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use consul::types::{AgentService, ServiceRegistration, Status};
use consul::{Client, Error};
use daemon::backoff::Backoff;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use beat::Beats;
use compare::Found;
use contest::Contest;

/// Time between two looks at what the agent has: how long a registry that restarted empty within that
/// time can miss an instance.
pub const VERIFY_INTERVAL: Duration = Duration::from_secs(5);

/// The delay after the first failure; it doubles with each further one.
const RETRY_MIN: Duration = Duration::from_millis(100);

/// The longest delay while the registry is away: one that comes back empty has the instance within a second.
const RETRY_MAX_AWAY: Duration = Duration::from_secs(1);

/// The longest delay while the registry refuses the instance: only a person can end that.
const RETRY_MAX_REFUSED: Duration = Duration::from_secs(30);

/// At the end, what is being asked gets this long to finish, so that a registration on its way cannot
/// arrive after the deregistration.
const FINISH_LIMIT: Duration = Duration::from_secs(1);

/// At the end, deregistering is tried for this long; then the registry's own checks must notice.
const LEAVE_LIMIT: Duration = Duration::from_secs(3);

/// Where the instance stands with the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not yet accepted for the first time.
    Registering,
    /// The agent has it, as it should be, as of the last look.
    Registered,
    /// The last attempt to register or to look failed, for this reason; more follow.
    Retrying(String),
    /// Taken out; the end.
    Deregistered,
}

/// Keeps one instance registered with an agent.
#[derive(Debug)]
pub struct Registrar {
    client: Client,
    service: ServiceRegistration,
    state: watch::Sender<State>,
    /// Whether a registration was ever sent, and so may have arrived.
    sent: bool,
    /// Whether one was ever accepted.
    accepted: bool,
    /// The checks' statuses at the last look, to start from when the registry lost them.
    statuses: BTreeMap<String, Status>,
    beats: Beats,
    verify_at: Instant,
    verify_interval: Duration,
    contest: Contest,
}

impl Registrar {
    /// Prepares to register `service` with the agent of `client`. Nothing is sent before [`Self::run`].
    #[must_use]
    pub fn new(client: Client, service: ServiceRegistration) -> Self {
        let beats = Beats::new(&service);
        Self {
            client,
            service,
            state: watch::Sender::new(State::Registering),
            sent: false,
            accepted: false,
            statuses: BTreeMap::new(),
            beats,
            verify_at: Instant::now(),
            verify_interval: VERIFY_INTERVAL,
            contest: Contest::default(),
        }
    }

    /// Another time between two looks than [`VERIFY_INTERVAL`].
    #[must_use]
    pub fn with_verify_interval(self, verify_interval: Duration) -> Self {
        Self {
            verify_interval,
            ..self
        }
    }

    /// Where the instance stands, to be read or waited on.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Keeps the instance registered until `shutdown`, then deregisters it. Never gives up before; ends
    /// at most four seconds after, even when the registry does not answer.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let overdue = async {
            shutdown.cancelled().await;
            tokio::time::sleep(FINISH_LIMIT).await;
        };
        tokio::select! {
            () = self.keep(&shutdown) => {}
            () = overdue => {}
        }
        self.leave().await;
    }

    /// Registers, looks and refreshes, each when it is due, until `shutdown`.
    async fn keep(&mut self, shutdown: &CancellationToken) {
        let mut away = Backoff::new(RETRY_MIN, RETRY_MAX_AWAY);
        let mut refused = Backoff::new(RETRY_MIN, RETRY_MAX_REFUSED);
        while !shutdown.is_cancelled() {
            let pause_end = match self.do_what_is_due().await {
                Ok(()) => {
                    away.reset();
                    refused.reset();
                    self.say(State::Registered);
                    self.beats
                        .next_due()
                        .map_or(self.verify_at, |beat| beat.min(self.verify_at))
                }
                Err(error) => {
                    let (backoff, other) = if error.is_away() {
                        (&mut away, &mut refused)
                    } else {
                        (&mut refused, &mut away)
                    };
                    other.reset();
                    // Whatever went wrong, the registry may have forgotten us meanwhile.
                    self.verify_at = Instant::now();
                    self.say(State::Retrying(error.to_string()));
                    Instant::now() + backoff.next_delay()
                }
            };
            tokio::select! {
                () = tokio::time::sleep_until(pause_end) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    async fn do_what_is_due(&mut self) -> Result<(), Error> {
        if self.verify_at <= Instant::now() {
            if !self.accepted {
                self.register().await?;
            }
            self.reconcile().await?;
            self.verify_at = Instant::now() + self.contest.pause(self.verify_interval);
        }
        self.beats.refresh(&self.client).await
    }

    /// Compares what the agent has with what it should have, and sets it right.
    async fn reconcile(&mut self) -> Result<(), Error> {
        let services = self.client.agent_services().await?;
        let checks = self.client.agent_checks().await?;
        let id = self.service.effective_id().to_owned();
        let found = compare::found(&self.service, &services, &checks);
        for id in compare::leftovers(&self.service, &checks) {
            self.client.deregister_check(&id).await?;
        }
        for id in self.service.check_ids() {
            if let Some(check) = checks.get(&id) {
                self.statuses.insert(id, check.status);
            }
        }
        self.count_contest(found, services.get(&id));
        match found {
            Found::Same => return Ok(()),
            Found::Lost => tracing::warn!(instance = id, "the registry lost it: registering again"),
            Found::Different(what) => {
                tracing::warn!(
                    instance = id,
                    what,
                    "the registry has it otherwise: registering again"
                );
            }
        }
        self.register().await
    }

    /// Says so, once, when somebody else goes on registering this instance.
    fn count_contest(&mut self, found: Found, row: Option<&AgentService>) {
        let other = row.filter(|_| matches!(found, Found::Different("name" | "address" | "port")));
        let is_news = self.contest.look(other.is_some());
        if let Some(other) = other.filter(|_| is_news) {
            tracing::error!(
                instance = other.id,
                service = other.service,
                address = other.address,
                port = other.port,
                "somebody else registers this instance too, again and again: give one of the two another id"
            );
        }
    }

    /// Registers the instance. Checks the agent still has keep their status by Consul's rule; those it
    /// lost start with the status they last had, so that a passing instance is not out until its first
    /// check has run.
    async fn register(&mut self) -> Result<(), Error> {
        let mut service = self.service.clone();
        for (check, id) in service.checks.iter_mut().zip(self.service.check_ids()) {
            check.status = self.statuses.get(&id).copied().or(check.status);
        }
        self.sent = true;
        self.client.register_service(&service).await?;
        self.accepted = true;
        self.beats.all_due();
        tracing::info!(
            instance = self.service.effective_id(),
            service = self.service.name,
            registry = self.client.address(),
            "registered"
        );
        Ok(())
    }

    /// Deregisters the instance, within [`LEAVE_LIMIT`].
    async fn leave(&mut self) {
        let id = self.service.effective_id();
        if self.sent {
            let result = tokio::time::timeout(LEAVE_LIMIT, self.deregister(id)).await;
            match result.unwrap_or_else(|_| Err(format!("no success within {LEAVE_LIMIT:?}"))) {
                Ok(()) => tracing::info!(instance = id, "deregistered"),
                Err(reason) if self.accepted => {
                    tracing::warn!(instance = id, reason, "not deregistered");
                }
                Err(reason) => {
                    tracing::debug!(instance = id, reason, "neither registered nor deregistered");
                }
            }
        }
        self.say(State::Deregistered);
    }

    /// Tries to deregister until it is done or pointless.
    async fn deregister(&self, id: &str) -> Result<(), String> {
        let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX_AWAY);
        loop {
            match self.client.deregister_service(id).await {
                Ok(()) => return Ok(()),
                // An instance that was never accepted is not worth waiting for.
                Err(error) if !self.accepted || !error.is_away() => return Err(error.to_string()),
                Err(error) => tracing::debug!(instance = id, %error, "cannot deregister yet"),
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Publishes a state; the same one again is no news.
    fn say(&self, state: State) {
        self.state.send_if_modified(|current| {
            let news = *current != state;
            if news {
                if let State::Retrying(reason) = &state {
                    tracing::warn!(
                        instance = self.service.effective_id(),
                        reason,
                        "trying again"
                    );
                }
                *current = state;
            }
            news
        });
    }
}
