//! `turno mq worker`: serves requests by a built-in or by a program for each.
//!
//! It finds brokers by name or address, and moves on when the one it is attached to leaves.

use std::time::Duration;

use ::broker::worker::{self, Offer, builtin::Builtin, command};
use clap::Args;

use super::{BROKER_NAME, MAX_BODY, curve::ConnectKeys, discover};
use crate::{
    args::{Global, duration},
    failure::Failure,
};

const AFTER_HELP: &str = "\
Examples:
  turno mq worker --service echo --builtin echo
  turno mq worker --service slow --builtin sleep:50 --capacity 4
  turno mq worker --service upper -- tr a-z A-Z
  turno mq worker --service 'img.*' --broker 10.0.0.7:9998 -- ./resize.sh

The program gets the body on standard input and answers on standard output. It ends with 0 if that
is the answer, with 75 if another worker should try, else its standard error is the reason of the
failure. Its environment: TURNO_SERVICE, TURNO_REQUEST_ID, TURNO_ATTEMPT, TURNO_TIME_LEFT_MS.
SIGTERM: take no more, finish what there is, end.";

/// A worker: serves requests, by a program or a built-in
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct WorkerArgs {
    /// What to serve; a name that ends in * stands for all that begin so; repeatable
    #[arg(long, value_name = "NAME", default_value = "default")]
    service: Vec<String>,
    /// The brokers: a name in the registry, or addresses
    #[arg(long, value_name = "NAME|ADDR", default_value = BROKER_NAME)]
    broker: Vec<String>,
    /// Requests at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    capacity: u8,
    /// Serve by itself: echo, upper, sleep:MS or fail
    #[arg(
        long,
        value_name = "WHAT",
        required_unless_present = "command",
        conflicts_with = "command"
    )]
    builtin: Option<Builtin>,
    /// Largest body, in bytes
    #[arg(long, value_name = "BYTES", default_value = MAX_BODY)]
    max_body: usize,
    /// How long it finishes what it has when it is stopped
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    drain: Duration,
    /// The program for each request, with its arguments
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
    #[command(flatten)]
    keys: ConnectKeys,
}

/// Serves until a signal stops it.
pub(super) async fn run(args: WorkerArgs, global: &Global) -> Result<(), Failure> {
    let shutdown = daemon::shutdown::on_signal();
    let brokers = discover::follow(&args.broker, global)?;
    let handler = match args.builtin {
        Some(builtin) => builtin.handler(),
        None => command::handler(args.command, args.max_body),
    };
    let offer = Offer {
        services: args.service,
        capacity: args.capacity,
        max_body: args.max_body,
        drain: args.drain,
        pass: args.keys.pass()?,
    };
    worker::run(offer, handler, brokers, shutdown).await?;
    Ok(())
}
