//! The sign of life: a session that holds the node's key for as long as it is renewed.
//!
//! The session ends by itself when this process falls silent, and its key with it; what follows from that is the
//! reaper's business. A key held from this very machine is that of an earlier life, and is taken over, unless that life goes
//! on.

use std::fmt;
use std::time::Duration;

use consul::types::{Behavior, KvPut, SessionRequest, format_duration};
use consul::{Client, Error};
use serde::{Deserialize, Serialize};

use super::life::Life;
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
    /// Unknown where the kernel does not tell, and in keys of turno before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<Life>,
}

/// Whose key it is, as seen by somebody who wants it.
#[derive(Debug, PartialEq, Eq)]
enum Owner {
    /// Ours, by a session that has ended or that we have lost sight of.
    Ours,
    /// That of a life before this one, which is over.
    Earlier,
    /// Somebody's who lives, as far as anybody can tell.
    Another,
}

impl Holder {
    /// Whose key it is if `them` is in it. `held` says that we have had it: whoever took it since then lives. `goes_on` tells
    /// whether a process is still there, where that can be seen.
    fn owner(&self, them: &Holder, held: bool, goes_on: impl Fn(&Life) -> Option<bool>) -> Owner {
        if them.machine != self.machine || them.agent != self.agent {
            return Owner::Another;
        }
        if them.process.is_some() && them.process == self.process {
            return Owner::Ours;
        }
        match them.process.as_ref().and_then(goes_on) {
            Some(true) => Owner::Another,
            Some(false) => Owner::Earlier,
            None if held => Owner::Another,
            None => Owner::Earlier,
        }
    }
}

/// For whoever has to find it, and to stop one of the two.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the agent {:?} at {}", self.agent, self.address)?;
        match &self.process {
            Some(process) => write!(f, " (process {})", process.pid),
            None => Ok(()),
        }
    }
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
    /// Whether the key was ever ours.
    held: bool,
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
                process: Life::ours(),
            },
            ttl: config.ttl / 2,
            session: None,
            held: false,
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
            let owner = holder.as_ref().map_or(Owner::Another, |holder| {
                self.holder.owner(holder, self.held, Life::goes_on)
            });
            match owner {
                Owner::Another => return Err(self.taken(holder)),
                Owner::Earlier => tracing::info!(
                    node = self.node,
                    "taking over from an earlier life of this agent"
                ),
                Owner::Ours => tracing::debug!(node = self.node, "the key is of our last session"),
            }
            self.client.destroy_session(&entry.session).await?;
        }
        let value = serde_json::to_vec(&self.holder).unwrap_or_default();
        let how = KvPut {
            acquire: Some(session),
            ..KvPut::default()
        };
        if self.client.kv_put(&self.key, value, &how).await? {
            self.held = true;
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
            by: holder.map_or_else(|| "another agent".to_owned(), |holder| holder.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::node::TTL_MIN;
    use crate::check::Scripts;

    #[test]
    fn whose_key_it_is() {
        let life = |pid| {
            let text = format!(r#"{{"place":"here","pid":{pid},"started":1}}"#);
            serde_json::from_str::<Life>(&text).expect("a life")
        };
        let holder = |agent: &str, machine: &str, pid: Option<u32>| Holder {
            agent: agent.to_owned(),
            machine: machine.to_owned(),
            address: "10.0.0.7".to_owned(),
            process: pid.map(life),
        };
        // 2 goes on, 3 is over, of 4 nobody here can tell.
        let goes_on = |life: &Life| match life.pid {
            2 => Some(true),
            3 => Some(false),
            _ => None,
        };
        let us = holder("a", "m", Some(1));
        for (them, at_the_start, later) in [
            (holder("a", "m", Some(1)), Owner::Ours, Owner::Ours),
            (holder("a", "m", Some(2)), Owner::Another, Owner::Another),
            (holder("a", "m", Some(3)), Owner::Earlier, Owner::Earlier),
            (holder("a", "m", Some(4)), Owner::Earlier, Owner::Another),
            (holder("a", "m", None), Owner::Earlier, Owner::Another),
            (holder("a", "n", Some(3)), Owner::Another, Owner::Another),
            (holder("b", "m", Some(3)), Owner::Another, Owner::Another),
        ] {
            assert_eq!(us.owner(&them, false, goes_on), at_the_start, "{them:?}");
            assert_eq!(us.owner(&them, true, goes_on), later, "{them:?}");
        }
    }

    #[test]
    fn a_key_of_an_older_turno_is_understood() {
        let old = r#"{"agent":"a","machine":"m","address":"h"}"#;
        let holder: Holder = serde_json::from_str(old).expect("it is");
        assert_eq!((holder.agent.as_str(), holder.process), ("a", None));
    }

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
