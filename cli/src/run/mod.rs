//! `turno run`: wraps any program, so that it is in the registry while it runs.
//!
//! The program needs to know nothing but its port. Leaving goes in the order that loses no request:
//! deregister, give balancers time to notice, then pass the signal on.

mod holder;
mod plan;
mod signals;
pub(crate) mod warden;

use std::{
    net::{IpAddr, SocketAddr},
    process::ExitStatus,
    time::Duration,
};

use clap::{Args, value_parser};
use rustix::process::Signal;
use tokio::time;
use tracing::info;

use self::{signals::Signals, warden::Warden};
use crate::{
    args::{Global, duration},
    connect,
    failure::Failure,
    presence::Presence,
    process::{Process, shell_status},
};

/// A program that was asked to stop gets this long before it is killed; supervisors give us more.
const GRACE: Duration = Duration::from_secs(10);

const AFTER_HELP: &str = "\
Examples:
  turno run --name web -- python3 -m http.server {port}
  turno run --name api --check-http /health -- ./api            it reads PORT from its environment
  turno run --name web --port 8000 --tag v2 --weight 3 -- nginx -g 'daemon off; ...'
  turno run --name web --address 10.0.0.7 --consul http://10.0.0.5:8500 -- ./web
  turno run --name web --address auto --consul http://registry:8500 -- ./web      as in a container

The program gets PORT in its environment; {port} in its arguments is replaced. A first SIGINT or
SIGTERM deregisters it, waits until balancers have noticed, and is then passed on; a second one is
passed on at once; a third one kills. SIGHUP is passed on as it comes. The exit status is the
program's, or 128 and the number of the signal that ended it. If turno itself is killed (SIGKILL),
the program gets SIGTERM, and ten seconds later SIGKILL, from a process that turno starts for that.";

/// Runs a program and keeps it in the registry while it runs
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct RunArgs {
    /// The name of the service
    #[arg(long)]
    name: String,
    /// The id of this instance, its own alone [default: the name and the port; on a network the address too]
    #[arg(long)]
    id: Option<String>,
    /// The port the program is told to listen on; 0 picks a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where others reach the program; it has to listen there. `auto`: this machine's address on the way to the registry
    #[arg(long, value_name = "IP|auto", default_value = "127.0.0.1")]
    address: plan::Address,
    /// A tag; repeatable
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// A fact about the instance; repeatable
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = plan::pair)]
    meta: Vec<(String, String)>,
    /// Its share of the traffic, relative to its peers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=65535))]
    weight: u32,
    /// Check by HTTP: a path of the program, or a whole URL
    #[arg(long, value_name = "PATH", conflicts_with = "check_tcp")]
    check_http: Option<String>,
    /// Check that the port accepts connections; the default
    #[arg(long)]
    check_tcp: bool,
    /// The time between two checks
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    check_interval: Duration,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

/// Runs the program to its end. Its exit status becomes ours.
pub(crate) async fn run(args: RunArgs, global: &Global) -> Result<(), Failure> {
    let client = connect::client(global)?;
    let ip = match args.address {
        plan::Address::Ip(ip) => ip,
        plan::Address::Auto => connect::own_address(&client).await,
    };
    let port = if args.port == 0 {
        free_port(ip)?
    } else {
        args.port
    };
    let service = plan::registration(&args, SocketAddr::new(ip, port))?;
    if let Some(other) = holder::of(&client, &service.id).await {
        return Err(Failure::failed(plan::held(&args, &service.id, other)));
    }
    // Before the program starts, so that no signal can end us and leave it alone.
    let mut signals = Signals::watch()?;
    let mut warden = Warden::start();
    let mut process = Process::spawn(&mut plan::command(&args.command, port))
        .map_err(|error| Failure::failed(plan::cannot_start(&args.command[0], &error)))?;
    if let Some(group) = process.id() {
        warden.watch(group);
    }
    info!(
        pid = process.id(),
        port,
        service = args.name,
        instance = service.id,
        "started"
    );
    let presence = Presence::start(client, service);
    let status = supervise(&mut process, &mut warden, presence, &mut signals).await?;
    warden.dismiss();
    match shell_status(status) {
        0 => Ok(()),
        status => Err(Failure::Status(status)),
    }
}

/// Waits for the end of the program, passing signals on in good order.
async fn supervise(
    process: &mut Process,
    warden: &mut Warden,
    presence: Presence,
    signals: &mut Signals,
) -> Result<ExitStatus, Failure> {
    let first = loop {
        tokio::select! {
            ended = process.wait() => {
                // Deregistering takes time, and the program's number may be another's by then.
                warden.dismiss();
                presence.leave().await;
                return Ok(ended?);
            }
            signal = signals.next() => match signal {
                Signal::HUP => process.signal(Signal::HUP),
                stop => break stop,
            }
        }
    };
    info!("deregistering, then passing the signal on");
    let signal = tokio::select! {
        () = presence.leave_rotation() => first,
        // Somebody is in a hurry: the deregistration goes on by the registry's own checks.
        signal = signals.next() => signal,
    };
    process.signal(signal);
    let deadline = time::Instant::now() + GRACE;
    loop {
        tokio::select! {
            ended = process.wait() => return Ok(ended?),
            () = time::sleep_until(deadline) => break,
            signal = signals.next() => match signal {
                Signal::HUP => process.signal(Signal::HUP),
                _ => break,
            }
        }
    }
    Ok(process.stop(Signal::KILL, GRACE).await?)
}

/// A port nobody has now. Somebody may take it before the program does: then the program says so.
fn free_port(address: IpAddr) -> Result<u16, Failure> {
    let any = SocketAddr::new(address, 0);
    let bound = std::net::TcpListener::bind(any).and_then(|listener| listener.local_addr());
    match bound {
        Ok(address) => Ok(address.port()),
        Err(error) => Err(Failure::failed(format!(
            "cannot find a free port on {address}: {error} (--address must be one of this machine's, or give --port)"
        ))),
    }
}
