//! The only place that knows the ZeroMQ library, behind the few sockets that turno uses.
//!
//! What the library leaves to its user is settled here once: sends never wait, messages and handshakes have limits, peers
//! are pinged, a connection's end comes after its last message. ROUTER, which everything passes, and the PUB that listens do
//! without its sockets and take its codec only. Whoever changes the library changes this folder, and has the conformance tests to pass. It must not
//! know what frames mean.

pub mod curve;
mod dealer;
mod hub;
mod pipe;
mod pipeline;
mod publisher;
mod redial;
mod router;

use std::time::Duration;

use bytes::Bytes;
use omq_tokio::{Endpoint, Message, Options, ReconnectPolicy, TrySendError};

#[cfg(any(test, fuzzing))]
pub(crate) use self::router::fuzzing;
pub use self::{
    dealer::{Dealer, DealerEvent},
    hub::{Hub, HubEvent},
    pipe::{Pipe, PipeEvent},
    pipeline::{Pull, Push},
    publisher::{Publisher, PublisherEvent},
    router::{Link, Router, RouterEvent},
};

/// Frames of a message.
type Frames = Vec<Bytes>;

/// Handshakes under way at once: more wait in the kernel's queue. Silent strangers give up their place after
/// [`HANDSHAKE`].
const MAX_HANDSHAKES: usize = 4096;
/// A handshake takes one round trip; who has not finished by then never will.
const HANDSHAKE: Duration = Duration::from_secs(2);
/// How often a connection without traffic is pinged …
const PING: Duration = Duration::from_secs(2);
/// … and after which silence it is given up: three pings.
const PING_TIMEOUT: Duration = Duration::from_secs(6);
/// A peer that has not read for so long is given up, with all that waits for it.
const STUCK: Duration = Duration::from_secs(30);
/// Messages waiting for one peer: then sends to it fail.
const SEND_QUEUE: u32 = 1000;
/// Messages received and not yet taken: then the peers have to wait.
const RECEIVE_QUEUE: u32 = 1000;
/// Connections that come and go unseen before the list of connections is read anew.
const MONITOR_QUEUE: usize = 16_384;
/// How often connections are looked at for their silence.
const SWEEP: Duration = Duration::from_millis(500);
/// Time to send what is queued when a socket closes.
const LINGER: Duration = Duration::from_secs(2);
/// Waits between tries to connect, from the first to the longest.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// Besides the body, a message has an envelope and headers.
const BESIDES_BODY: usize = 64 * 1024;

/// What can be wrong with a socket.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be understood, or not by this build.
    #[error("{address:?} is no address for ZeroMQ: {reason}; use tcp://HOST:PORT or ipc://PATH")]
    Address {
        /// As given.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// It cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Bind {
        /// As given.
        address: String,
        /// Why.
        reason: String,
    },
    /// The socket has failed, or was closed.
    #[error("the ZeroMQ socket has ended: {0}")]
    Ended(String),
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SendError {
    /// Too much waits for this peer already.
    #[error("the peer reads too slowly")]
    Full,
    /// There is no such peer, or not any more.
    #[error("the peer is gone")]
    Gone,
}

/// Options for a socket that takes bodies of this size.
fn options(max_body: usize) -> Options {
    let (min, max) = RECONNECT;
    Options::default()
        .max_message_size(max_body.saturating_add(BESIDES_BODY))
        .max_pending_handshakes(MAX_HANDSHAKES)
        .handshake_timeout(HANDSHAKE)
        .heartbeat_interval(PING)
        .heartbeat_ttl(PING_TIMEOUT)
        .heartbeat_timeout(PING_TIMEOUT)
        .tcp_user_timeout(STUCK)
        .send_hwm(SEND_QUEUE)
        .recv_hwm(RECEIVE_QUEUE)
        .monitor_capacity(MONITOR_QUEUE)
        .linger(LINGER)
        .reconnect(ReconnectPolicy::Exponential { min, max })
}

/// Reads an address, of the two kinds that are built in and make sense between processes.
fn endpoint(address: &str) -> Result<Endpoint, Error> {
    let wrong = |reason: String| Error::Address {
        address: address.to_owned(),
        reason,
    };
    if !["tcp://", "ipc://"]
        .iter()
        .any(|kind| address.starts_with(kind))
    {
        return Err(wrong("it begins with neither tcp:// nor ipc://".to_owned()));
    }
    Endpoint::try_from(address).map_err(|error| wrong(error.to_string()))
}

/// Fails as [`Router::bind`] would if the address cannot be understood.
///
/// # Errors
/// If it is no address for ZeroMQ.
pub fn check_address(address: &str) -> Result<(), Error> {
    endpoint(address).map(drop)
}

fn frames_of(message: &Message) -> Frames {
    let parts = 0..message.len();
    parts.filter_map(|at| message.part_bytes(at)).collect()
}

fn send_error(error: &TrySendError) -> SendError {
    match error {
        TrySendError::Full(_) => SendError::Full,
        _ => SendError::Gone,
    }
}

#[cfg(test)]
mod tests;
