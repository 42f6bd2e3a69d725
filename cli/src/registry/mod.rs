//! `turno registry`: the embedded registry by itself, for programs that speak Consul's HTTP API.
//!
//! It joins arguments with the registrar's registry and says where that listens.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use registrar::check::Scripts;
use registrar::registry::{Registry, RegistryConfig};
use tracing::warn;

use crate::{connect, failure::Failure, output};

const AFTER_HELP: &str = "\
Examples:
  turno registry
  turno registry --listen 127.0.0.1:8501 --node vm-1 --datacenter dc2
  CONSUL_HTTP_ADDR=127.0.0.1:8501 turno services
  turno registry --dns-listen 127.0.0.1:8600   then: dig @127.0.0.1 -p 8600 web.service.consul SRV

  turno registry --data-dir /var/lib/turno

Without --data-dir everything is in memory and forgotten at its end. With it, a write is answered once it is on disk.
It has no access control: whoever reaches it may change it.";

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
    /// Keep everything in this folder, made if it is not there [default: in memory only]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Answer Consul's DNS names (web.service.consul) here, over UDP and TCP; Consul's port is 8600 [default: no DNS]
    #[arg(long, value_name = "ADDR")]
    dns_listen: Option<SocketAddr>,
    /// Run script checks, whoever registers them: everybody who reaches the registry may then run programs here
    #[arg(long)]
    enable_script_checks: bool,
    /// Run script checks that are defined on this machine, but none that come over the network
    #[arg(long)]
    enable_local_script_checks: bool,
}

/// Serves until a signal stops it.
pub(crate) async fn run(args: RegistryArgs) -> Result<(), Failure> {
    let shutdown = daemon::shutdown::on_signal();
    let scripts = scripts(&args);
    let registry = Registry::bind(RegistryConfig {
        dns_listen: args.dns_listen,
        scripts,
        data_dir: args.data_dir.clone(),
        ..config(args.listen, args.node, args.datacenter)
    })
    .await?;
    let address = registry.local_addr();
    output::line(&format!("registry listening on http://{address}"))?;
    if let Some(address) = registry.dns_addr() {
        output::line(&format!("dns listening on {address}"))?;
    }
    output::line(&match &args.data_dir {
        Some(folder) => format!("every write is kept in {}", folder.display()),
        None => {
            "in memory only: when it ends, everything is forgotten (--data-dir keeps it)".into()
        }
    })?;
    output::line(&format!(
        "try:  curl http://{}/v1/catalog/services",
        connect::reachable(address)
    ))?;
    daemon::systemd::watchdog(Vec::new(), shutdown.clone());
    output::ready()?;
    registry.run(shutdown).await;
    Ok(())
}

/// Which script checks may run, with a loud word when everybody may send some.
fn scripts(args: &RegistryArgs) -> Scripts {
    if args.enable_script_checks {
        if !args.listen.ip().is_loopback() {
            warn!(
                listen = %args.listen,
                "script checks are enabled and the registry is NOT on loopback: everybody who reaches it may run \
                 programs on this machine"
            );
        }
        Scripts::All
    } else if args.enable_local_script_checks {
        Scripts::Local
    } else {
        Scripts::Off
    }
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
