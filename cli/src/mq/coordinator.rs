//! `turno mq coordinator`: brokers hear of each other by it.

use std::net::IpAddr;

use ::broker::federation::coordinator::Coordinator;
use clap::Args;

use super::{BROKER_NAME, curve::BrokersKeys, federation};
use crate::{
    args::{Global, zmq_address},
    faas::{SystemArgs, reach},
    failure::Failure,
    output,
};

const AFTER_HELP: &str = "\
Examples:
  turno mq coordinator
  turno mq coordinator --in tcp://0.0.0.0:9996 --out tcp://0.0.0.0:9997
  turno mq coordinator --broker-name jobs                   for brokers started with --name jobs
  turno mq coordinator --curve-key broker.key               for brokers with this key
  turno mq coordinator --curve-key c.key --curve-brokers brokers    for brokers with these keys

Brokers of one name tell each other how many requests they have room for, and how many wait. Without
a coordinator each listens to every other; with one, each has a single connection for that. It holds
nothing: when it is deregistered, or the registry finds it dead, the brokers listen to each other
again. Brokers with CURVE keys use one that has the same key, or a key in their --curve-brokers, and
no other; brokers without keys use one without.";

/// A coordinator: brokers hear of each other by it
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct CoordinatorArgs {
    /// Where brokers tell (XSUB)
    #[arg(
        long = "in",
        value_name = "ADDR",
        default_value = "tcp://127.0.0.1:9996",
        value_parser = zmq_address
    )]
    inward: String,
    /// Where brokers hear (XPUB)
    #[arg(
        long = "out",
        value_name = "ADDR",
        default_value = "tcp://127.0.0.1:9997",
        value_parser = zmq_address
    )]
    outward: String,
    /// The name of the brokers; it is registered as NAME-coordinator
    #[arg(long, value_name = "NAME", default_value = BROKER_NAME)]
    broker_name: String,
    /// The address to register, where others reach it [default: where it listens]
    #[arg(long, value_name = "IP")]
    advertise: Option<IpAddr>,
    /// Do not register
    #[arg(long)]
    no_register: bool,
    #[command(flatten)]
    keys: BrokersKeys,
}

/// Serves until a signal stops it.
pub(super) async fn run(args: CoordinatorArgs, global: &Global) -> Result<(), Failure> {
    let guard = args.keys.guard()?;
    let coordinator = Coordinator::bind(&args.inward, &args.outward, guard.as_ref()).await?;
    let (inward, outward) = (
        coordinator.inward().to_owned(),
        coordinator.outward().to_owned(),
    );
    output::line(&format!(
        "coordinator listening on {inward}, telling on {outward}"
    ))?;
    let mut meta = vec![("in", reach::port(&inward)), ("out", reach::port(&outward))];
    if let Some(guard) = guard {
        meta.push((federation::KEY, guard.public().to_string()));
    }
    let system = SystemArgs {
        system: args.broker_name,
        advertise: args.advertise,
        no_register: args.no_register,
    };
    let service = federation::service(&system.system);
    let run = |stop| async { Ok(coordinator.run(stop).await?) };
    reach::registered(&service, &inward, &meta, (&system, global), run).await
}
