//! A ZeroMQ socket's presence in the registry, with a check that greets as a ZeroMQ peer would.
//!
//! Consul knows no such check. So it is a TTL check there, and we run the greeting ourselves and report: whoever hangs or dies
//! is critical all the same, with Consul and with the embedded registry alike.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use consul::{
    Client,
    types::{CheckDefinition, ServiceRegistration, Status},
};
use registrar::check::{CheckKind, CheckSpec, Report, Runner};
use tokio::runtime::Handle;
use tracing::debug;

use crate::{args::Global, connect, failure::Failure, presence::Presence};

/// How often we greet.
const INTERVAL: Duration = Duration::from_secs(2);
/// A greeting takes a round trip.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Without a report for so long the registry takes us for dead: a few reports may be lost.
const TTL: Duration = Duration::from_secs(10);

/// One that was killed hard should not be remembered for ever. Consul takes nothing shorter.
const FORGET_AFTER: &str = "1m";

/// Registered, and checked.
pub(crate) struct MqPresence {
    presence: Presence,
    checks: Runner,
}

impl MqPresence {
    /// Registers the socket that listens on `bound`, under `name`, as reachable at `advertised`, or where it listens;
    /// if that is all addresses, by the one that leads to the registry, which is waited for.
    /// `None` if it listens where no other machine or process can be told to connect to (`ipc://`).
    pub(crate) async fn start(
        name: &str,
        bound: &str,
        advertised: Option<SocketAddr>,
        (meta, tags): (&[(&str, String)], &[&str]),
        global: &Global,
    ) -> Result<Option<Self>, Failure> {
        let Some(listens) = socket_address(bound) else {
            return Ok(None);
        };
        let reachable = connect::reachable(listens);
        let client = connect::client(global)?;
        let address = match advertised {
            Some(address) => address,
            None => connect::advertised(listens, &client).await,
        };
        let id = if listens.ip().is_unspecified() && !address.ip().is_loopback() {
            connect::far_id(name, address)
        } else {
            format!("{name}-{}", address.port())
        };
        let check_id = format!("zmtp:{id}");
        let check = CheckDefinition {
            check_id: Some(check_id.clone()),
            name: Some("ZMTP greeting".to_owned()),
            // It listens already, so it need not wait for the first report.
            status: Some(Status::Passing),
            deregister_critical_service_after: Some(FORGET_AFTER.to_owned()),
            ..CheckDefinition::ttl(TTL)
        };
        let service = ServiceRegistration {
            id,
            meta: meta
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            checks: vec![check],
            ..ServiceRegistration::new(name, address.ip().to_string(), address.port())
        };
        let checks = Runner::new(Arc::new(Reporter {
            client: client.clone(),
            runtime: Handle::current(),
        }));
        let spec = CheckSpec {
            id: check_id,
            kind: CheckKind::Zmtp {
                address: reachable.to_string(),
            },
            interval: INTERVAL,
            timeout: TIMEOUT,
            success_before_passing: 0,
            failures_before_warning: 0,
            failures_before_critical: 2,
            output_max: 0,
        };
        checks.set(spec, Status::Passing);
        let presence = Presence::start(client, service);
        Ok(Some(Self { presence, checks }))
    }

    /// Deregisters.
    pub(crate) async fn leave(self) {
        self.checks.stop();
        self.presence.leave().await;
    }
}

/// The address of a TCP socket that listens, out of its ZeroMQ address.
fn socket_address(bound: &str) -> Option<SocketAddr> {
    bound.strip_prefix("tcp://")?.to_socket_addrs().ok()?.next()
}

struct Reporter {
    client: Client,
    runtime: Handle,
}

impl Report for Reporter {
    fn report(&self, check_id: &str, status: Status, output: String) {
        let (client, check_id) = (self.client.clone(), check_id.to_owned());
        self.runtime.spawn(async move {
            if let Err(error) = client.update_check(&check_id, status, &output).await {
                // The registrar says more loudly when the registry is away; the next report is due soon.
                debug!(%error, check = %check_id, "the registry did not take the check's result");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tcp_is_registered() {
        assert_eq!(
            socket_address("tcp://127.0.0.1:9998"),
            "127.0.0.1:9998".parse().ok()
        );
        assert_eq!(
            socket_address("tcp://[::1]:9998"),
            "[::1]:9998".parse().ok()
        );
        assert_eq!(socket_address("ipc:///run/mq"), None);
    }
}
