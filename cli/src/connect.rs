//! How the commands reach the registry: the environment, overridden by the command line. And how others reach what listens
//! here.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use consul::{Client, Config};
use daemon::backoff::Backoff;
use registrar::registry::Registry;
use tokio::net::UdpSocket;
use tracing::warn;

use crate::{args::Global, failure::Failure};

/// The first pause after the registry's host could not be found, and the longest: names of containers come and go in seconds.
const LOOKUP_RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

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
    Ok(Client::new(over(global, file(Config::from_env())))?)
}

/// How to reach the registry that the command line, else the environment, names.
pub(crate) fn config(global: &Global) -> Config {
    over(global, Config::from_env())
}

/// What the command line says, over anything else.
fn over(global: &Global, mut config: Config) -> Config {
    if let Some(address) = &global.consul {
        config = config.with_address(address);
    }
    if let Some(token) = &global.token {
        config = config.with_token(token.expose());
    }
    config
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

/// Where others reach `listener`: where it listens, or, if that is all addresses, the address by which this machine reaches
/// the registry. Who can ask the registry can reach that too, in a container as on a network of several. Waits until the
/// registry's host is known by name.
pub(crate) async fn advertised(listener: SocketAddr, client: &Client) -> SocketAddr {
    if !listener.ip().is_unspecified() {
        return listener;
    }
    let Some((host, port)) = host(client.address()) else {
        // A socket file: the registry is on this machine.
        return reachable(listener);
    };
    let mut backoff = Backoff::new(LOOKUP_RETRY.0, LOOKUP_RETRY.1);
    let mut told = false;
    loop {
        match towards(&host, port, listener.is_ipv4()).await {
            Ok(ip) => return SocketAddr::new(ip, listener.port()),
            Err(error) => {
                if !told {
                    warn!(registry = host, %error, "cannot tell by which address this machine reaches the registry; tried again");
                    told = true;
                }
                tokio::time::sleep(backoff.next_delay()).await;
            }
        }
    }
}

/// The address by which this machine reaches the registry. Waits as [`advertised`] does.
pub(crate) async fn own_address(client: &Client) -> IpAddr {
    // The family of the registry's address decides.
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    match advertised(any, client).await.ip() {
        // A registry behind a socket file.
        IpAddr::V6(ip) if ip.is_loopback() && host(client.address()).is_none() => {
            Ipv4Addr::LOCALHOST.into()
        }
        ip => ip,
    }
}

/// The id of an instance that others reach over a network: those on other machines may have the same port. Whoever gets the
/// address after it was killed, as containers do, takes its place in the registry too.
pub(crate) fn far_id(service: &str, address: SocketAddr) -> String {
    format!("{service}-{}-{}", address.ip(), address.port())
}

/// This machine's address on the way to `host`. A datagram socket finds it without sending anything.
async fn towards(host: &str, port: u16, ipv4: bool) -> io::Result<IpAddr> {
    let mut addresses = tokio::net::lookup_host((host, port)).await?;
    // Whoever listens on all addresses of one family only is reached by that.
    let Some(there) = addresses.find(|there| there.is_ipv4() || !ipv4) else {
        return Err(io::Error::other("the registry's host has no IPv4 address"));
    };
    let any: IpAddr = match there {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(there).await?;
    Ok(socket.local_addr()?.ip())
}

/// Host and port of a registry's URL; `None` for a socket file.
fn host(url: &str) -> Option<(String, u16)> {
    let url: http::Uri = url.parse().ok()?;
    let port = match url.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return None,
    };
    let host = url.host()?.trim_matches(['[', ']']).to_owned();
    Some((host, url.port_u16().unwrap_or(port)))
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

    #[tokio::test]
    async fn others_reach_us_on_the_way_to_the_registry() {
        for (registry, listener, want) in [
            ("http://127.0.0.1:1", "0.0.0.0:7", "127.0.0.1:7"),
            ("http://[::1]:1", "[::]:7", "[::1]:7"),
            // A name of several families, and a listener of one.
            ("http://localhost:1", "0.0.0.0:7", "127.0.0.1:7"),
            ("http://127.0.0.1:1", "127.0.0.2:7", "127.0.0.2:7"),
            ("unix:///run/consul.sock", "0.0.0.0:7", "127.0.0.1:7"),
        ] {
            let client = Client::new(Config::new(registry)).expect("a client");
            let listener = listener.parse().expect("a literal");
            let address = advertised(listener, &client).await;
            assert_eq!(address.to_string(), want, "{registry} {listener}");
        }
    }

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
