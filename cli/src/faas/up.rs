//! `turno faas up`: a whole small system on this machine, each part a process of its own that may be killed.
//!
//! Parts are found through an embedded registry, or through that of `--consul`; one that dies is started again.

use std::{net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};

use clap::Args;
use daemon::{backoff::Backoff, telemetry::LogFormat};
use registrar::registry::{Registry, RegistryConfig};
use rustix::process::Signal;
use tokio::{process::Command, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    args::Global,
    connect,
    failure::Failure,
    output,
    process::{Process, ending},
};

/// Waits before a part that died is started again, from the first to the longest.
const RESTART: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A part that was asked to stop has this long for it.
const GRACE: Duration = Duration::from_secs(10);
/// Most queues, and most workers of a function: each is a process.
const MOST: usize = 64;

const AFTER_HELP: &str = "\
Examples:
  turno faas up
  turno faas up --queues 3 --workers 4 --function echo --function upper
  curl -d '[1,2]' http://127.0.0.1:3000/echo
  kill -9 PID                                     of any part: no request is lost

All ports but --listen are free ones. With a program of your own as a worker, beside it:
  turno faas worker --consul URL --function upper -- jq 'ascii_upcase'";

/// A whole system on this machine
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct UpArgs {
    /// Where HTTP clients connect to
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// How many queues
    #[arg(long, value_name = "N", default_value = "2", value_parser = count)]
    queues: usize,
    /// How many workers of each function
    #[arg(long, value_name = "N", default_value = "2", value_parser = count)]
    workers: usize,
    /// Functions: echo, or upper
    #[arg(long, value_name = "NAME", default_value = "echo", value_parser = ["echo", "upper"])]
    function: Vec<String>,
    /// Where the embedded registry listens [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "IP:PORT", conflicts_with = "consul")]
    registry_listen: Option<SocketAddr>,
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=MOST).contains(&count) => Ok(count),
        _ => Err(format!("expected 1 to {MOST}")),
    }
}

/// Runs until a signal stops it, then takes everything down.
pub(super) async fn run(args: UpArgs, global: &Global) -> Result<(), Failure> {
    let shutdown = daemon::shutdown::on_signal();
    connect::free(args.listen)?;
    let (registry, url) = match &global.consul {
        Some(url) => (None, url.clone()),
        None => {
            let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
            let config = RegistryConfig {
                listen: args.registry_listen.unwrap_or(anywhere),
                ..RegistryConfig::default()
            };
            let registry = Registry::bind(config).await?;
            let url = connect::url(&registry);
            (Some(registry), url)
        }
    };
    let stop_registry = CancellationToken::new();
    let registry = registry.map(|registry| tokio::spawn(registry.run(stop_registry.clone())));
    output::line(&format!("registry: {url}"))?;
    let program = std::env::current_exe()
        .map_err(|error| Failure::of("cannot find this program's own file", &error))?;
    let mut parts = JoinSet::new();
    for (name, arguments) in lines(&args) {
        let part = Part {
            name,
            arguments,
            program: program.clone(),
            url: url.clone(),
            token: global.token.as_ref().map(|it| it.expose().to_owned()),
            log_format: global.log_format,
        };
        parts.spawn(part.run(shutdown.clone()));
    }
    while let Some(ended) = parts.join_next().await {
        ended??;
    }
    stop_registry.cancel();
    if let Some(registry) = registry {
        registry.await?;
    }
    Ok(())
}

/// The parts, and how each is started.
fn lines(args: &UpArgs) -> Vec<(String, Vec<String>)> {
    const ANY: &str = "tcp://127.0.0.1:0";
    let line = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let broker = format!("broker --requests {ANY} --answers {ANY} --jobs {ANY} --workers {ANY}");
    let front = format!("front --listen {} --answers {ANY}", args.listen);
    let mut lines = vec![
        ("broker".to_owned(), line(&broker)),
        (
            "coordinator".to_owned(),
            line(&format!("coordinator --in {ANY} --out {ANY}")),
        ),
        ("front".to_owned(), line(&front)),
    ];
    for number in 1..=args.queues {
        let name = format!("queue-{number}");
        lines.push((name.clone(), line(&format!("queue --name {name}"))));
    }
    for function in &args.function {
        for number in 1..=args.workers {
            let worker = format!("worker --function {function} --builtin {function}");
            lines.push((format!("{function}-{number}"), line(&worker)));
        }
    }
    lines
}

/// A process that is kept running.
struct Part {
    name: String,
    arguments: Vec<String>,
    program: PathBuf,
    url: String,
    token: Option<String>,
    log_format: LogFormat,
}

impl Part {
    async fn run(self, stop: CancellationToken) -> Result<(), Failure> {
        let mut backoff = Backoff::new(RESTART.0, RESTART.1);
        while !stop.is_cancelled() {
            let mut process = Process::spawn(&mut self.command())
                .map_err(|error| Failure::of(format!("cannot start {}", self.name), &error))?;
            let pid = process.id().unwrap_or_default();
            output::line(&format!("{} started, process {pid}", self.name))?;
            // It ends when this pipe does: a part does not outlive us.
            let _alive = process.pipes();
            let ended = tokio::select! {
                ended = process.wait() => ended,
                () = stop.cancelled() => {
                    let ended = process.stop(Signal::TERM, GRACE).await;
                    info!(part = %self.name, "stopped");
                    ended.map_err(|error| Failure::of(format!("cannot stop {}", self.name), &error))?;
                    return Ok(());
                }
            };
            let why = ended.map_or_else(|error| error.to_string(), ending);
            let delay = backoff.next_delay();
            warn!(part = %self.name, %why, restart_in = ?delay, "a part died");
            tokio::select! {
                () = sleep(delay) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_remove(daemon::systemd::SOCKET_VARIABLE);
        command
            .arg("faas")
            .arg("--exit-on-stdin-close")
            .args(&self.arguments)
            .args([
                "--consul",
                &self.url,
                "--log-format",
                &self.log_format.to_string(),
            ])
            .stdin(Stdio::piped());
        if let Some(token) = &self.token {
            // Not on the command line, where others could read it.
            command.env("CONSUL_HTTP_TOKEN", token);
        }
        command
    }
}
