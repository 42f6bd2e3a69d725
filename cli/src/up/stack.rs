//! The parts that `turno up` stands on: tasks that end when told, and the registry.
//!
//! Each is started here and ended by `up`, which knows the order.

use std::{future::Future, net::SocketAddr};

use consul::Client;
use registrar::registry::Registry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{args::Global, connect, failure::Failure, registry::Switches};

/// Where the embedded registry listens unless told otherwise: where Consul would.
const REGISTRY_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8500);

/// A task with the token that ends it.
#[derive(Debug)]
pub(super) struct Part {
    stop: CancellationToken,
    /// Cancelled when the task has ended, however it ended.
    ended: CancellationToken,
    task: JoinHandle<()>,
}

impl Part {
    /// Starts what `part` makes of the token.
    pub(super) fn spawn<F>(part: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let (part, guard) = (part(stop.clone()), ended.clone().drop_guard());
        let task = tokio::spawn(async move {
            let _guard = guard;
            part.await;
        });
        Self { stop, ended, task }
    }

    /// Tells it to end, and waits until it has.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            error!(%error, "a part of turno up failed");
        }
    }
}

/// The registry: the one that `--consul` names, which must answer now, or an embedded one.
pub(super) async fn registry(
    listen: Option<SocketAddr>,
    switches: &Switches,
    global: &Global,
) -> Result<(Option<Part>, Client), Failure> {
    if global.consul.is_some() {
        if let Some(switch) = switches.given(false) {
            return Err(Failure::usage(format!(
                "{switch} is about the embedded registry, and --consul names another"
            )));
        }
        let client = connect::client(global)?;
        client.status_leader().await?;
        return Ok((None, client));
    }
    let config = switches.config(listen.unwrap_or(REGISTRY_LISTEN))?;
    let registry = Registry::bind(config).await?;
    let client = connect::embedded(&registry)?;
    Ok((Some(Part::spawn(|stop| registry.run(stop))), client))
}

/// Waits for the end of the embedded registry, which nobody asked for; for ever where there is none.
pub(super) async fn gone(registry: Option<&Part>) -> Failure {
    match registry {
        Some(registry) => registry.ended.cancelled().await,
        None => std::future::pending().await,
    }
    Failure::failed("the embedded registry has ended by itself (the log may say why)")
}
