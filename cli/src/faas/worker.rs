//! `turno faas worker`: does the jobs of one function, or of several.

use std::time::Duration;

use ::broker::{
    faas::worker::{self, Config},
    worker::{builtin::Builtin, command},
};
use clap::Args;

use super::discover;
use crate::{
    args::{Global, duration},
    failure::Failure,
    mq::MAX_BODY,
    output,
};

const AFTER_HELP: &str = "\
Examples:
  turno faas worker                                       echo
  turno faas worker --function upper -- jq 'ascii_upcase'
  turno faas worker --function resize --function crop -- ./images.py
  turno faas worker --broker 127.0.0.1:8558

The program gets the body, which is JSON, on standard input and answers on standard output; what is
no JSON becomes a string. It ends with 0 if that is the answer, with 75 if another worker should
try, else its standard error is the reason of the failure. Its environment: TURNO_SERVICE (the
function), TURNO_REQUEST_ID.
SIGTERM: finish what there is, end.";

/// A worker: does the jobs of a function, by a program or a built-in
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct WorkerArgs {
    /// A function it has; repeatable
    #[arg(long, value_name = "NAME", default_value = ::broker::faas::DEFAULT_FUNCTION)]
    function: Vec<String>,
    /// Do them by itself: echo, upper, sleep:MS or fail [default: echo]
    #[arg(long, value_name = "WHAT", conflicts_with = "command")]
    builtin: Option<Builtin>,
    /// The broker's ROUTER for workers, instead of that in the registry
    #[arg(long, value_name = "ADDR")]
    broker: Option<String>,
    /// Largest body, in bytes
    #[arg(long, value_name = "BYTES", default_value = MAX_BODY)]
    max_body: usize,
    /// How long it finishes what it has when it is stopped
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    drain: Duration,
    /// The system it belongs to
    #[arg(long, value_name = "NAME", default_value = "faas")]
    system: String,
    /// The program for each job, with its arguments
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

/// Works until a signal stops it.
pub(super) async fn run(args: WorkerArgs, global: &Global) -> Result<(), Failure> {
    let shutdown = daemon::shutdown::on_signal();
    let broker = match &args.broker {
        Some(address) => discover::fixed(Some(discover::given(address)?)),
        None => discover::newest(format!("{}-broker", args.system), "workers", global)?,
    };
    let handler = match args.builtin {
        Some(builtin) => builtin.handler(),
        None if args.command.is_empty() => Builtin::Echo.handler(),
        None => command::handler(args.command, args.max_body),
    };
    let config = Config {
        broker,
        functions: args.function,
        handler,
        max_body: args.max_body,
        drain: args.drain,
    };
    daemon::systemd::watchdog(Vec::new(), shutdown.clone());
    output::ready()?;
    worker::run(config, shutdown).await?;
    Ok(())
}
