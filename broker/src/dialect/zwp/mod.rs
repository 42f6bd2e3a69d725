//! ZWP/1, turno's own protocol: request ids, deadlines, leases, drains and errors over plain ZeroMQ sockets.
//!
//! Each side's messages are one enum, written and read here, so that broker, client and worker cannot disagree. Frames only:
//! no envelope, no sockets, no decisions. `docs/mq.md` describes the protocol for whoever writes a peer.

mod client;
mod headers;
mod worker;

pub use self::{
    client::{Answer, Ask},
    headers::{AnswerHeaders, AskHeaders, JobHeaders, WelcomeHeaders},
    worker::{Order, Report},
};

/// First frame of all messages between client and broker.
pub const CLIENT: &[u8] = b"ZWC1";
/// First frame of all messages between worker and broker.
pub const WORKER: &[u8] = b"ZWW1";

/// Why frames are not a message of this protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(crate) &'static str);

/// Reads a decimal number of one frame.
fn number<T: std::str::FromStr>(frame: &[u8], what: &'static str) -> Result<T, Malformed> {
    let text = std::str::from_utf8(frame).ok();
    text.and_then(|text| text.parse().ok())
        .ok_or(Malformed(what))
}

/// The first frames of a message, as many as the caller names; the rest stays.
fn take<const N: usize>(
    frames: &mut std::vec::IntoIter<bytes::Bytes>,
) -> Result<[bytes::Bytes; N], Malformed> {
    if frames.len() < N {
        return Err(Malformed("too few frames"));
    }
    Ok(std::array::from_fn(|_| frames.next().unwrap_or_default()))
}

/// Every byte there is.
static BYTES: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut value = 0;
    while value < bytes.len() {
        bytes[value] = value as u8; // less than 256
        value += 1;
    }
    bytes
};

/// One frame of one byte.
fn byte(value: u8) -> bytes::Bytes {
    bytes::Bytes::from_static(std::slice::from_ref(&BYTES[usize::from(value)]))
}
