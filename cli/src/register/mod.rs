//! `turno register`: registers what definition files say, once.
//!
//! All files are judged before the first registration is sent.

use std::path::PathBuf;

use clap::Args;

use crate::{args::Global, connect, failure::Failure, output, validate::Read};

const AFTER_HELP: &str = "\
Examples:
  turno register web.hcl
  turno register /etc/consul.d --consul http://127.0.0.1:8500
  turno deregister web.hcl                   take it out again

It registers once, with the agent of --consul. `turno agent` keeps registered.";

/// Registers what definition files say, once
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct RegisterArgs {
    /// Files, or folders with .json and .hcl files
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
}

/// Registers and says what.
pub(crate) async fn run(args: RegisterArgs, global: &Global) -> Result<(), Failure> {
    let client = connect::client(global)?;
    let joined = Read::of(&args.paths).good()?;
    for (id, service) in &joined.services {
        client
            .register_service(service)
            .await
            .map_err(|error| Failure::of(format_args!("instance {id}"), &error))?;
        output::line(&format!("registered instance {id} of {}", service.name))?;
    }
    for (id, check) in &joined.checks {
        client
            .register_check(check)
            .await
            .map_err(|error| Failure::of(format_args!("check {id}"), &error))?;
        output::line(&format!("registered check {id}"))?;
    }
    Ok(())
}
