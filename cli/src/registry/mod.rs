//! `turno registry`: the embedded registry by itself, for programs that speak Consul's HTTP API.
//!
//! It joins arguments with the registrar's registry and says where that listens.

use std::net::SocketAddr;

use clap::Args;
use registrar::registry::{Registry, RegistryConfig};
use tracing::warn;

use crate::{connect, failure::Failure, output};

const AFTER_HELP: &str = "\
Examples:
  turno registry
  turno registry --listen 127.0.0.1:8501 --node vm-1 --datacenter dc2
  CONSUL_HTTP_ADDR=127.0.0.1:8501 turno services

It keeps everything in memory and has no access control: whoever reaches it may change it.";

/// The embedded registry: Consul's HTTP API for one machine
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct RegistryArgs {
    /// Where to listen. Beyond loopback everybody who reaches it may register and deregister
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8500")]
    listen: SocketAddr,
    /// The name of the node that instances are registered on [default: this machine's name]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// The datacenter it says it is
    #[arg(long, value_name = "NAME", default_value = "dc1")]
    datacenter: String,
}

/// Serves until a signal stops it.
pub(crate) async fn run(args: RegistryArgs) -> Result<(), Failure> {
    let shutdown = daemon::shutdown::on_signal();
    let registry = Registry::bind(config(args.listen, args.node, args.datacenter)).await?;
    let address = registry.local_addr();
    output::line(&format!("registry listening on http://{address}"))?;
    output::line(&format!(
        "try:  curl http://{}/v1/catalog/services",
        connect::reachable(address)
    ))?;
    output::line("turno: ready")?;
    registry.run(shutdown).await;
    Ok(())
}

/// The registry's configuration, with a loud word when it is open to strangers.
pub(crate) fn config(
    listen: SocketAddr,
    node: Option<String>,
    datacenter: String,
) -> RegistryConfig {
    if !listen.ip().is_loopback() {
        warn!(
            %listen,
            "the registry is NOT on loopback and has NO access control: everybody who reaches it may \
             register, deregister, and have this machine send checks to any address"
        );
    }
    let default = RegistryConfig::default();
    RegistryConfig {
        listen,
        node: node.unwrap_or(default.node.clone()),
        datacenter,
        ..default
    }
}
