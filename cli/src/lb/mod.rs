//! `turno lb`: the balancer by itself, in front of what the registry lists.
//!
//! It makes one configuration of a file or of flags, opens the admin listener, and waits with the
//! balancer for its first snapshot. What to do with a request is the lb crate's business.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
};

use ::lb::{
    Balancer, StartError,
    config::{Config, ConfigError, ConfigFile, Policy, RouteConfig},
};
use clap::Args;
use daemon::systemd::{self, State};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    admin::{Admin, AdminToken},
    args::Global,
    connect,
    failure::Failure,
    output,
};

const AFTER_HELP: &str = "\
Examples:
  turno lb --listen 127.0.0.1:8000 --route /=web
  turno lb --route shop.example/=web --route /api=api,strip-prefix,policy=least-connections
  turno lb --config lb.toml --admin 127.0.0.1:8081
  curl http://127.0.0.1:8081/v1/pools

Policies: round-robin, weighted-round-robin, least-connections, weighted-least-connections,
two-choices, random.";

/// The balancer, in front of what the registry lists
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct LbArgs {
    /// A configuration file (TOML), instead of --listen, --route and --policy
    #[arg(long, value_name = "FILE", conflicts_with_all = ["listen", "routes", "policy"])]
    config: Option<PathBuf>,
    /// Where to accept requests [default: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// A rule from host and path to a service, `[HOST]/PATH=SERVICE[,strip-prefix][,policy=NAME]`; repeatable
    #[arg(long = "route", value_name = "ROUTE")]
    routes: Vec<String>,
    /// How an instance is picked, for routes that do not say [default: round-robin]
    #[arg(long, value_name = "NAME")]
    policy: Option<Policy>,
    /// Where to answer for health, metrics, routes and pools; nowhere if not given
    #[arg(long, value_name = "IP:PORT")]
    admin: Option<SocketAddr>,
    #[command(flatten)]
    token: AdminToken,
}

/// Balances until a signal stops it, then lets the requests in flight finish.
pub(crate) async fn run(
    args: LbArgs,
    global: &Global,
    inherited: Option<TcpListener>,
) -> Result<(), Failure> {
    // Watched before it is read: no change can fall between the two.
    let file = args.config.as_ref().map(ConfigFile::watch).transpose()?;
    let config = config(&args)?;
    let client = connect::client(global)?;
    let admin = config
        .admin
        .map(|address| Admin::listen(address, args.token))
        .transpose()?;
    let admin_address = admin.as_ref().map(Admin::local_addr).transpose()?;
    let shutdown = daemon::shutdown::on_signal();
    let hangup = signal(SignalKind::hangup())?;

    debug!(registry = client.address(), services = ?config.discovered(), "waiting for the first snapshot");
    let mut balancer = tokio::select! {
        // First: a stop while waiting is no failure.
        biased;
        () = shutdown.cancelled() => return Ok(()),
        started = start(inherited, config, client, shutdown.clone()) => started?,
    };
    output::line(&format!(
        "balancer listening on http://{}",
        balancer.local_addr()
    ))?;
    let stop_admin = CancellationToken::new();
    let pages = balancer.admin();
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
    systemd::watchdog(balancer.pulses(), shutdown.clone());
    output::ready()?;

    tokio::select! {
        () = follow(file, hangup, &mut balancer) => {}
        () = shutdown.cancelled() => {}
    }
    balancer.stopped().await;
    // The admin pages last longest: they show the drain.
    stop_admin.cancel();
    if let Some(served) = served {
        served.await?;
    }
    Ok(())
}

/// On the socket that systemd holds, if it gave us one; else on an address of our own.
async fn start(
    inherited: Option<TcpListener>,
    config: Config,
    client: consul::Client,
    shutdown: CancellationToken,
) -> Result<Balancer, StartError> {
    match inherited {
        Some(socket) => Balancer::start_inherited(socket, config, client, shutdown).await,
        None => Balancer::start(config, client, shutdown).await,
    }
}

/// Takes new routes from the file whenever it changes, and on SIGHUP. A broken file changes nothing.
async fn follow(mut file: Option<ConfigFile>, mut hangup: Signal, balancer: &mut Balancer) {
    loop {
        let read = tokio::select! {
            read = changed(file.as_mut()) => read,
            _ = hangup.recv() => match &mut file {
                Some(file) => {
                    systemd::notify(State::Reloading);
                    file.reread()
                }
                None => {
                    warn!("SIGHUP: there is no --config FILE to read again");
                    continue;
                }
            },
        };
        match read {
            Ok(config) => {
                let routes = config.routes.len();
                let later = balancer.reload(config);
                info!(
                    routes,
                    "the configuration file was read again: its routes are in use"
                );
                systemd::notify(State::Status(&format!("routes from the file: {routes}")));
                if !later.is_empty() {
                    warn!("needs a new start to take effect: {}", later.join(", "));
                }
            }
            Err(error) => {
                warn!("the configuration in use stays: {error}");
                systemd::notify(State::Status(&format!("the file has a mistake: {error}")));
            }
        }
        systemd::notify(State::Ready);
    }
}

async fn changed(file: Option<&mut ConfigFile>) -> Result<Config, ConfigError> {
    match file {
        Some(file) => file.changed().await,
        None => std::future::pending().await,
    }
}

/// The admin page a request asks for, or 404.
pub(crate) fn page<B>(
    pages: &::lb::admin::Admin,
    request: &http::Request<B>,
) -> daemon::http::Reply {
    let uri = request.uri();
    pages
        .respond(request.method(), uri.path(), uri.query())
        .unwrap_or_else(|| {
            let text = "no such page; there are / /health /ready /metrics /v1/routes /v1/pools\n";
            daemon::http::text(http::StatusCode::NOT_FOUND, text)
        })
}

fn config(args: &LbArgs) -> Result<Config, Failure> {
    let mut config = match &args.config {
        Some(path) => Config::load(path)?,
        None => from_flags(args)?,
    };
    config.admin = args.admin.or(config.admin);
    Ok(config)
}

fn from_flags(args: &LbArgs) -> Result<Config, Failure> {
    if args.routes.is_empty() {
        return Err(Failure::usage(
            "nothing to balance: give --route /=SERVICE, or --config FILE",
        ));
    }
    let default = Config::default();
    let routes = args
        .routes
        .iter()
        .map(|text| route(text, args.policy))
        .collect::<Result<_, _>>()?;
    let config = Config {
        listen: args.listen.unwrap_or(default.listen),
        routes,
        ..default
    };
    config
        .checked()
        .map_err(|error| Failure::usage(error.to_string()))
}

/// A route as written, with the policy of the command line unless it names its own.
pub(crate) fn route(text: &str, policy: Option<Policy>) -> Result<RouteConfig, Failure> {
    let mut route: RouteConfig = text
        .parse()
        .map_err(|error: ::lb::config::RouteError| Failure::usage(error.to_string()))?;
    if let Some(policy) = policy.filter(|_| !text.contains(",policy=")) {
        route.policy = policy;
    }
    Ok(route)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_keeps_its_own_policy() {
        let cases = [
            ("/=web", None, Policy::RoundRobin),
            ("/=web", Some(Policy::Random), Policy::Random),
            (
                "/=web,policy=least-connections",
                Some(Policy::Random),
                Policy::LeastConnections,
            ),
        ];
        for (text, policy, want) in cases {
            assert_eq!(
                route(text, policy).expect("a route").policy,
                want,
                "{text} {policy:?}"
            );
        }
        assert!(matches!(route("web", None), Err(Failure::Usage(_))));
    }
}
