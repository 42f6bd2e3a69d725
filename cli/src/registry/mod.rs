//! `turno registry`: the embedded registry by itself, for programs that speak Consul's HTTP API.
//!
//! It joins arguments with the registrar's registry and says where that listens.

mod join;
mod switches;

use std::net::SocketAddr;

use clap::{Args, Subcommand};
use registrar::registry::{Registry, RegistryConfig};

pub(crate) use self::switches::Switches;
use crate::{args::Global, connect, failure::Failure, output};

const AFTER_HELP: &str = "\
Examples:
  turno registry
  turno registry --listen 127.0.0.1:8501 --node vm-1 --datacenter dc2
  CONSUL_HTTP_ADDR=127.0.0.1:8501 turno services
  turno registry --dns-listen 127.0.0.1:8600
  dig @127.0.0.1 -p 8600 web.service.consul SRV
  turno registry --data-dir /var/lib/turno
  turno registry join http://consul:8500     moves a running registry to a real Consul
  turno registry --join http://consul:8500   the same at its start; once it has moved, it passes on
  turno registry --listen 0.0.0.0:8500 --acl-token-file /etc/turno/token
  CONSUL_HTTP_TOKEN=$(cat /etc/turno/token) turno register web.hcl

  turno registry --listen 0.0.0.0:8501 --tls-cert cert.pem --tls-key key.pem \\
      --acl-token-file /etc/turno/token
  CONSUL_HTTP_ADDR=https://registry:8501 CONSUL_CACERT=ca.pem turno services

Without --data-dir everything is in memory and forgotten at its end. With it, a write is answered
once it is on disk. Without a token everybody who reaches it may change everything, so it then
listens on loopback only, unless --open-to-network says that the network is to be trusted. SIGHUP
reads token files and certificates again. See docs/registry.md.";

/// The embedded registry: Consul's HTTP API for one machine
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct RegistryArgs {
    /// Where to listen; beyond loopback only with a token (or --open-to-network)
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8500")]
    listen: SocketAddr,
    /// The name of the node that instances are registered on [default: this machine's name]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// The datacenter it says it is
    #[arg(long, value_name = "NAME", default_value = "dc1")]
    datacenter: String,
    #[command(flatten)]
    switches: Switches,
    /// Move to this Consul: copy everything there, and then pass every request on. --token is for the copying
    #[arg(long, value_name = "URL")]
    join: Option<String>,
    #[command(subcommand)]
    action: Option<Action>,
}

/// What can be asked of a registry that runs already.
#[derive(Debug, Subcommand)]
enum Action {
    Join(join::JoinArgs),
}

/// Serves until a signal stops it.
pub(crate) async fn run(args: RegistryArgs, global: &Global) -> Result<(), Failure> {
    if let Some(Action::Join(args)) = args.action {
        return join::run(args, global).await;
    }
    let shutdown = daemon::shutdown::on_signal();
    let mut config = RegistryConfig {
        datacenter: args.datacenter,
        join: args.join.clone(),
        upstream: connect::config(global),
        ..args.switches.config(args.listen)?
    };
    if let Some(node) = args.node {
        config.node = node;
    }
    let registry = Registry::bind(config).await?;
    announce(&registry)?;
    output::line(&match &args.switches.data_dir {
        _ if registry.forwards_to().is_some() => {
            let target = registry.forwards_to().unwrap_or_default();
            format!("everything is passed on to {target}")
        }
        Some(folder) => format!("every write is kept in {}", folder.display()),
        None => {
            "in memory only: when it ends, everything is forgotten (--data-dir keeps it)".into()
        }
    })?;
    if let (Some(target), None) = (&args.join, registry.forwards_to()) {
        output::line(&format!(
            "moving to {target}; until then it answers by itself"
        ))?;
    }
    output::line(&format!(
        "try:  curl {}/v1/catalog/services",
        connect::url(&registry)
    ))?;
    daemon::systemd::watchdog(Vec::new(), shutdown.clone());
    output::ready()?;
    registry.run(shutdown).await;
    Ok(())
}

/// Says where it listens.
pub(crate) fn announce(registry: &Registry) -> Result<(), Failure> {
    let scheme = if registry.is_tls() { "https" } else { "http" };
    let address = registry.local_addr();
    output::line(&format!("registry listening on {scheme}://{address}"))?;
    if let Some(address) = registry.dns_addr() {
        output::line(&format!("dns listening on {address}"))?;
    }
    Ok(())
}
