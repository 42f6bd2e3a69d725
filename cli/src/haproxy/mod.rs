//! `turno haproxy`: an HAProxy that follows the registry, started or attached to.
//!
//! It makes one configuration of a file or of flags, opens the admin listener, and waits until HAProxy serves. What is told
//! to HAProxy, and when it is reloaded, is the lb crate's business.

use std::{net::SocketAddr, path::PathBuf};

use ::lb::{
    config::{Policy, TouchedFile},
    haproxy::{Config, FOLDER, Haproxy, HaproxyError, Pages},
    template::Wait,
};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    admin::{Admin, AdminToken},
    args::Global,
    connect,
    failure::Failure,
    lb::route,
    output,
};

const AFTER_HELP: &str = "\
Examples:
  turno haproxy --listen 127.0.0.1:8000 --route /=web
  turno haproxy --route shop.example/=web --route /api=api,strip-prefix,policy=least-connections \\
      --stats 127.0.0.1:8404 --admin 127.0.0.1:8081
  turno haproxy --config haproxy.toml
  turno haproxy --template haproxy-tcp.cfg.hbs --listen 0.0.0.0:6379 --route /=redis
  turno haproxy --attach --file /etc/haproxy/haproxy.cfg --socket /run/haproxy/admin.sock \\
      --master /run/haproxy-master.sock --route /=web
  curl http://127.0.0.1:8081/v1/haproxy

Who joins, leaves, drains or changes its weight is told to HAProxy at run time; only new routes,
a changed template and a service that has outgrown its slots cost a reload.
Policies: round-robin, weighted-round-robin, least-connections, weighted-least-connections,
two-choices, random.";

/// An HAProxy that follows the registry: started, or attached to
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct HaproxyArgs {
    /// A configuration file (TOML), instead of all flags but --admin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["listen", "routes", "policy", "stats", "template", "dir", "file",
        "socket", "master", "program", "attach", "keep", "slots", "drain", "check", "wait"])]
    config: Option<PathBuf>,
    /// Where HAProxy is to accept requests; repeatable [default: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT")]
    listen: Vec<SocketAddr>,
    /// A rule from host and path to a service, `[HOST]/PATH=SERVICE[,strip-prefix][,policy=NAME]`; repeatable
    #[arg(long = "route", value_name = "ROUTE")]
    routes: Vec<String>,
    /// How an instance is picked, for routes that do not say [default: round-robin]
    #[arg(long, value_name = "NAME")]
    policy: Option<Policy>,
    /// Where HAProxy shows its statistics and, at /metrics, its own metrics; nowhere if not given
    #[arg(long, value_name = "IP:PORT")]
    stats: Option<SocketAddr>,
    /// The template of HAProxy's file [default: the one that comes with turno]
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// The folder of HAProxy's file and sockets
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    dir: PathBuf,
    /// HAProxy's file [default: DIR/haproxy.cfg]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The socket of HAProxy's runtime interface [default: DIR/runtime.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The socket of HAProxy's master [default: DIR/master.sock]
    #[arg(long, value_name = "PATH")]
    master: Option<PathBuf>,
    /// The program
    #[arg(long, value_name = "PATH", default_value = "haproxy")]
    program: PathBuf,
    /// HAProxy runs already, as a master with workers; somebody else starts and stops it
    #[arg(long)]
    attach: bool,
    /// Leave HAProxy running when turno stops; the next turno takes it over
    #[arg(long)]
    keep: bool,
    /// The fewest servers of a backend; spare ones are filled without a reload
    #[arg(long, value_name = "N", default_value_t = 8)]
    slots: usize,
    /// How long the old worker may finish its requests after a reload
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = crate::args::duration)]
    drain: std::time::Duration,
    /// The path by which HAProxy checks each server, beside the registry's checks [default: it only connects]
    #[arg(long, value_name = "PATH")]
    check: Option<String>,
    /// How long what needs a reload waits for more of it: so long after the last, and at most so long after the first
    #[arg(long, value_name = "MIN[:MAX]", default_value = "200ms:2s")]
    wait: String,
    /// Where turno answers for health, metrics and the state of the slots; nowhere if not given
    #[arg(long, value_name = "IP:PORT")]
    admin: Option<SocketAddr>,
    #[command(flatten)]
    token: AdminToken,
}

/// Drives HAProxy until a signal stops it; HAProxy is stopped then, too, unless it is to be kept.
pub(crate) async fn run(args: HaproxyArgs, global: &Global) -> Result<(), Failure> {
    // Watched before it is read: no change can fall between the two.
    let file = args.config.clone().map(TouchedFile::watch).transpose()?;
    let config = config(&args)?;
    let client = connect::client(global)?;
    let admin = config
        .admin
        .map(|address| Admin::listen(address, args.token.clone()))
        .transpose()?;
    let admin_address = admin.as_ref().map(Admin::local_addr).transpose()?;
    let shutdown = daemon::shutdown::on_signal();
    let hangup = signal(SignalKind::hangup())?;
    let listen = config.listen.clone();
    let haproxy = match Haproxy::start(config, client, shutdown.clone()).await {
        Ok(haproxy) => haproxy,
        // A stop while waiting is no failure.
        Err(HaproxyError::Stopped) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for address in listen {
        output::line(&format!("haproxy listening on http://{address}"))?;
    }
    let stop_admin = CancellationToken::new();
    let pages = haproxy.pages();
    let served = admin.map(|admin| {
        let respond = move |request: http::Request<hyper::body::Incoming>| {
            let pages = pages.clone();
            async move { page(&pages, &request) }
        };
        tokio::spawn(admin.serve(respond, stop_admin.clone()))
    });
    if let Some(address) = admin_address {
        output::line(&format!("admin listening on http://{address}"))?;
    }
    daemon::systemd::watchdog(Vec::new(), shutdown.clone());
    output::ready()?;
    tokio::select! {
        () = follow(&args, file, hangup, &haproxy) => {}
        () = shutdown.cancelled() => {}
    }
    haproxy.stopped().await;
    stop_admin.cancel();
    if let Some(served) = served {
        served.await?;
    }
    Ok(())
}

/// Takes the configuration file anew whenever it changes, and on SIGHUP. A broken file changes nothing.
async fn follow(
    args: &HaproxyArgs,
    mut file: Option<TouchedFile>,
    mut hangup: Signal,
    haproxy: &Haproxy,
) {
    loop {
        tokio::select! {
            () = changed(file.as_mut()) => {}
            _ = hangup.recv() => {}
        }
        match config(args) {
            Ok(config) => {
                let later = haproxy.configure(config);
                info!("the configuration was read again");
                if !later.is_empty() {
                    warn!("needs a new start to take effect: {}", later.join(", "));
                }
            }
            Err(failure) => warn!("the configuration in use stays: {}", failure.text()),
        }
    }
}

async fn changed(file: Option<&mut TouchedFile>) {
    match file {
        Some(file) => file.changed().await,
        None => std::future::pending().await,
    }
}

/// The admin page a request asks for, or 404.
fn page<B>(pages: &Pages, request: &http::Request<B>) -> daemon::http::Reply {
    let found = pages.respond(request.method(), request.uri().path());
    found.unwrap_or_else(|| {
        let text = "no such page; there are /health /ready /metrics /v1/haproxy\n";
        daemon::http::text(http::StatusCode::NOT_FOUND, text)
    })
}

fn config(args: &HaproxyArgs) -> Result<Config, Failure> {
    let mut config = match &args.config {
        Some(path) => Config::load(path)?,
        None => from_flags(args)?,
    };
    config.admin = args.admin.or(config.admin);
    Ok(config)
}

fn from_flags(args: &HaproxyArgs) -> Result<Config, Failure> {
    if args.routes.is_empty() {
        return Err(Failure::usage(
            "nothing to balance: give --route /=SERVICE, or --config FILE",
        ));
    }
    let default = Config::default().in_folder(&args.dir);
    let routes = args.routes.iter().map(|text| route(text, args.policy));
    let config = Config {
        listen: if args.listen.is_empty() {
            default.listen
        } else {
            args.listen.clone()
        },
        stats: args.stats,
        routes: routes.collect::<Result<_, _>>()?,
        template: args.template.clone(),
        file: args.file.clone().unwrap_or(default.file),
        socket: args.socket.clone().unwrap_or(default.socket),
        master: args.master.clone().unwrap_or(default.master),
        program: args.program.clone(),
        attach: args.attach,
        keep: args.keep,
        slots: args.slots,
        drain: args.drain,
        check: args.check.clone(),
        wait: args
            .wait
            .parse::<Wait>()
            .map_err(|error| Failure::usage(format!("--wait: {error}")))?,
        ..Config::default()
    };
    config
        .checked()
        .map_err(|error| Failure::usage(error.to_string()))
}
