//! `turno deregister`: takes instances out of the agent they are registered with.
//!
//! Somebody who keeps an instance registered will put it back; that is theirs to stop.

use std::path::{Path, PathBuf};

use clap::Args;
use registrar::definition::files::format_of;

use crate::{args::Global, connect, failure::Failure, output, validate::Read};

const AFTER_HELP: &str = "\
Examples:
  turno deregister web-1
  turno deregister -id=web-1
  turno deregister web.hcl                   all that the file defines
  turno services                             what is there";

/// Takes instances out of the agent
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct DeregisterArgs {
    /// Ids of instances, or definition files
    #[arg(value_name = "ID|FILE", required_unless_present = "id")]
    subjects: Vec<String>,
    /// The id of an instance, as Consul's command line has it
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
}

/// Deregisters; an id that is not registered is a failure, after all others are out.
pub(crate) async fn run(args: DeregisterArgs, global: &Global) -> Result<(), Failure> {
    let client = connect::client(global)?;
    let (files, ids): (Vec<_>, Vec<_>) = args
        .subjects
        .into_iter()
        .partition(|text| format_of(Path::new(text)).is_some() && Path::new(text).is_file());
    let files: Vec<PathBuf> = files.into_iter().map(PathBuf::from).collect();
    let defined = Read::of(&files).good()?;
    let services = client.agent_services().await?;
    let mut missing = Vec::new();
    for id in ids
        .into_iter()
        .chain(args.id)
        .chain(defined.services.into_keys())
    {
        if services.contains_key(&id) {
            client.deregister_service(&id).await?;
            output::line(&format!("deregistered instance {id}"))?;
        } else {
            missing.push(id);
        }
    }
    for id in defined.checks.into_keys() {
        client.deregister_check(&id).await?;
        output::line(&format!("deregistered check {id}"))?;
    }
    match missing.as_slice() {
        [] => Ok(()),
        ids => Err(Failure::failed(format!(
            "not registered with the agent at {}: {}",
            client.address(),
            ids.join(", ")
        ))),
    }
}
