//! DNS after the move: questions are passed on to the target's own DNS, on the port its agent names. Where there is
//! none, or it does not answer, the answer is SERVFAIL: a resolver then asks elsewhere, and keeps nothing.

use std::net::SocketAddr;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Upstream;
use crate::dns::Server;
use crate::join::Target;

/// How often the target is asked for its DNS port while it has not said it.
const ASK_PAUSE: Duration = Duration::from_secs(2);
/// How often afterwards: it may be restarted with another one.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// Serves until `shutdown`.
pub(in crate::registry) async fn relay(
    server: Server,
    upstream: &Upstream,
    shutdown: CancellationToken,
) {
    tokio::select! {
        () = server.relay(upstream.dns.subscribe(), shutdown.clone()) => {}
        () = ask(upstream) => {}
    }
}

/// Keeps asking where the target answers DNS.
async fn ask(upstream: &Upstream) {
    loop {
        let place = place(upstream).await;
        let known = place.is_some();
        if let Some(place) = place {
            let fresh = Some(place);
            let changed = upstream.dns.send_if_modified(|now| {
                let changed = *now != fresh;
                *now = fresh;
                changed
            });
            if changed {
                tracing::info!(address = %place, "DNS questions are passed on");
            }
        }
        tokio::time::sleep(if known { ASK_AGAIN } else { ASK_PAUSE }).await;
    }
}

async fn place(upstream: &Upstream) -> Option<SocketAddr> {
    let port = Target::ask(&upstream.own).await.ok()?.dns_port?;
    let host = host(&upstream.address)?;
    let mut found = tokio::net::lookup_host((host, port)).await.ok()?;
    found.next()
}

/// The host of an address as people write it.
fn host(address: &str) -> Option<&str> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let rest = rest.split('/').next().unwrap_or_default();
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    if let Some(v6) = rest.strip_prefix('[') {
        return v6.split(']').next();
    }
    let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host);
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address() {
        for (address, expected) in [
            ("http://consul:8500", Some("consul")),
            ("10.0.0.1:8500", Some("10.0.0.1")),
            ("https://u:p@consul.example/x", Some("consul.example")),
            ("http://[::1]:8500", Some("::1")),
            ("unix:///run/consul.sock", None),
            ("consul", Some("consul")),
        ] {
            assert_eq!(host(address), expected, "{address}");
        }
    }
}
