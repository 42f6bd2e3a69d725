//! Ports for the real Consul that some tests start: unlike ours it must be told them. They come from below the range that
//! Linux uses for outgoing connections, so that no load on the machine takes one between the look and Consul's start.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

/// Below 32768, where outgoing connections begin, and above what services commonly use.
const RANGE: std::ops::Range<u16> = 13_000..32_000;

/// If so many in a row are taken, something is wrong with the machine.
const TRIES: usize = 1_000;

/// Never given twice by one process, so that tests that run side by side do not meet.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Ports of 127.0.0.1 that nobody listens on, for TCP and UDP: gossip wants the same number for both.
pub(crate) fn free<const N: usize>() -> [u16; N] {
    std::array::from_fn(|_| one())
}

fn one() -> u16 {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..TRIES {
        let port = fastrand::u16(RANGE);
        if given.insert(port)
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        {
            return port;
        }
    }
    panic!("no free port among {TRIES} tried in {RANGE:?}");
}
