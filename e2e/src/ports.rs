//! Hands out TCP ports for programs that must be told theirs.
//!
//! Where a program can listen on port 0 and say what it got, that is better; Consul, HAProxy and nginx cannot. The ports come
//! from below the range that Linux uses for outgoing connections, so that the load of a test never takes one.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Mutex;

/// Below 32768, where outgoing connections begin, and above what services commonly use.
const RANGE: std::ops::Range<u16> = 13_000..32_000;

/// The range holds 19,000 ports: if this many in a row are taken, something is wrong with the machine.
const TRIES: usize = 1_000;

/// Never handed out twice by this process, so tests that run side by side do not meet.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port of 127.0.0.1 that nothing listens on, for TCP and UDP.
///
/// # Panics
/// If no free one can be found.
pub fn free() -> u16 {
    for _ in 0..TRIES {
        let port = fastrand::u16(RANGE);
        let fresh = GIVEN
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(port);
        if fresh
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        {
            return port;
        }
    }
    panic!("no free port among {TRIES} tried in {RANGE:?}");
}

/// [`free`], as an address of 127.0.0.1.
pub fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free()))
}
