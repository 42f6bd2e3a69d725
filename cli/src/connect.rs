//! How the commands reach the registry: the environment, overridden by the command line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use consul::{Client, Config};
use registrar::registry::Registry;

use crate::{args::Global, failure::Failure};

/// A client of the registry that the command line, else the environment, names.
pub(crate) fn client(global: &Global) -> Result<Client, Failure> {
    client_with(global, |config| config)
}

/// The same, with what a configuration file says of the registry: it counts more than the environment, and less than
/// the command line.
pub(crate) fn client_with(
    global: &Global,
    file: impl FnOnce(Config) -> Config,
) -> Result<Client, Failure> {
    let mut config = file(Config::from_env());
    if let Some(address) = &global.consul {
        config = config.with_address(address);
    }
    if let Some(token) = &global.token {
        config = config.with_token(token.expose());
    }
    Ok(Client::new(config)?)
}

/// A client of the registry in this process, with the token that only this process has. Where that speaks TLS, the
/// environment says which authority to believe (`CONSUL_CACERT`) and what to show, as for every other client.
pub(crate) fn embedded(registry: &Registry) -> Result<Client, Failure> {
    let config = if registry.is_tls() {
        Config::from_env().with_address(url(registry))
    } else {
        Config::new(url(registry))
    };
    Ok(Client::new(
        config.with_token(registry.own_token().expose()),
    )?)
}

/// Where the registry in this process is reached from this machine.
pub(crate) fn url(registry: &Registry) -> String {
    let scheme = if registry.is_tls() { "https" } else { "http" };
    format!("{scheme}://{}", reachable(registry.local_addr()))
}

/// Where a listener can be reached from this machine: one on all addresses is reached by loopback.
pub(crate) fn reachable(mut listener: SocketAddr) -> SocketAddr {
    match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listener.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listener.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listener
}

/// Fails if `address` cannot be listened on, before anything is started that would have to be stopped
/// again.
pub(crate) fn free(address: SocketAddr) -> Result<(), Failure> {
    daemon::net::listen(address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_reached_by_loopback() {
        for (listener, want) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("127.0.0.2:1", "127.0.0.2:1"),
        ] {
            let listener = listener.parse().expect("a literal");
            assert_eq!(reachable(listener).to_string(), want);
        }
    }
}
