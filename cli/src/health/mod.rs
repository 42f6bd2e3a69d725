//! `turno health`: asks a program by HTTP, or greets a ZeroMQ peer, for health checks of containers and scripts.
//!
//! An answer by HTTP is judged by its status code alone, a ZeroMQ peer by whether it greets back.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use http::{Method, Uri};

use crate::{failure::Failure, http_client};

/// The port of a URL that names none.
const HTTP_PORT: u16 = 80;

/// How long a ZeroMQ peer may take to greet back: as long as an answer by HTTP.
const GREETING: Duration = Duration::from_secs(5);

const AFTER_HELP: &str = "\
Examples:
  turno health                                      the admin listener of a balancer on this machine
  turno health http://127.0.0.1:8500/v1/status/leader  a registry
  turno health zmtp://127.0.0.1:9998                a message broker or logger
  TURNO_HEALTH_URL=http://127.0.0.1:8080/health turno health

Exit status: 0 for an answer of 2xx, or a greeting; else 1.";

/// Asks whether something is well, by HTTP or as a ZeroMQ peer
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct HealthArgs {
    /// What to ask
    #[arg(
        value_name = "URL",
        env = "TURNO_HEALTH_URL",
        default_value = "http://127.0.0.1:8081/health"
    )]
    url: Uri,
}

/// Asks once. Succeeds silently.
pub(crate) async fn run(args: HealthArgs) -> Result<(), Failure> {
    if args.url.scheme_str() == Some("zmtp") {
        return greet(&args.url).await;
    }
    let (host, port, path) = parts(&args.url)?;
    let address = resolved(&host, port).await?;
    http_client::call(address, None, Method::GET, &path).await?;
    Ok(())
}

async fn greet(url: &Uri) -> Result<(), Failure> {
    let Some(address) = url.authority().filter(|it| it.port().is_some()) else {
        return Err(Failure::usage(format!(
            "{url} names no peer: expected zmtp://HOST:PORT"
        )));
    };
    match tokio::time::timeout(GREETING, registrar::check::greet(address.as_str())).await {
        Ok(Ok(_version)) => Ok(()),
        Ok(Err(reason)) => Err(Failure::failed(reason)),
        Err(_) => Err(Failure::failed(format!(
            "{address} has not greeted within {GREETING:?}"
        ))),
    }
}

fn parts(url: &Uri) -> Result<(String, u16, String), Failure> {
    let (Some("http"), Some(host)) = (url.scheme_str(), url.host()) else {
        return Err(Failure::usage(format!(
            "{url} cannot be asked: expected http://HOST:PORT/PATH or zmtp://HOST:PORT"
        )));
    };
    let host = host.trim_matches(['[', ']']).to_owned();
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    Ok((host, url.port_u16().unwrap_or(HTTP_PORT), path.to_owned()))
}

async fn resolved(host: &str, port: u16) -> Result<SocketAddr, Failure> {
    let mut addresses = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| Failure::of(format_args!("cannot find {host}"), &error))?;
    addresses
        .next()
        .ok_or_else(|| Failure::failed(format!("{host} has no address")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_a_port_and_a_path() {
        for (url, want) in [
            ("http://a:1/b?c", Some(("a", 1, "/b?c"))),
            ("http://[::1]:1", Some(("::1", 1, "/"))),
            ("http://a", Some(("a", 80, "/"))),
            ("https://a", None),
            ("/health", None),
        ] {
            let parts = parts(&url.parse().expect("a URI")).ok();
            let want = want.map(|(host, port, path)| (host.to_owned(), port, path.to_owned()));
            assert_eq!(parts, want, "{url}");
        }
    }
}
