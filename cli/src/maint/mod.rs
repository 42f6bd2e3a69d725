//! `turno maint`: puts an instance, or the agent's whole node, into maintenance and out of it.
//!
//! Options are written as Consul's command line has them, with one dash or with two.

use clap::Args;
use consul::{Client, Error};

use crate::{args::Global, connect, failure::Failure, output};

const AFTER_HELP: &str = "\
Examples:
  turno maint                                        what is in maintenance
  turno maint -enable -service web-1 -reason 'new disk'
  turno maint -disable -service web-1
  turno maint --enable --reason 'kernel'             the whole node

In maintenance an instance is out of rotation; requests in flight are finished.";

/// Puts an instance or the node into maintenance
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct MaintArgs {
    /// Into maintenance
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Out of maintenance
    #[arg(long)]
    disable: bool,
    /// The id of an instance; without it, the whole node
    #[arg(long, value_name = "ID")]
    service: Option<String>,
    /// Why, for others to read
    #[arg(long, value_name = "TEXT", requires = "enable")]
    reason: Option<String>,
}

/// The checks by which an agent shows maintenance.
const NODE: &str = "_node_maintenance";
const SERVICE: &str = "_service_maintenance:";

/// Changes or shows maintenance.
pub(crate) async fn run(args: MaintArgs, global: &Global) -> Result<(), Failure> {
    let client = connect::client(global)?;
    if !args.enable && !args.disable {
        if args.service.is_some() {
            return Err(Failure::usage("say -enable or -disable"));
        }
        return show(&client).await;
    }
    let reason = args.enable.then(|| args.reason.unwrap_or_default());
    let verb = if args.enable { "enabled" } else { "disabled" };
    match &args.service {
        Some(id) => {
            client
                .service_maintenance(id, reason.as_deref())
                .await
                .map_err(|error| unknown(id, error))?;
            output::line(&format!("maintenance {verb} for instance {id}"))
        }
        None => {
            client.node_maintenance(reason.as_deref()).await?;
            output::line(&format!("maintenance {verb} for the node"))
        }
    }
}

fn unknown(id: &str, error: Error) -> Failure {
    if error.is_not_found() {
        Failure::failed(format!(
            "no instance {id:?} is registered with this agent; see turno services"
        ))
    } else {
        error.into()
    }
}

async fn show(client: &Client) -> Result<(), Failure> {
    let checks = client.agent_checks().await?;
    let mut rows: Vec<[String; 2]> = Vec::new();
    for (id, check) in checks {
        if id == NODE {
            rows.push([format!("node {}", check.node), check.notes]);
        } else if let Some(instance) = id.strip_prefix(SERVICE) {
            rows.push([format!("instance {instance}"), check.notes]);
        }
    }
    if rows.is_empty() {
        return output::line("nothing is in maintenance");
    }
    output::print(&output::table(["in maintenance", "reason"], &rows))
}
