//! `turno services`: every service of the registry, and how much of it is in rotation.
//!
//! It asks any registry that speaks Consul's API and judges instances as the balancer does.

use clap::Args;
use consul::{Client, Query};
use lb::discovery::{Rotation, rotation};
use serde::Serialize;

use crate::{args::Global, connect, failure::Failure, output};

const AFTER_HELP: &str = "\
Examples:
  turno services
  turno services --consul http://10.0.0.5:8500
  turno services --json | jq '.[] | select(.in_rotation < .instances)'";

/// Every service of the registry, and how much of it is in rotation
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ServicesArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct ServiceRow {
    service: String,
    in_rotation: usize,
    instances: usize,
    tags: Vec<String>,
}

/// Prints the list once.
pub(crate) async fn run(args: ServicesArgs, global: &Global) -> Result<(), Failure> {
    let rows = rows(&connect::client(global)?).await?;
    if args.json {
        return output::json(&rows);
    }
    if rows.is_empty() {
        return output::line("no service is registered");
    }
    let cells: Vec<[String; 3]> = rows
        .into_iter()
        .map(|row| {
            let share = format!("{}/{}", row.in_rotation, row.instances);
            [row.service, share, row.tags.join(", ")]
        })
        .collect();
    output::print(&output::table(["service", "in rotation", "tags"], &cells))
}

async fn rows(client: &Client) -> Result<Vec<ServiceRow>, Failure> {
    let services = client.catalog_services(&Query::default()).await?.value;
    let mut rows = Vec::with_capacity(services.len());
    for (service, mut tags) in services {
        // Consul lists them in another order each time.
        tags.sort_unstable();
        let entries = client
            .health_service(&service, &Query::default())
            .await?
            .value;
        let in_rotation = entries
            .iter()
            .filter(|entry| matches!(rotation(entry), Rotation::In { .. }))
            .count();
        rows.push(ServiceRow {
            service,
            in_rotation,
            instances: entries.len(),
            tags,
        });
    }
    Ok(rows)
}
