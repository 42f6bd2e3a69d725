//! `turno up`: registry, replicas and balancer on this machine, by one command.
//!
//! It joins the parts in the order in which they need each other, and ends them in the other order:
//! balancer, replicas, registry. What each part does is its own business.

pub(crate) mod api;
mod board;
mod brokers;
mod overview;
mod replica;
mod report;
mod stack;
mod supervisor;

use std::{net::SocketAddr, time::Duration};

use ::lb::{
    Balancer,
    config::{Config, Policy, RouteConfig},
};
use clap::Args;
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::{
    api::MAX_REPLICAS,
    board::Board,
    overview::Overview,
    replica::Recipe,
    stack::Part,
    supervisor::{Desired, Supervisor},
};
use crate::{
    admin::{Admin, AdminToken},
    args::Global,
    connect,
    failure::Failure,
    registry::Switches,
};

/// The service whose replicas are run.
const SERVICE: &str = "hello";

/// The first replicas are registered within this, or something is wrong and the balancer starts
/// without them: a start takes a second or so on a busy machine.
const FIRST_REPLICAS: Duration = Duration::from_secs(15);

const AFTER_HELP: &str = "\
Examples:
  turno up
  turno up --replicas 5 --policy least-connections
  turno up --consul http://127.0.0.1:8500        with that registry instead of the embedded one
  turno up --listen 127.0.0.1:0 --admin 127.0.0.1:0 --registry-listen 127.0.0.1:0
  turno scale hello=5                            while it runs, from another terminal
  turno up --data-dir /var/lib/turno --dns-listen 127.0.0.1:8600

CONSUL_HTTP_ADDR does not count here: only --consul makes it register in a registry of others.";

/// Everything on this machine: registry, replicas of `hello`, balancer
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct UpArgs {
    /// How many replicas to keep running: 0 to 64
    #[arg(long, value_name = "N", default_value = "3", value_parser = replicas)]
    replicas: usize,
    /// Where the balancer accepts requests
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where health, metrics, routes, pools and the replicas are shown
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8081")]
    admin: SocketAddr,
    /// Where the embedded registry listens [default: 127.0.0.1:8500]
    #[arg(long, value_name = "IP:PORT", conflicts_with = "consul")]
    registry_listen: Option<SocketAddr>,
    /// How a replica is picked
    #[arg(long, value_name = "NAME", default_value_t)]
    policy: Policy,
    #[command(flatten)]
    token: AdminToken,
    #[command(flatten)]
    switches: Switches,
}

fn replicas(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count <= MAX_REPLICAS => Ok(count),
        _ => Err(format!("expected 0 to {MAX_REPLICAS}")),
    }
}

/// Runs until a signal stops it, then takes everything down in good order.
pub(crate) async fn run(args: UpArgs, global: &Global) -> Result<(), Failure> {
    let shutdown = daemon::shutdown::on_signal();
    // The doors first: a port in use should be said before processes are started.
    connect::free(args.listen)?;
    let admin = Admin::listen(args.admin, args.token)?;
    let (registry, client) = stack::registry(args.registry_listen, &args.switches, global).await?;

    let (board, desired) = (Board::default(), Desired::new(args.replicas));
    let recipe = Recipe {
        program: std::env::current_exe()
            .map_err(|error| Failure::of("cannot find this program's own file", &error))?,
        log_format: global.log_format,
        client: client.clone(),
        board: board.clone(),
    };
    let supervisor = Supervisor::new(recipe, desired.clone());
    let replicas = Part::spawn(|stop| supervisor.run(stop));
    let front = Front {
        admin,
        config: balancer_config(args.listen, args.policy),
        registry: client.address().to_owned(),
        embedded: registry.is_some(),
        board,
        desired,
    };
    let ended = tokio::select! {
        ended = front.run(client, &shutdown) => ended,
        gone = stack::gone(registry.as_ref()) => Err(gone),
    };
    replicas.stop().await;
    if let Some(registry) = registry {
        registry.stop().await;
    }
    ended
}

fn balancer_config(listen: SocketAddr, policy: Policy) -> Config {
    let route: RouteConfig = format!("/={SERVICE}").parse().expect("it is a route");
    Config {
        listen,
        routes: vec![RouteConfig { policy, ..route }],
        ..Config::default()
    }
}

/// The side that clients and people see: the balancer, the admin pages, the lines on the terminal.
#[derive(Debug)]
struct Front {
    admin: Admin,
    config: Config,
    registry: String,
    embedded: bool,
    board: Board,
    desired: Desired,
}

impl Front {
    /// Starts once the first replicas are registered, and runs until `shutdown`.
    async fn run(
        self,
        client: consul::Client,
        shutdown: &CancellationToken,
    ) -> Result<(), Failure> {
        let stop = CancellationToken::new();
        let start = async {
            // So that the balancer's first snapshot has them all.
            let replicas = self.board.registered(self.desired.count());
            if time::timeout(FIRST_REPLICAS, replicas).await.is_err() {
                warn!(limit = ?FIRST_REPLICAS, "not all replicas are registered yet: going on without them");
            }
            Balancer::start(self.config, client.clone(), stop.clone()).await
        };
        let balancer = tokio::select! {
            balancer = start => balancer?,
            () = shutdown.cancelled() => return Ok(()),
        };
        let changes = balancer.changes();
        let overview = Overview {
            registry: self.registry,
            client: client.clone(),
            balancer: balancer.local_addr(),
            admin: self.admin.local_addr()?,
            board: self.board,
            desired: self.desired,
            pages: balancer.admin(),
        };
        let first = overview.view().await;
        let pages =
            Part::spawn(|stop| self.admin.serve(move |r| overview.clone().respond(r), stop));
        let said = report::all(&first, self.embedded, changes, shutdown).await;
        stop.cancel();
        balancer.stopped().await;
        pages.stop().await;
        said
    }
}
