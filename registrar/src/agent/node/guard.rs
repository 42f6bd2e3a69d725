//! The sign of life: a session that holds the node's key for as long as it is renewed.
//!
//! The session ends by itself when this process falls silent, and its key with it; what follows from that is the
//! reaper's business. A key held from this very machine is that of an earlier life, and is taken over.

use std::time::Duration;

use consul::types::{Behavior, KvPut, SessionRequest, format_duration};
use consul::{Client, Error};
use serde::{Deserialize, Serialize};

use super::{NodeConfig, reaper};
use crate::agent::Trouble;

/// A renewal that takes longer than this is given up: the next attempt must come before the session ends.
const RENEW_LIMIT: Duration = Duration::from_secs(3);

/// What stands in the key, for people and for the next life.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    agent: String,
    machine: String,
    address: String,
}

#[derive(Debug)]
pub(super) struct Guard {
    client: Client,
    node: String,
    key: String,
    holder: Holder,
    /// Half of the time within which the node must be gone: Consul ends sessions after up to twice their TTL.
    ttl: Duration,
    session: Option<String>,
}

impl Guard {
    pub(super) fn new(client: Client, config: &NodeConfig, agent: &str) -> Self {
        Self {
            client,
            node: config.name.clone(),
            key: reaper::key(&config.name),
            holder: Holder {
                agent: agent.to_owned(),
                machine: config.machine.clone(),
                address: config.address.clone(),
            },
            ttl: config.ttl / 2,
            session: None,
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.session.is_some()
    }

    /// Renews the session, or makes one, and sees to it that it holds the key.
    pub(super) async fn keep(&mut self) -> Result<(), Trouble> {
        if let Some(session) = &self.session
            && !self.client.renew_session(session, RENEW_LIMIT).await?
        {
            tracing::warn!(
                node = self.node,
                "the session has ended: the node was given up, and comes back now"
            );
            self.session = None;
        }
        let session = match &self.session {
            Some(session) => session.clone(),
            None => self.client.create_session(&self.request()).await?,
        };
        self.session = Some(session.clone());
        let held = self.client.kv_get(&self.key).await?;
        if held.as_ref().is_some_and(|entry| entry.session == session) {
            return Ok(());
        }
        if let Some(entry) = held.filter(|entry| !entry.session.is_empty()) {
            let holder: Option<Holder> = serde_json::from_slice(&entry.value).ok();
            match holder {
                Some(holder)
                    if holder.machine == self.holder.machine
                        && holder.agent == self.holder.agent =>
                {
                    tracing::info!(
                        node = self.node,
                        "taking over from an earlier life of this agent"
                    );
                    self.client.destroy_session(&entry.session).await?;
                }
                _ => return Err(self.taken(holder)),
            }
        }
        let value = serde_json::to_vec(&self.holder).unwrap_or_default();
        let how = KvPut {
            acquire: Some(session),
            ..KvPut::default()
        };
        if self.client.kv_put(&self.key, value, &how).await? {
            Ok(())
        } else {
            Err(self.taken(None))
        }
    }

    /// Ends the session, and with it the key.
    pub(super) async fn release(&mut self) -> Result<(), Error> {
        if let Some(session) = &self.session {
            self.client.destroy_session(session).await?;
            self.session = None;
        }
        Ok(())
    }

    fn request(&self) -> SessionRequest {
        SessionRequest {
            name: format!("turno agent of node {}", self.node),
            ttl: format_duration(self.ttl),
            // The key says who lives; to keep it shut after a death would only delay the return.
            lock_delay: "0s".to_owned(),
            behavior: Behavior::Delete,
            node_checks: [],
        }
    }

    fn taken(&self, holder: Option<Holder>) -> Trouble {
        Trouble::Taken {
            node: self.node.clone(),
            by: holder.map_or_else(
                || "another agent".to_owned(),
                |holder| format!("the agent {:?} at {}", holder.agent, holder.address),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::node::TTL_MIN;
    use crate::check::Scripts;

    /// Consul ends a session after up to twice its TTL; with 20 s asked for, the node must be gone after 20 s.
    #[test]
    fn a_session_lasts_half_of_what_the_node_may() {
        let client = Client::new(consul::Config::new("127.0.0.1:1".to_owned()));
        let config = NodeConfig {
            name: "vm-1".to_owned(),
            address: "127.0.0.1".to_owned(),
            ttl: TTL_MIN,
            machine: "m".to_owned(),
            scripts: Scripts::Off,
            reports: None,
        };
        let guard = Guard::new(client.expect("a client"), &config, "me");
        let asked = guard.request();
        assert_eq!(
            (asked.ttl.as_str(), asked.lock_delay.as_str()),
            ("10s", "0s")
        );
        assert_eq!(asked.behavior, Behavior::Delete);
    }
}
