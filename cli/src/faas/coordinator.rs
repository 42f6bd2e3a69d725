//! `turno faas coordinator`: tells the queues of each other, and passes on what they hand over.

use ::broker::faas::coordinator::{Config, Coordinator};
use clap::Args;

use super::{SystemArgs, reach};
use crate::{args::Global, failure::Failure, mq::MAX_BODY, output};

const AFTER_HELP: &str = "\
Examples:
  turno faas coordinator
  turno faas coordinator --in tcp://0.0.0.0:5556 --out tcp://0.0.0.0:5555

It holds nothing: when it dies, the queues take back what was on its way.";

/// The coordinator: queues hear of each other by it
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct CoordinatorArgs {
    /// Where queues say things (XSUB)
    #[arg(
        long = "in",
        value_name = "ADDR",
        default_value = "tcp://127.0.0.1:5556"
    )]
    from_queues: String,
    /// Where queues and front ends hear things (XPUB)
    #[arg(
        long = "out",
        value_name = "ADDR",
        default_value = "tcp://127.0.0.1:5555"
    )]
    to_queues: String,
    /// Largest body, in bytes
    #[arg(long, value_name = "BYTES", default_value = MAX_BODY)]
    max_body: usize,
    #[command(flatten)]
    system: SystemArgs,
}

/// Serves until a signal stops it.
pub(super) async fn run(args: CoordinatorArgs, global: &Global) -> Result<(), Failure> {
    let coordinator = Coordinator::bind(Config {
        from_queues: args.from_queues,
        to_queues: args.to_queues,
        max_body: args.max_body,
    })
    .await?;
    let (inward, outward) = (
        coordinator.from_queues().to_owned(),
        coordinator.to_queues().to_owned(),
    );
    output::line(&format!(
        "coordinator listening on {inward}, telling on {outward}"
    ))?;
    let meta = [("in", reach::port(&inward)), ("out", reach::port(&outward))];
    let service = args.system.name_of("coordinator");
    let run = |stop| async { Ok(coordinator.run(stop).await?) };
    reach::registered(&service, &inward, &meta, (&args.system, global), run).await
}
