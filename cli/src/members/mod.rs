//! `turno members`: the members of the cluster, as the agent sees them.
//!
//! The embedded registry is a cluster of one.

use clap::Args;
use consul::types::AgentMember;

use crate::{args::Global, connect, failure::Failure, output};

const AFTER_HELP: &str = "\
Examples:
  turno members
  turno members --consul http://10.0.0.5:8500
  turno members --json | jq -r '.[].Name'";

/// The members of the cluster
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct MembersArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Prints the list once, by name.
pub(crate) async fn run(args: MembersArgs, global: &Global) -> Result<(), Failure> {
    let mut members = connect::client(global)?.agent_members().await?;
    members.sort_by(|one, other| one.name.cmp(&other.name));
    if args.json {
        return output::json(&members);
    }
    let rows: Vec<[String; 6]> = members.iter().map(row).collect();
    output::print(&output::table(
        ["node", "address", "status", "type", "build", "dc"],
        &rows,
    ))
}

fn row(member: &AgentMember) -> [String; 6] {
    let tag = |name: &str| member.tags.get(name).cloned().unwrap_or_default();
    let kind = match tag("role").as_str() {
        "consul" => "server".to_owned(),
        "node" => "client".to_owned(),
        other => other.to_owned(),
    };
    // A build is `1.8.7:48f1c2`, version and commit.
    let build = tag("build")
        .split(':')
        .next()
        .unwrap_or_default()
        .to_owned();
    [
        member.name.clone(),
        format!("{}:{}", member.addr, member.port),
        status(member.status).to_owned(),
        kind,
        build,
        tag("dc"),
    ]
}

/// The gossip library's numbers.
fn status(number: i64) -> &'static str {
    match number {
        1 => "alive",
        2 => "leaving",
        3 => "left",
        4 => "failed",
        _ => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_as_it_says_of_itself() {
        let tags = [("role", "consul"), ("build", "1.8.7:48f1c2"), ("dc", "dc1")];
        let member = AgentMember {
            name: "vm-1".to_owned(),
            addr: "10.0.0.1".to_owned(),
            port: 8301,
            tags: tags
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            status: 1,
        };
        assert_eq!(
            row(&member),
            ["vm-1", "10.0.0.1:8301", "alive", "server", "1.8.7", "dc1"]
        );
        assert_eq!(status(9), "none");
    }
}
