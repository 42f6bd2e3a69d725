//! `turno faas`: the parts of a small system of functions, each a subcommand, and all of them at once.
//!
//! It gives them addresses, a registry and signals; what they do is the broker crate's business.

mod broker;
mod coordinator;
pub(crate) mod discover;
mod front;
mod queue;
pub(crate) mod reach;
mod up;
mod worker;

use std::io::Read;

use clap::{Args, Subcommand};
use rustix::process::{Signal, getpid, kill_process};

use crate::{args::Global, failure::Failure};

const AFTER_HELP: &str = "\
Examples:
  turno faas up                             a whole system on this machine, on http://127.0.0.1:3000
  curl -d '{\"hello\":\"world\"}' http://127.0.0.1:3000/echo

  turno registry &                          the same by hand; or Consul
  turno faas broker &
  turno faas coordinator &
  turno faas front --listen 127.0.0.1:3000 &
  turno faas queue &                        any number of them, at any time
  turno faas worker &                       a worker of echo
  turno faas worker --function upper -- jq 'ascii_upcase' &

The parts find each other through the registry, as NAME-broker, NAME-coordinator and so on; NAME is
--system. Addresses do as well: see each part's --help. A request that was accepted is answered
though a queue, a worker, the coordinator or the broker dies. See docs/faas.md.";

/// Functions as a service: a front end, a broker, queues, a coordinator, workers
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct FaasArgs {
    /// Stop when standard input ends: so that a part does not outlive `turno faas up`
    #[arg(long, hide = true)]
    exit_on_stdin_close: bool,
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    Up(up::UpArgs),
    Front(front::FrontArgs),
    Broker(broker::BrokerArgs),
    Queue(queue::QueueArgs),
    Coordinator(coordinator::CoordinatorArgs),
    Worker(worker::WorkerArgs),
}

/// What every part is told of the system it belongs to.
#[derive(Debug, Args)]
pub(crate) struct SystemArgs {
    /// The system it belongs to: parts are registered as NAME-broker, NAME-queue and so on
    #[arg(long, value_name = "NAME", default_value = "faas")]
    pub(crate) system: String,
    /// The address to register, where others reach it [default: where it listens]
    #[arg(long, value_name = "IP")]
    pub(crate) advertise: Option<std::net::IpAddr>,
    /// Do not register
    #[arg(long)]
    pub(crate) no_register: bool,
}

impl SystemArgs {
    fn name_of(&self, part: &str) -> String {
        format!("{}-{part}", self.system)
    }
}

/// Runs the part named until it has ended or a signal stops it.
pub(crate) async fn run(args: FaasArgs, global: &Global) -> Result<(), Failure> {
    if args.exit_on_stdin_close {
        stop_with_stdin();
    }
    match args.part {
        Part::Up(args) => up::run(args, global).await,
        Part::Front(args) => front::run(args, global).await,
        Part::Broker(args) => broker::run(args, global).await,
        Part::Queue(args) => queue::run(args, global).await,
        Part::Coordinator(args) => coordinator::run(args, global).await,
        Part::Worker(args) => worker::run(args, global).await,
    }
}

/// Asks this process to stop, as a signal from outside would, when standard input ends.
fn stop_with_stdin() {
    std::thread::spawn(|| {
        let mut input = std::io::stdin().lock();
        let mut ignored = [0; 64];
        while matches!(input.read(&mut ignored), Ok(1..)) {}
        // It cannot fail for ourselves.
        let _ = kill_process(getpid(), Signal::TERM);
    });
}
