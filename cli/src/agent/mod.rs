//! `turno agent`: keeps registered what definition files say.
//!
//! It joins arguments and signals with the registrar's agent, and prints when all is registered for the first time.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use consul::Client;
use registrar::agent::{Agent, AgentConfig, AgentError, NodeConfig, NodeError, Overview, node};
use registrar::registry::{Registry, RegistryConfig};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    args::{Global, duration},
    connect,
    failure::Failure,
    output,
    registry::Switches,
    validate::counted,
};

const AFTER_HELP: &str = "\
Examples:
  turno agent --config-dir /etc/consul.d
  turno agent --config-file web.hcl --config-file db.json --consul http://127.0.0.1:8500
  turno agent --config-dir services --node vm-7 --node-address 10.0.0.7 --consul http://consul:8500
  turno agent --config-dir services --node vm-7 --node-address 10.0.0.7 \\
      --report-listen 127.0.0.1:8500
  turno agent --config-dir services --registry-listen 127.0.0.1:8500
  turno agent --reap --consul http://consul:8500
  turno validate /etc/consul.d               say what is wrong with files, and change nothing

Files are Consul's service and check definitions, .json or .hcl. What is added, changed or removed
takes effect at once; a file with a mistake is named, and what it said before stays. SIGHUP reads
all again.

With --node no agent is needed: the checks run here, and the results go to the catalog of a Consul
far away. When this host dies, another `turno agent --node` or `turno agent --reap` takes its
instances out within the --ttl; Consul by itself would keep them for ever. See docs/agent.md.";

/// Keeps registered what definition files say
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct AgentArgs {
    /// A folder whose .json and .hcl files are read; repeatable
    #[arg(long, value_name = "DIR")]
    config_dir: Vec<PathBuf>,
    /// A file to read; repeatable
    #[arg(long, value_name = "FILE")]
    config_file: Vec<PathBuf>,
    /// By which this agent knows what it registered, also after a restart [default: the first DIR or FILE]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Leave everything registered at the end, for the next start to take over
    #[arg(long, conflicts_with = "node")]
    keep: bool,
    /// Without any Consul: be the registry too, and listen here
    #[arg(long, value_name = "IP:PORT", conflicts_with_all = ["node", "keep", "consul"])]
    registry_listen: Option<SocketAddr>,
    /// Without a Consul agent: run the checks here and write to the catalog as this node
    #[arg(long, value_name = "NAME", requires = "node_address")]
    node: Option<String>,
    /// The node's address, for instances that have none of their own
    #[arg(long, value_name = "IP", requires = "node")]
    node_address: Option<IpAddr>,
    /// When this host falls silent, its node is gone after so long at most
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration, requires = "node")]
    ttl: Duration,
    /// Where programs of this machine report their ttl checks, as to an agent: PUT /v1/agent/check/pass/ID and so on
    #[arg(long, value_name = "IP:PORT", requires = "node")]
    report_listen: Option<SocketAddr>,
    /// Take nodes out of the catalog whose `turno agent --node` has fallen silent
    #[arg(long)]
    reap: bool,
    #[command(flatten)]
    switches: Switches,
}

/// Keeps everything registered until a signal stops it.
pub(crate) async fn run(args: AgentArgs, global: &Global) -> Result<(), Failure> {
    if args.config_dir.is_empty() && args.config_file.is_empty() && !args.reap {
        return Err(Failure::usage(
            "nothing to register: give --config-dir DIR or --config-file FILE (or --reap)",
        ));
    }
    let registry = match args.registry_listen {
        Some(listen) => Some(Embedded::start(args.switches.config(listen)?).await?),
        None => match args.switches.given(args.node.is_some()) {
            Some(switch) => {
                return Err(Failure::usage(format!(
                    "{switch} is about the embedded registry: give --registry-listen ADDR too"
                )));
            }
            None => None,
        },
    };
    let client = match &registry {
        Some(embedded) => embedded.client.clone(),
        None => connect::client(global)?,
    };
    let shutdown = daemon::shutdown::on_signal();
    let mut hangup = signal(SignalKind::hangup())?;
    let agent = Agent::open(client.clone(), config(args)?).map_err(|error| match error {
        AgentError::Watch { .. } | AgentError::Node(NodeError::Listen(_)) => error.into(),
        error => Failure::usage(error.to_string()),
    })?;
    let overview = agent.overview();
    let (reload, reloads) = mpsc::channel(1);
    let forward = async move {
        while hangup.recv().await.is_some() {
            // Full means that a reload is due anyway.
            let _ = reload.try_send(());
        }
    };
    output::line(&format!("agent for {}", client.address()))?;
    if let Some(address) = agent.reports() {
        output::line(&format!("ttl checks are reported at http://{address}"))?;
    }
    daemon::systemd::watchdog(Vec::new(), shutdown.clone());
    let stopped = shutdown.clone();
    let ended = tokio::select! {
        () = agent.run(shutdown, reloads) => Ok(()),
        () = forward => Ok(()),
        failed = announce(overview, stopped) => failed,
    };
    // The agent has taken its instances out of it by now.
    if let Some(embedded) = registry {
        embedded.stop().await;
    }
    ended
}

/// The registry in this process, for a machine without Consul.
struct Embedded {
    client: Client,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Embedded {
    async fn start(config: RegistryConfig) -> Result<Self, Failure> {
        let registry = Registry::bind(config).await?;
        let client = connect::embedded(&registry)?;
        crate::registry::announce(&registry)?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(registry.run(stop.clone()));
        Ok(Self { client, stop, task })
    }

    async fn stop(self) {
        self.stop.cancel();
        // A panic in it has been reported where it happened.
        let _ = self.task.await;
    }
}

fn config(args: AgentArgs) -> Result<AgentConfig, Failure> {
    let first = args.config_dir.first().or(args.config_file.first());
    let name = match (args.name, first) {
        (Some(name), _) => name,
        // The same in every life, whatever the working directory is.
        (None, Some(path)) => fs::canonicalize(path)
            .map_err(|error| Failure::of(format_args!("cannot read {}", path.display()), &error))?
            .display()
            .to_string(),
        (None, None) => "turno".to_owned(),
    };
    let scripts = args.switches.scripts();
    let node = args.node.zip(args.node_address);
    Ok(AgentConfig {
        files: args.config_file,
        folders: args.config_dir,
        name,
        keep: args.keep,
        node: node.map(|(name, address)| NodeConfig {
            name,
            address: address.to_string(),
            ttl: args.ttl,
            machine: node::machine(),
            scripts,
            reports: args.report_listen,
        }),
        reap: args.reap,
    })
}

/// Says once what is registered. Ends only when that cannot be said.
async fn announce(
    mut overview: watch::Receiver<Overview>,
    stopped: CancellationToken,
) -> Result<(), Failure> {
    let looked = |overview: &Overview| overview.settled || !overview.refused.is_empty();
    let now = overview.wait_for(looked).await.map(|now| now.clone());
    if let (Ok(now), false) = (now, stopped.is_cancelled()) {
        let mut parts = vec![
            counted(now.instances, "instance", "instances"),
            counted(now.checks, "check of its own", "checks of their own"),
        ];
        if !now.refused.is_empty() {
            parts.push(format!(
                "{} of them refused (see the log)",
                now.refused.len()
            ));
        }
        if !now.problems.is_empty() {
            let problems = counted(now.problems.len(), "mistake", "mistakes");
            parts.push(format!("{problems} in files (see the log)"));
        }
        output::line(&parts.join(", "))?;
        output::ready()?;
    }
    std::future::pending().await
}
