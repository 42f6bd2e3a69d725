//! `turno mq broker`: a broker on its sockets, registered while it listens.
//!
//! The lines it prints first say where it listens; people and tests read the ports there.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ::broker::{
    core::Limits,
    exchange::Manner,
    server::{Config, Server, Status},
};
use clap::Args;
use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    BROKER_NAME, MAX_BODY,
    curve::ListenKeys,
    discover,
    federation::{self, FederationArgs},
    pages::Pages,
    presence::MqPresence,
    view,
};
use crate::{
    admin::AdminToken,
    args::{Global, duration, zmq_address},
    faas::reach::port,
    failure::Failure,
    output,
    presence::ROTATION_LAG,
};

const AFTER_HELP: &str = "\
Examples:
  turno mq broker
  turno mq broker --bind tcp://127.0.0.1:0 --name jobs     a free port, which it prints
  turno mq broker --logger log                             trace lines to the logger of this name
  turno mq broker --data-dir /var/lib/turno/mq             acknowledged requests survive a crash
  turno mq broker --admin 127.0.0.1:8085                   pages, JSON and metrics; see turno mq top
  turno mq broker --curve-key broker.key --curve-clients allowed   encrypted, for these keys only
  turno mq broker --curve-key b.key --curve-clients allowed --curve-brokers brokers
  turno mq broker --no-register                            without a registry
  turno mq broker --no-federation                          keeps its requests to itself

On --bind it speaks ZWP/1, MDP 0.1 and 0.2, and with bare REQ and DEALER clients and REQ workers,
told apart by their first frames. A request that was accepted is given to another worker at once
when the one that had it dies. SIGTERM: deregister, refuse what is new with 503, finish the rest,
end. See docs/mq.md.";

/// A ZeroMQ broker: clients on one side, workers on the other
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct BrokerArgs {
    /// Where clients, and workers that say what they are, connect to
    #[arg(long, value_name = "ADDR", default_value = "tcp://127.0.0.1:9998", value_parser = zmq_address)]
    bind: Vec<String>,
    /// Where workers of the two-port kind connect to
    #[arg(long, value_name = "ADDR", default_value = "tcp://127.0.0.1:9999", value_parser = zmq_address)]
    worker_bind: Vec<String>,
    /// No port for workers of the two-port kind
    #[arg(long, conflicts_with = "worker_bind")]
    no_worker_bind: bool,
    /// The name it is registered under
    #[arg(long, value_name = "NAME", default_value = BROKER_NAME)]
    name: String,
    /// The address to register, where others reach it [default: where it listens]
    #[arg(long, value_name = "IP:PORT")]
    advertise: Option<SocketAddr>,
    /// Do not register
    #[arg(long)]
    no_register: bool,
    /// The service of clients and workers that name none
    #[arg(long, value_name = "NAME", default_value = "default")]
    service: String,
    /// Where trace lines go: a logger's address, or its name in the registry
    #[arg(long, value_name = "NAME|ADDR")]
    logger: Option<String>,
    /// Where pages about it are: / /metrics /v1/broker /health; the dashboard of `turno up` shows it then
    #[arg(long, value_name = "IP:PORT")]
    admin: Option<SocketAddr>,
    #[command(flatten)]
    admin_token: AdminToken,
    /// Keep requests that ask to be acknowledged in this folder, so that they survive a crash
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How long it finishes what it holds when it is stopped
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    drain: Duration,
    #[command(flatten)]
    keys: ListenKeys,
    /// The file of the logger's public key, if it asks for keys
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    curve_logger: Option<PathBuf>,
    #[command(flatten)]
    federation: FederationArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Largest body, in bytes; a larger one gets 413
    #[arg(long, value_name = "BYTES", default_value = MAX_BODY)]
    max_body: usize,
    /// Requests waiting for one service; the next gets 429
    #[arg(long, value_name = "N", default_value_t = Limits::default().queue_length)]
    queue_length: usize,
    /// Bytes of the requests waiting for one service
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().queue_bytes)]
    queue_bytes: usize,
    /// Times a request is given to a worker before its client gets 502
    #[arg(long, value_name = "N", default_value_t = Limits::default().attempts, value_parser = clap::value_parser!(u8).range(1..))]
    attempts: u8,
    /// How long a client waits that does not say it; then it gets 504
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
    /// How long a client waits whose protocol cannot say it
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    foreign_timeout: Duration,
    /// How long a request waits for the first worker of a service nobody serves; then its client gets 404
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    grace: Duration,
    /// How long a worker may keep a request without saying that it works on it
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    lease: Duration,
    /// How long a worker may keep a request whose protocol cannot say so
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    foreign_lease: Duration,
    /// Tell MDP clients of errors by a body of `!ERR` and the code; their protocol has none
    #[arg(long)]
    mdp_errors: bool,
}

/// Serves until a signal stops it.
pub(super) async fn run(args: BrokerArgs, global: &Global) -> Result<(), Failure> {
    let shutdown = daemon::shutdown::on_signal();
    let logger = args
        .logger
        .as_ref()
        .map(|logger| first_of(logger, global))
        .transpose()?;
    let keys = args.keys.are_given();
    let part = args.federation.part(
        &args.name,
        &args.bind,
        (args.no_register, &args.keys),
        global,
    )?;
    let (part, place) = part.unzip();
    let mut server = Server::start(config(&args, logger, part)?).await?;
    for address in server.front() {
        output::line(&format!(
            "{} listening on {address} for clients and workers",
            args.name
        ))?;
    }
    for address in server.back() {
        output::line(&format!(
            "{} listening on {address} for two-port workers",
            args.name
        ))?;
    }
    let pages = match args.admin {
        Some(address) => Some(Pages::serve(
            (address, &args.admin_token),
            &args.name,
            server.asker(),
        )?),
        None => None,
    };
    let admin = pages.as_ref().map(|it| it.address);
    if let Some(place) = place {
        federation::settle(
            place,
            server.front(),
            (args.advertise, args.no_register),
            global,
        )?;
    }
    if !keys {
        warn_if_open(server.front().iter().chain(server.back()));
    }
    daemon::systemd::watchdog(vec![server.pulse()], shutdown.clone());
    // It serves; that others find it by name may take a registry longer.
    output::ready()?;
    let presence = tokio::select! {
        presence = register(&args, &server, admin, global) => presence?,
        () = shutdown.cancelled() => None,
    };
    let failed = tokio::select! {
        () = shutdown.cancelled() => None,
        failed = server.failed() => Some(failed),
    };
    if let Some(presence) = presence {
        presence.leave().await;
        if failed.is_none() {
            // Clients and workers that follow the registry move before they are refused.
            tokio::time::sleep(ROTATION_LAG).await;
        }
    }
    match failed {
        Some(failed) => Ok(failed?),
        None => {
            let status = server.status();
            server.stop().await?;
            summary(&status.borrow());
            if let Some(pages) = pages {
                pages.end().await;
            }
            Ok(())
        }
    }
}

fn config(
    args: &BrokerArgs,
    logger: Option<watch::Receiver<Option<String>>>,
    federation: Option<::broker::federation::Config>,
) -> Result<Config, Failure> {
    let limits = &args.limits;
    let brokers = federation.as_ref().and_then(|it| it.guard.clone());
    Ok(Config {
        front: args.bind.clone(),
        back: if args.no_worker_bind {
            Vec::new()
        } else {
            args.worker_bind.clone()
        },
        limits: Limits {
            max_body: limits.max_body,
            queue_length: limits.queue_length,
            queue_bytes: limits.queue_bytes,
            attempts: limits.attempts,
            grace: limits.grace,
            ..Limits::default()
        },
        manner: Manner {
            name: args.name.clone(),
            default_service: args.service.clone(),
            timeout: limits.timeout,
            foreign_timeout: limits.foreign_timeout,
            lease: limits.lease,
            foreign_lease: limits.foreign_lease,
            mdp_errors: limits.mdp_errors,
            ..Manner::default()
        },
        drain: args.drain,
        logger,
        federation,
        data_dir: args.data_dir.clone(),
        guard: args.keys.guard(brokers)?,
        logger_pass: args.keys.pass_to(args.curve_logger.as_deref())?,
    })
}

async fn register(
    args: &BrokerArgs,
    server: &Server,
    admin: Option<SocketAddr>,
    global: &Global,
) -> Result<Option<MqPresence>, Failure> {
    let (Some(front), false) = (server.front().first(), args.no_register) else {
        return Ok(None);
    };
    let mut meta = vec![
        ("protocol", "zwp/1".to_owned()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("front", server.front().join(",")),
        ("back", server.back().join(",")),
        ("service", args.service.clone()),
    ];
    if let Some(key) = args.keys.public()? {
        meta.push((federation::KEY, key.to_string()));
    }
    if let Some(news) = server.news() {
        meta.push((federation::NEWS, port(news)));
    }
    if let Some(admin) = admin {
        meta.push((view::ADMIN, admin.to_string()));
    }
    let listing = (&meta[..], &[view::TAG][..]);
    MqPresence::start(&args.name, front, args.advertise, listing, global).await
}

/// The first address that a name or address stands for, kept up to date from now on.
fn first_of(named: &str, global: &Global) -> Result<watch::Receiver<Option<String>>, Failure> {
    let mut known = discover::follow(&[named.to_owned()], global)?;
    let (tell, first) = watch::channel(known.borrow_and_update().first().cloned());
    tokio::spawn(async move {
        while known.changed().await.is_ok() {
            let next = known.borrow_and_update().first().cloned();
            tell.send_if_modified(|current| {
                let changed = *current != next;
                *current = next;
                changed
            });
        }
        // An address does not change; whoever reads it may go on doing so.
        tell.closed().await;
    });
    Ok(first)
}

/// Whoever reaches the broker may ask and serve: it should not be everybody.
fn warn_if_open<'a>(addresses: impl Iterator<Item = &'a String>) {
    for address in addresses {
        let host = address
            .strip_prefix("tcp://")
            .and_then(|it| it.rsplit_once(':'));
        let open = host.is_some_and(|(host, _)| {
            let host = host.trim_matches(['[', ']']);
            host.parse()
                .is_ok_and(|ip: std::net::IpAddr| !ip.is_loopback())
        });
        if open {
            warn!(%address, "OPEN TO THE NETWORK without authentication: whoever reaches this address may send requests and serve them; --curve-key and --curve-clients keep strangers out");
        }
    }
}

fn summary(status: &Status) {
    let counters = status.counters;
    info!(
        accepted = counters.accepted,
        answered = counters.answered,
        failed = counters.failed,
        refused = counters.refused,
        requeued = counters.requeued,
        dead_letters = counters.dead_letters,
        handed_over = counters.handed_over,
        taken_over = counters.taken_over,
        given_back = counters.given_back,
        "the broker has ended"
    );
}
