//! `turno microservice hello`: answers one line that names the instance that answered.
//!
//! The line it prints first, with its address at the end, is read by people and by `turno up`.

use std::{
    io::Read,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use clap::Args;
use consul::{
    Client,
    types::{CheckDefinition, ServiceRegistration},
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{args::Global, connect, failure::Failure, output, presence::Presence};

/// How often the registry asks for our health. Consul has no shorter interval; a failure shows soon.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// An answer that takes longer is none: a machine that is gone should be noticed soon.
const CHECK_TIMEOUT: &str = "2s";

/// Consul takes nothing shorter.
const FORGET_AFTER: &str = "1m";

const AFTER_HELP: &str = "\
Examples:
  turno microservice hello                     on a free port, which it prints
  turno microservice hello --register          and in the registry, until it is stopped
  turno microservice hello --listen 0.0.0.0:9000 --register --consul http://registry:8500
  PORT=9000 turno microservice hello           where the environment says
  curl http://127.0.0.1:9000/sleep/500         slow on request
  curl http://127.0.0.1:9000/status/503        failing on request";

/// Answers one line that names the instance; can be slow or fail on request
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct HelloArgs {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1 and the PORT of the environment, else 0]
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// The name of the service
    #[arg(long, default_value = "hello")]
    name: String,
    /// The name of this instance [default: the service's name and the port, with the address between them if it
    /// listens on all addresses]
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
    /// What to say besides the instance's name
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// Where others reach this instance, if not where it listens. One that listens on all addresses is reached by the one
    /// that leads to the registry
    #[arg(long, value_name = "IP[:PORT]", value_parser = advertise, requires = "register")]
    advertise: Option<(IpAddr, Option<u16>)>,
    /// Register in the registry with a check on /health, deregister when stopped
    #[arg(long)]
    register: bool,
    /// Stop when standard input ends: so that a child does not outlive `turno up`
    #[arg(long, hide = true)]
    exit_on_stdin_close: bool,
}

/// Serves until a signal stops it; then it deregisters first.
pub(super) async fn run(args: HelloArgs, global: &Global) -> Result<(), Failure> {
    let wanted = match args.listen {
        Some(address) => address,
        None => SocketAddr::from((
            Ipv4Addr::LOCALHOST,
            port(std::env::var("PORT").ok().as_deref())?,
        )),
    };
    let client = if args.register {
        Some(connect::client(global)?)
    } else {
        None
    };
    let shutdown = daemon::shutdown::on_signal();
    if args.exit_on_stdin_close {
        stop_with_stdin(shutdown.clone());
    }
    let listener = daemon::net::listen(wanted)?;
    let address = listener
        .local_addr()
        .map_err(|e| Failure::of("the listener has no address", &e))?;
    let reached = tokio::select! {
        reached = reached(&args, address, client.as_ref()) => reached,
        () = shutdown.cancelled() => return Ok(()),
    };
    let instance = args.instance.unwrap_or_else(|| {
        if address.ip().is_unspecified() && !reached.ip().is_loopback() {
            connect::far_id(&args.name, reached)
        } else {
            format!("{}-{}", args.name, address.port())
        }
    });
    output::line(&format!("{instance} listening on http://{address}"))?;

    let presence =
        client.map(|client| Presence::start(client, registration(&args.name, &instance, reached)));
    let config = ::microservice::hello::Config {
        instance,
        message: args.message,
    };
    // Requests are served until balancers have noticed that we leave, so it stops by a token of its own.
    let stop_serving = CancellationToken::new();
    let leave = async {
        shutdown.cancelled().await;
        if let Some(presence) = presence {
            presence.leave_rotation().await;
        }
        stop_serving.cancel();
        Ok::<(), Failure>(())
    };
    let app = ::microservice::hello::app(config);
    let serve = async { Ok::<(), Failure>(app.serve(listener, stop_serving.clone()).await?) };
    tokio::try_join!(serve, leave)?;
    Ok(())
}

/// Where others reach this instance.
async fn reached(args: &HelloArgs, address: SocketAddr, client: Option<&Client>) -> SocketAddr {
    match (args.advertise, client) {
        (Some((ip, port)), _) => SocketAddr::new(ip, port.unwrap_or(address.port())),
        (None, Some(client)) => connect::advertised(address, client).await,
        (None, None) => connect::reachable(address),
    }
}

fn registration(name: &str, instance: &str, address: SocketAddr) -> ServiceRegistration {
    let check = CheckDefinition {
        timeout: Some(CHECK_TIMEOUT.to_owned()),
        // One that was killed hard should not be remembered for ever.
        deregister_critical_service_after: Some(FORGET_AFTER.to_owned()),
        ..CheckDefinition::http(format!("http://{address}/health"), CHECK_INTERVAL)
    };
    ServiceRegistration {
        id: instance.to_owned(),
        checks: vec![check],
        ..ServiceRegistration::new(name, address.ip().to_string(), address.port())
    }
}

/// Reads `IP` or `IP:PORT`.
fn advertise(text: &str) -> Result<(IpAddr, Option<u16>), String> {
    let read = match text.parse::<SocketAddr>() {
        Ok(address) => Some((address.ip(), Some(address.port()))),
        Err(_) => text.parse().ok().map(|ip| (ip, None)),
    };
    match read {
        Some((ip, port)) if !ip.is_unspecified() && port != Some(0) => Ok((ip, port)),
        _ => Err("expected an IP address that others can connect to, or IP:PORT".to_owned()),
    }
}

/// The port that the environment asks for: how platforms tell a program where to listen.
fn port(variable: Option<&str>) -> Result<u16, Failure> {
    let Some(text) = variable.filter(|text| !text.is_empty()) else {
        return Ok(0);
    };
    text.parse().map_err(|_| {
        Failure::usage(format!(
            "PORT={text} in the environment is no port: use 0 to 65535, or give --listen"
        ))
    })
}

/// Cancels `shutdown` when standard input ends. A thread, because reading it cannot be cancelled.
fn stop_with_stdin(shutdown: CancellationToken) {
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut ignored = [0; 64];
        while matches!(input.read(&mut ignored), Ok(1..)) {}
        info!("standard input ended: stopping");
        shutdown.cancel();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_a_port_or_none() {
        for (variable, want) in [
            (None, Some(0)),
            (Some(""), Some(0)),
            (Some("9000"), Some(9000)),
            (Some("65536"), None),
            (Some("http"), None),
        ] {
            assert_eq!(port(variable).ok(), want, "{variable:?}");
        }
    }

    #[test]
    fn an_address_to_advertise_is_one_to_connect_to() {
        for (text, good) in [
            ("10.0.0.7", true),
            ("10.0.0.7:80", true),
            ("[::1]:80", true),
            ("::1", true),
            ("0.0.0.0", false),
            ("10.0.0.7:0", false),
            ("host", false),
        ] {
            assert_eq!(advertise(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn an_instance_is_registered_with_a_check_on_its_health() {
        let address = "127.0.0.1:9000".parse().expect("a literal");
        let service = registration("hello", "hello-9000", address);
        assert_eq!((service.id.as_str(), service.port), ("hello-9000", 9000));
        assert_eq!(
            service.checks[0].http.as_deref(),
            Some("http://127.0.0.1:9000/health")
        );
    }
}
