//! `turno mq`: ZeroMQ brokers, workers, clients and loggers, each a subcommand.
//!
//! It gives them addresses, a registry and signals; what they do is the broker crate's business.

mod broker;
mod client;
mod coordinator;
mod curve;
mod discover;
mod federation;
mod logger;
mod pages;
pub(crate) mod presence;
mod top;
pub(crate) mod view;
mod worker;

use clap::{Args, Subcommand};

use crate::{args::Global, failure::Failure};

const AFTER_HELP: &str = "\
Examples:
  turno mq broker                                     clients on port 9998, two-port workers on 9999
  turno mq worker --service echo --builtin echo
  turno mq worker --service upper -- tr a-z A-Z       a program for each request
  turno mq client --service echo -n 10 --concurrency 2

They find each other by name through the registry (`turno registry`, or Consul), or by address:
  turno mq broker --no-register
  turno mq worker --broker tcp://127.0.0.1:9998 --service echo --builtin echo
  turno mq client --broker tcp://127.0.0.1:9998 --service echo hello";

/// The name brokers are registered under, and looked for.
const BROKER_NAME: &str = "mq";

/// Largest body unless told otherwise, in bytes.
pub(crate) const MAX_BODY: &str = "16777216";

/// ZeroMQ: brokers, workers, clients, loggers, coordinators, live tables
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct MqArgs {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    Broker(Box<broker::BrokerArgs>),
    Worker(worker::WorkerArgs),
    Client(client::ClientArgs),
    Logger(logger::LoggerArgs),
    Coordinator(coordinator::CoordinatorArgs),
    Top(top::TopArgs),
    Keygen(curve::KeygenArgs),
}

/// Runs the part named until it has ended or a signal stops it.
pub(crate) async fn run(args: MqArgs, global: &Global) -> Result<(), Failure> {
    match args.part {
        Part::Broker(args) => broker::run(*args, global).await,
        Part::Worker(args) => worker::run(args, global).await,
        Part::Client(args) => client::run(args, global).await,
        Part::Logger(args) => logger::run(args, global).await,
        Part::Coordinator(args) => coordinator::run(args, global).await,
        Part::Top(args) => top::run(args).await,
        Part::Keygen(args) => curve::keygen(&args),
    }
}
