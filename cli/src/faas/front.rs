//! `turno faas front`: functions over HTTP.

use std::{net::SocketAddr, time::Duration};

use ::broker::faas::front::{Config, Front, Limits};
use clap::Args;
use consul::types::{CheckDefinition, ServiceRegistration};
use tokio_util::sync::CancellationToken;

use super::{SystemArgs, discover, reach};
use crate::{
    args::{Global, duration},
    connect,
    failure::Failure,
    output,
    presence::Presence,
};

/// How often the registry asks for its health.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// One that was killed hard should not be remembered for ever. Consul takes nothing shorter.
const FORGET_AFTER: &str = "1m";

const AFTER_HELP: &str = "\
Examples:
  turno faas front
  turno faas front --listen 0.0.0.0:80 --timeout 10s --backlog 200
  turno faas front --no-register --broker 127.0.0.1:8009 --coordinator 127.0.0.1:5555

POST /FUNCTION with a body of JSON calls it. GET /functions tells which there are. GET / is a page
for people. 413: too large; 429: too many wait; 504: no answer in time; else the answer, or its
error. It is registered as NAME too, so `turno lb --route /=NAME` puts a balancer before several of
them.";

/// The front end: functions over HTTP
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct FrontArgs {
    /// Where HTTP clients connect to
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Where the broker sends answers (PULL)
    #[arg(long, value_name = "ADDR", default_value = "tcp://127.0.0.1:8008")]
    answers: String,
    /// The broker's PULL of requests, instead of that in the registry
    #[arg(long, value_name = "ADDR")]
    broker: Option<String>,
    /// The coordinator's XPUB, instead of that in the registry
    #[arg(long, value_name = "ADDR")]
    coordinator: Option<String>,
    /// Requests that wait for their answer; the next gets 429
    #[arg(long, value_name = "N", default_value_t = Limits::default().backlog, value_parser = at_least_one)]
    backlog: usize,
    /// Largest body, in bytes; a larger one gets 413
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().max_body)]
    max_body: usize,
    /// How long a request waits for its answer; then it gets 504
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    system: SystemArgs,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("expected a number".to_owned()),
    }
}

/// Serves until a signal stops it.
pub(super) async fn run(args: FrontArgs, global: &Global) -> Result<(), Failure> {
    let broker = match &args.broker {
        Some(address) => discover::fixed(Some(discover::given(address)?)),
        None => discover::newest(args.system.name_of("broker"), "requests", global)?,
    };
    let coordinator = match &args.coordinator {
        Some(address) => discover::fixed(Some(discover::given(address)?)),
        None if args.system.no_register => discover::fixed(None),
        None => discover::newest(args.system.name_of("coordinator"), "out", global)?,
    };
    let mut front = Front::bind(Config {
        answers: args.answers.clone(),
        broker,
        coordinator,
        limits: Limits {
            backlog: args.backlog,
            max_body: args.max_body,
            timeout: args.timeout,
        },
    })
    .await?;
    let answers = front.answers().to_owned();
    let listener = daemon::net::listen(args.listen)?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure::of("the listener has no address", &error))?;
    output::line(&format!(
        "front end listening on http://{address}, on {answers} for answers"
    ))?;
    if let Some(reached) = reach::reached(&answers, &args.system, global).await? {
        front.advertise(format!("tcp://{reached}"));
    }
    let meta = [
        ("answers", reach::port(&answers)),
        ("http", address.port().to_string()),
    ];
    let service = args.system.name_of("front");
    let http = http_presence(&args.system, address, global).await?;
    let run = |stop: CancellationToken| async move {
        let leave = async {
            stop.cancelled().await;
            if let Some(http) = http {
                http.leave_rotation().await;
            }
            Ok::<_, Failure>(())
        };
        let serving = CancellationToken::new();
        let serve = async { Ok(front.run(listener, serving.clone()).await?) };
        let leave = async {
            leave.await?;
            serving.cancel();
            Ok(())
        };
        tokio::try_join!(serve, leave).map(drop)
    };
    reach::registered(&service, &answers, &meta, (&args.system, global), run).await
}

/// As an HTTP service, for balancers.
async fn http_presence(
    system: &SystemArgs,
    address: SocketAddr,
    global: &Global,
) -> Result<Option<Presence>, Failure> {
    if system.no_register {
        return Ok(None);
    }
    let client = connect::client(global)?;
    let reached = match system.advertise {
        Some(ip) => SocketAddr::new(ip, address.port()),
        None => connect::advertised(address, &client).await,
    };
    let check = CheckDefinition {
        deregister_critical_service_after: Some(FORGET_AFTER.to_owned()),
        ..CheckDefinition::http(format!("http://{reached}/health"), CHECK_INTERVAL)
    };
    let service = ServiceRegistration {
        id: connect::far_id(&system.system, reached),
        checks: vec![check],
        ..ServiceRegistration::new(&system.system, reached.ip().to_string(), reached.port())
    };
    Ok(Some(Presence::start(client, service)))
}
