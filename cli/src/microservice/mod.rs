//! `turno microservice`: the sample services, each a subcommand.
//!
//! It gives them an address and, when asked, a presence in the registry; what they answer is the
//! microservice crate's business.

mod hello;

use clap::{Args, Subcommand};

use crate::{args::Global, failure::Failure};

const AFTER_HELP: &str = "\
Examples:
  turno microservice hello
  turno microservice hello --listen 127.0.0.1:9000 --register
  PORT=9000 turno microservice hello --message 'Guten Tag'";

/// A sample service
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct MicroserviceArgs {
    #[command(subcommand)]
    service: Service,
}

#[derive(Debug, Subcommand)]
enum Service {
    Hello(hello::HelloArgs),
}

/// Runs the service named until a signal stops it.
pub(crate) async fn run(args: MicroserviceArgs, global: &Global) -> Result<(), Failure> {
    match args.service {
        Service::Hello(args) => hello::run(args, global).await,
    }
}
