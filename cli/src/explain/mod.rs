//! `turno explain`: each instance of a service, in rotation or not, and why.
//!
//! It judges as the balancer does, from what the registry says; the balancer's own view of
//! connections that fail is on its admin pages.

use clap::Args;
use consul::{Query, types::ServiceEntry};
use lb::discovery::{Rotation, rotation};
use serde::Serialize;

use crate::{args::Global, connect, failure::Failure, output};

const AFTER_HELP: &str = "\
Examples:
  turno explain web
  turno explain web --json
  turno explain web --consul http://10.0.0.5:8500";

/// Each instance of a service: in rotation or not, and why
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ExplainArgs {
    /// The name of the service
    service: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, PartialEq, Serialize)]
struct InstanceRow {
    instance: String,
    node: String,
    address: String,
    in_rotation: bool,
    weight: u32,
    why: String,
    checks: Vec<CheckRow>,
}

#[derive(Debug, PartialEq, Serialize)]
struct CheckRow {
    check: String,
    status: String,
    output: String,
}

/// Prints the explanation once. A service that nobody registered is a failure, so scripts notice.
pub(crate) async fn run(args: ExplainArgs, global: &Global) -> Result<(), Failure> {
    let client = connect::client(global)?;
    let entries = client
        .health_service(&args.service, &Query::default())
        .await?
        .value;
    if entries.is_empty() {
        return Err(Failure::failed(format!(
            "no instance of {:?} is registered at {} (`turno services` lists what is)",
            args.service,
            client.address()
        )));
    }
    let rows: Vec<InstanceRow> = entries.iter().map(row).collect();
    if args.json {
        return output::json(&rows);
    }
    let cells: Vec<[String; 5]> = rows.into_iter().map(cells).collect();
    output::print(&output::table(
        ["instance", "address", "rotation", "weight", "why"],
        &cells,
    ))
}

fn row(entry: &ServiceEntry) -> InstanceRow {
    let (in_rotation, weight, why) = match rotation(entry) {
        Rotation::In { weight } => (true, weight, standing(entry)),
        Rotation::Out { reason, .. } => (false, 0, reason),
    };
    let port = entry
        .port()
        .map_or_else(|| "no port".to_owned(), |port| port.to_string());
    let address = entry.address();
    let host = if address.contains(':') {
        format!("[{address}]")
    } else {
        address.to_owned()
    };
    InstanceRow {
        instance: entry.service.id.clone(),
        node: entry.node.node.clone(),
        address: format!("{host}:{port}"),
        in_rotation,
        weight,
        why,
        checks: entry.checks.iter().map(check).collect(),
    }
}

/// Why an instance that gets requests gets them.
fn standing(entry: &ServiceEntry) -> String {
    match entry.checks.len() {
        0 => "it has no check".to_owned(),
        1 => format!("{}: its check", entry.status()),
        n => format!("{}: {n} checks", entry.status()),
    }
}

fn check(check: &consul::types::HealthCheck) -> CheckRow {
    let name = if check.name.is_empty() {
        &check.check_id
    } else {
        &check.name
    };
    CheckRow {
        check: name.clone(),
        status: check.status.to_string(),
        output: check.output.lines().next().unwrap_or_default().to_owned(),
    }
}

fn cells(row: InstanceRow) -> [String; 5] {
    let rotation = if row.in_rotation { "in" } else { "out" };
    [
        row.instance,
        row.address,
        rotation.to_owned(),
        row.weight.to_string(),
        row.why,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(checks: &str) -> ServiceEntry {
        let text = format!(
            r#"{{"Node":{{"Node":"n","Address":"10.0.0.1"}},
                "Service":{{"ID":"web-1","Service":"web","Port":80,"Weights":{{"Passing":3,"Warning":1}}}},
                "Checks":[{checks}]}}"#
        );
        serde_json::from_str(&text).expect("an entry")
    }

    #[test]
    fn each_state_is_told_with_its_reason() {
        let cases = [
            ("", true, 3, "it has no check"),
            (
                r#"{"CheckID":"c","Name":"http","Status":"passing"}"#,
                true,
                3,
                "passing: its check",
            ),
            (
                r#"{"CheckID":"c","Name":"http","Status":"warning"}"#,
                true,
                1,
                "warning: its check",
            ),
            (
                r#"{"CheckID":"c","Name":"http","Status":"critical","Output":"refused\nmore"}"#,
                false,
                0,
                "refused",
            ),
            (
                r#"{"CheckID":"_service_maintenance:web-1","Status":"critical","Notes":"new disk"}"#,
                false,
                0,
                "new disk",
            ),
        ];
        for (checks, in_rotation, weight, why) in cases {
            let row = row(&entry(checks));
            assert_eq!(
                (row.in_rotation, row.weight),
                (in_rotation, weight),
                "{checks}"
            );
            assert!(
                row.why.contains(why) && !row.why.contains("more"),
                "{}",
                row.why
            );
            assert_eq!(row.address, "10.0.0.1:80");
        }
    }

    #[test]
    fn a_missing_port_is_said() {
        let mut entry = entry("");
        entry.service.port = 0;
        assert_eq!(row(&entry).address, "10.0.0.1:no port");
    }
}
