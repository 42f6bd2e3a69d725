//! `turno faas broker`: spreads requests over the queues, and keeps them until they are answered.

use std::{collections::BTreeSet, time::Duration};

use ::broker::faas::broker::{Broker, Config, Limits};
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
  turno faas broker
  turno faas broker --no-register --front 127.0.0.1:8008        a front end that does not register
  turno faas broker --requests tcp://0.0.0.0:8009 --workers tcp://0.0.0.0:8558 \\
      --jobs tcp://0.0.0.0:8447 --answers tcp://0.0.0.0:8111

Queues are known by what they subscribe to, so a new one needs no configuration here.";

/// The broker: requests in, jobs to queues, answers back
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct BrokerArgs {
    /// Where front ends send requests (PULL)
    #[arg(long, value_name = "ADDR", default_value = "tcp://127.0.0.1:8009")]
    requests: String,
    /// Where queues send answers (PULL)
    #[arg(long, value_name = "ADDR", default_value = "tcp://127.0.0.1:8111")]
    answers: String,
    /// Where queues get jobs (PUB)
    #[arg(long, value_name = "ADDR", default_value = "tcp://127.0.0.1:8447")]
    jobs: String,
    /// Where workers ask for a queue (ROUTER)
    #[arg(long, value_name = "ADDR", default_value = "tcp://127.0.0.1:8558")]
    workers: String,
    /// A front end's PULL, besides those in the registry
    #[arg(long, value_name = "ADDR")]
    front: Vec<String>,
    /// Requests held; the next gets 429
    #[arg(long, value_name = "N", default_value_t = Limits::default().requests)]
    backlog: usize,
    /// How long a request is held at most; then it gets 504
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    timeout: Duration,
    /// When a request is given to another queue, if the one that has it is no `turno faas queue` and may lose it
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    lease: Duration,
    /// Largest body, in bytes
    #[arg(long, value_name = "BYTES", default_value = MAX_BODY)]
    max_body: usize,
    #[command(flatten)]
    system: SystemArgs,
}

/// Serves until a signal stops it.
pub(super) async fn run(args: BrokerArgs, global: &Global) -> Result<(), Failure> {
    let given = args.front.iter().map(|text| discover::given(text));
    let given = given.collect::<Result<BTreeSet<String>, Failure>>()?;
    let fronts = if args.system.no_register {
        discover::fixed(given)
    } else {
        discover::all(args.system.name_of("front"), "answers", given, global)?
    };
    let broker = Broker::bind(Config {
        requests: args.requests,
        answers: args.answers,
        jobs: args.jobs,
        workers: args.workers,
        fronts,
        limits: Limits {
            requests: args.backlog,
            timeout: args.timeout,
            lease: args.lease,
            ..Limits::default()
        },
        max_body: args.max_body,
    })
    .await?;
    let requests = broker.requests().to_owned();
    output::line(&format!(
        "broker listening on {requests} for requests, {} for answers, {} for workers, jobs on {}",
        broker.answers(),
        broker.workers(),
        broker.jobs()
    ))?;
    let meta = [
        ("requests", reach::port(&requests)),
        ("answers", reach::port(broker.answers())),
        ("jobs", reach::port(broker.jobs())),
        ("workers", reach::port(broker.workers())),
    ];
    let service = args.system.name_of("broker");
    let run = |stop| async { Ok(broker.run(stop).await?) };
    reach::registered(&service, &requests, &meta, (&args.system, global), run).await
}
