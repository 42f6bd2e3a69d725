//! Consul's DNS: names under `consul.` answered from the catalog, over UDP and TCP.
//!
//! [`respond`] is a function from a packet and a [`View`] of the catalog to a packet; [`Server`] is the sockets around it.
//! Names, records, rules of truncation and response codes are those of Consul 1.8.7 in its default configuration, as
//! measured on the real agent: no TTL, warning instances served, answers shuffled, at most three over plain UDP. What is
//! on the wire is read and written by the DNS library, not here. It does not know HTTP, nor who writes the catalog.
//!
//! Deliberate differences: a port outside 0..=65535 (which Consul stores) is served as 0 instead of its low bits, long
//! metadata is split as TXT records demand instead of losing the answer, and the client's subnet (ECS) is not echoed.

mod apex;
mod build;
mod name;
mod relay;
mod reply;
mod server;
mod text;
mod trim;
mod view;

pub use reply::{Moment, respond};
pub use server::{DnsError, IDLE, REQUEST_MAX, Server, TCP_CONNECTIONS};
pub use view::View;

/// How a question came, which decides how long the answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram: what the client's EDNS allows, else 512 bytes.
    Udp,
    /// A stream: 64 KiB.
    Tcp,
}

#[cfg(test)]
mod tests;
