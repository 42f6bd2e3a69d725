//! `turno mq top`: brokers and their services as a table that stays up to date.
//!
//! It asks their admin listeners, and draws anew once a second.

use std::{collections::BTreeMap, io::IsTerminal, net::SocketAddr, time::Duration};

use clap::Args;

use super::view::{Counters, Service, View, ask};
use crate::{admin::AdminToken, args::duration, failure::Failure, output};

const AFTER_HELP: &str = "\
Examples:
  turno mq broker --admin 127.0.0.1:8085
  turno mq top --admin 127.0.0.1:8085
  turno mq top --admin 127.0.0.1:8085 --admin 127.0.0.1:8086 --every 500ms
  turno mq top --admin 127.0.0.1:8085 --once
  TURNO_ADMIN_TOKEN=… turno mq top --admin 10.0.0.7:8085      beyond loopback brokers want a token
  turno mq top --admin 10.0.0.7:8085 --admin-token-file token

Services with the longest queues come first. Rates are those since the last look.";

/// Clears the screen and goes to its beginning.
const CLEAR: &str = "\x1b[2J\x1b[H";
/// Services shown of each broker: a screen.
const ROWS: usize = 30;

/// Brokers and their queues, live in the terminal
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct TopArgs {
    /// The admin address of a broker; repeatable
    #[arg(long, value_name = "IP:PORT", required = true)]
    admin: Vec<SocketAddr>,
    #[command(flatten)]
    token: AdminToken,
    /// How often to look
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    every: Duration,
    /// Look once, and end
    #[arg(long)]
    once: bool,
}

/// Draws until it is stopped.
pub(super) async fn run(args: TopArgs) -> Result<(), Failure> {
    let shutdown = daemon::shutdown::on_signal();
    let live = !args.once && std::io::stdout().is_terminal();
    let token = args.token.secret()?;
    let mut before = BTreeMap::new();
    loop {
        let mut page = String::new();
        for &address in &args.admin {
            match ask(address, token.as_ref()).await {
                Ok(view) => {
                    let last = before.insert(address, view.counters);
                    page.push_str(&draw(address, &view, last, args.every));
                }
                Err(why) if args.once => return Err(why.into()),
                // It says where, and what to do.
                Err(why) => page.push_str(&format!("{}\n\n", output::printable(&why.to_string()))),
            }
        }
        output::print(&if live { format!("{CLEAR}{page}") } else { page })?;
        if args.once {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(args.every) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

fn draw(address: SocketAddr, view: &View, last: Option<Counters>, every: Duration) -> String {
    let it = &view.counters;
    let rate = last.map_or(String::new(), |last| {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let rate = it.answered.saturating_sub(last.answered) as f64 / every.as_secs_f64();
        format!(", {rate:.0} answers/s")
    });
    let broker = output::printable(&view.broker);
    let head = format!(
        "{broker} at {address}{rate}: {} answered, {} failed, {} refused, {} redelivered, {} dead letters; \
         {} held, {} workers, {} connections\n",
        it.answered,
        it.failed,
        it.refused,
        it.requeued,
        it.dead_letters,
        view.census.requests,
        view.census.workers,
        view.connections
    );
    let rows: Vec<[String; 6]> = view.services.iter().take(ROWS).map(row).collect();
    let columns = ["service", "waiting", "oldest", "running", "workers", "free"];
    let table = output::table(columns, &rows);
    let more = view.services.len().saturating_sub(ROWS) + view.services_left_out;
    let more = match more {
        0 => String::new(),
        more => format!("and {more} more services\n"),
    };
    format!("{head}{table}{more}\n")
}

fn row(service: &Service) -> [String; 6] {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let oldest = match service.queued {
        0 => String::new(),
        _ => format!("{:.1} s", service.oldest_ms as f64 / 1000.0),
    };
    [
        output::printable(&service.name),
        service.queued.to_string(),
        oldest,
        service.running.to_string(),
        service.workers.to_string(),
        service.free.to_string(),
    ]
}
