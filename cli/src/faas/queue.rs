//! `turno faas queue`: holds jobs, and gives them to the workers that have joined it.

use std::time::Duration;

use ::broker::faas::queue::{Config, Limits, Queue};
use clap::Args;

use super::{SystemArgs, discover, reach};
use crate::{
    args::{Global, duration},
    failure::Failure,
    mq::MAX_BODY,
    output,
};

const AFTER_HELP: &str = "\
Examples:
  turno faas queue                                  a name by chance, a free port
  turno faas queue --name emea --bind tcp://0.0.0.0:8123
  turno faas queue --no-register --jobs 127.0.0.1:8447 --answers 127.0.0.1:8111 \\
    --coordinator-in 127.0.0.1:5556 --coordinator-out 127.0.0.1:5555

Start as many as you like, whenever you like.";

/// A queue: jobs for the workers that joined it
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct QueueArgs {
    /// Its name, which no other queue of the system may have [default: one by chance]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where workers connect to (ROUTER)
    #[arg(long, value_name = "ADDR", default_value = "tcp://127.0.0.1:0")]
    bind: String,
    /// The broker's PUB of jobs, instead of that in the registry
    #[arg(long, value_name = "ADDR", requires = "answers")]
    jobs: Option<String>,
    /// The broker's PULL of answers
    #[arg(long, value_name = "ADDR", requires = "jobs")]
    answers: Option<String>,
    /// The coordinator's XSUB, instead of that in the registry
    #[arg(long, value_name = "ADDR", requires = "coordinator_out")]
    coordinator_in: Option<String>,
    /// The coordinator's XPUB
    #[arg(long, value_name = "ADDR", requires = "coordinator_in")]
    coordinator_out: Option<String>,
    /// Jobs waiting for one function; the next gets 429
    #[arg(long, value_name = "N", default_value_t = Limits::default().jobs)]
    backlog: usize,
    /// Times a job is given to a worker or another queue before it gets 502
    #[arg(long, value_name = "N", default_value_t = Limits::default().attempts, value_parser = clap::value_parser!(u8).range(1..))]
    attempts: u8,
    /// How long a worker may keep a job
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    lease: Duration,
    /// Largest body, in bytes
    #[arg(long, value_name = "BYTES", default_value = MAX_BODY)]
    max_body: usize,
    #[command(flatten)]
    system: SystemArgs,
}

/// Serves until a signal stops it.
pub(super) async fn run(args: QueueArgs, global: &Global) -> Result<(), Failure> {
    let broker = match (&args.jobs, &args.answers) {
        (Some(jobs), Some(answers)) => {
            discover::fixed(Some((discover::given(jobs)?, discover::given(answers)?)))
        }
        _ => discover::newest_pair(args.system.name_of("broker"), ("jobs", "answers"), global)?,
    };
    let coordinator = match (&args.coordinator_out, &args.coordinator_in) {
        (Some(out), Some(inward)) => {
            discover::fixed(Some((discover::given(out)?, discover::given(inward)?)))
        }
        _ if args.system.no_register => discover::fixed(None),
        _ => discover::newest_pair(args.system.name_of("coordinator"), ("out", "in"), global)?,
    };
    let name = args.name.unwrap_or_else(::broker::faas::chance_name);
    let mut queue = Queue::bind(Config {
        name: name.clone(),
        bind: args.bind,
        broker,
        coordinator,
        limits: Limits {
            jobs: args.backlog,
            max_body: args.max_body,
            attempts: args.attempts,
            lease: args.lease,
            ..Limits::default()
        },
    })
    .await?;
    let bound = queue.workers().to_owned();
    output::line(&format!("queue {name} listening on {bound} for workers"))?;
    if let Some(address) = reach::reached(&bound, &args.system, global).await? {
        queue.advertise(format!("tcp://{address}"));
    }
    let meta = [("workers", reach::port(&bound)), ("queue", name)];
    let service = args.system.name_of("queue");
    let run = |stop| async { Ok(queue.run(stop).await?) };
    reach::registered(&service, &bound, &meta, (&args.system, global), run).await
}
