//! `turno mq client`: asks a service so many times, and sums up what came of it.
//!
//! Answers go to standard output one by one, the summary after them.

use std::time::Duration;

use ::broker::client::{
    Client,
    series::{self, Body, Ended, Series, Summary},
};
use clap::Args;

use super::{BROKER_NAME, MAX_BODY, curve::ConnectKeys, discover};
use crate::{
    args::{Global, duration},
    failure::Failure,
    output,
};

const AFTER_HELP: &str = "\
Examples:
  turno mq client --service echo hello
  turno mq client --service echo -n 10 --id HN            as this machine's name: HOST-1, HOST-2 ...
  turno mq client --service echo -n 1000 --concurrency 8 --rate 200 --quiet
  turno mq client --broker 127.0.0.1:9998 --service upper -n 3

A request keeps its id when it is sent again to another broker because the first one died.
Exit status: 0 if every request was answered.";

/// A client: sends requests and prints the answers
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ClientArgs {
    /// The service to ask
    #[arg(long, value_name = "NAME", default_value = "default")]
    service: String,
    /// The brokers: a name in the registry, or addresses
    #[arg(long, value_name = "NAME|ADDR", default_value = BROKER_NAME)]
    broker: Vec<String>,
    /// What the requests say, with a number: ID-1, ID-2 ...; HN is this machine's name
    #[arg(long, value_name = "ID|HN", default_value = "HN")]
    id: String,
    /// How many requests [default: 10, with TEXT 1]
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,
    /// Requests at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    concurrency: usize,
    /// Requests a second at most
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// How long each waits for its answer
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
    /// Print the summary only
    #[arg(long)]
    quiet: bool,
    /// What each request says, instead of ID and number
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    #[command(flatten)]
    keys: ConnectKeys,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("expected a number".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("expected a number above 0".to_owned()),
    }
}

/// Asks, prints and sums up.
pub(super) async fn run(args: ClientArgs, global: &Global) -> Result<(), Failure> {
    let shutdown = daemon::shutdown::on_signal();
    let max_body = MAX_BODY.parse().unwrap_or(usize::MAX);
    let client = Client::with_pass(
        discover::follow(&args.broker, global)?,
        max_body,
        args.keys.pass()?,
    );
    let usual = if args.text.is_some() { 1 } else { 10 };
    let body = match args.text {
        Some(text) => Body::Text(text),
        None if args.id == "HN" => Body::Numbered(host_name()?),
        None => Body::Numbered(args.id),
    };
    let series = Series {
        service: args.service,
        body,
        count: args.count.unwrap_or(usual),
        concurrency: args.concurrency,
        rate: args.rate,
        timeout: args.timeout,
    };
    let mut printed = Ok(());
    let summary = series::run(&client, series, &shutdown, |ended| {
        if (!args.quiet || ended.result.is_err()) && printed.is_ok() {
            printed = print(ended);
        }
    });
    let summary = summary.await;
    printed?;
    output::line(&sentence(&summary))?;
    if summary.failed > 0 {
        return Err(Failure::failed(format!(
            "not answered: {}",
            requests(summary.failed)
        )));
    }
    Ok(())
}

fn print(ended: &Ended) -> Result<(), Failure> {
    match &ended.result {
        Ok(answer) => {
            let answer = String::from_utf8_lossy(&answer.join(&b' ')).into_owned();
            output::line(&output::printable(&format!(
                "{} -> {}",
                ended.body,
                answer.trim_end()
            )))
        }
        Err(failure) => {
            output::complain(&output::printable(&format!("{}: {failure}", ended.body)));
            Ok(())
        }
    }
}

fn sentence(summary: &Summary) -> String {
    let seconds = summary.took.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = summary.answered as f64 / seconds.max(1e-9);
    let all = summary.answered + summary.failed;
    let latency = match summary.answered {
        0 => String::new(),
        _ => format!(
            "; p50 {:.1?}, p99 {:.1?}",
            summary.quantile(0.5),
            summary.quantile(0.99)
        ),
    };
    format!(
        "{}, {} answered, {} failed, in {seconds:.3} s ({rate:.0}/s){latency}",
        requests(all),
        summary.answered,
        summary.failed,
    )
}

fn requests(number: u64) -> String {
    match number {
        1 => "1 request".to_owned(),
        _ => format!("{number} requests"),
    }
}

fn host_name() -> Result<String, Failure> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_err(|error| Failure::of("cannot read this machine's name; give --id", &error))?;
    Ok(name.trim().to_owned())
}
