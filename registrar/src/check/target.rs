//! Which addresses a check may be sent to.
//!
//! Whoever may register may name any target, so the ones that only an attacker names are refused:
//! link-local addresses, behind which clouds offer machines their credentials. Names are resolved
//! here, so a name that points there is refused as well. Knows nothing of HTTP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The metadata service of one large cloud on IPv6; its IPv4 address is link-local.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);

/// The same of another cloud, inside the range for carriers' own use (RFC 6598).
const METADATA_V4: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);

/// Whether a check must not be sent to this address.
pub(super) fn is_refused(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local() || ip == METADATA_V4,
        IpAddr::V6(ip) => ip == METADATA_V6,
    }
}

/// The reason given for a refused address.
pub(super) fn refusal(ip: IpAddr) -> String {
    format!("checks are not sent to {ip}: it is a link-local or metadata address")
}

/// Resolves `host:port` or an address with a port. Fails when only refused addresses are left.
pub(super) async fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    allowed(tokio::net::lookup_host(address).await?.collect())
}

fn allowed(found: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    let (refused, allowed): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|address| is_refused(address.ip()));
    match (allowed.is_empty(), refused.first()) {
        (false, _) => Ok(allowed),
        (true, Some(address)) => Err(io::Error::other(refusal(address.ip()))),
        (true, None) => Err(io::Error::other("the name has no address")),
    }
}

/// Name resolution of HTTP checks: the system's, less the refused addresses.
#[derive(Debug)]
pub(super) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is put in by the caller.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let addresses: Addrs = Box::new(allowed(found)?.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_and_link_local_addresses_are_refused_in_every_spelling() {
        for ip in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "fd00:ec2::254",
            "100.100.100.200",
        ] {
            assert!(is_refused(ip.parse().expect("an address")), "{ip}");
        }
    }

    #[test]
    fn ordinary_addresses_are_allowed() {
        for ip in [
            "127.0.0.1",
            "10.0.0.1",
            "192.168.1.1",
            "100.100.100.201",
            "::1",
            "fd00::1",
        ] {
            assert!(!is_refused(ip.parse().expect("an address")), "{ip}");
        }
    }

    #[test]
    fn a_name_keeps_the_addresses_that_are_allowed() {
        let good = SocketAddr::from(([127, 0, 0, 1], 80));
        let bad = SocketAddr::from(([169, 254, 169, 254], 80));
        assert_eq!(allowed(vec![bad, good]).expect("one is left"), [good]);
        assert!(allowed(vec![bad]).is_err());
        assert!(allowed(vec![]).is_err());
    }
}
