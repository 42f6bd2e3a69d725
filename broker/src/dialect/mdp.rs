//! The Majordomo protocol, versions 0.1 and 0.2, as brokers, clients and workers in the wild speak it.
//!
//! 0.1 (zeromq RFC 7) has one shape everywhere. Of 0.2 (RFC 18) there are three on the client's side: the specification's;
//! majortomo's, with its own numbers for the commands and no service in the answers; and one without commands, shaped as 0.1
//! is. A client's first message tells which. MDP has no ids, no errors and no leases, so those are ours alone.

use bytes::Bytes;

use super::{
    ClientDialect, WorkerReport,
    text_id::{read_delivery, write_delivery},
};
use crate::core::message::{Delivery, Frames};

/// First frames after the envelope.
pub(super) const CLIENT_1: &[u8] = b"MDPC01";
/// Worker, version 0.1.
pub(super) const WORKER_1: &[u8] = b"MDPW01";
/// Client, version 0.2.
pub(super) const CLIENT_2: &[u8] = b"MDPC02";
/// Worker, version 0.2.
pub(super) const WORKER_2: &[u8] = b"MDPW02";

/// A name that begins so is a question to the broker itself (RFC 8).
pub(super) const MANAGEMENT: &[u8] = b"mmi.";
/// The one such question we answer: whether a service is served.
pub(super) const MANAGEMENT_SERVICE: &[u8] = b"mmi.service";

/// The two versions, on the worker's side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// 0.1.
    One,
    /// 0.2.
    Two,
}

/// Numbers of the commands between broker and worker.
struct Commands {
    partial: Option<u8>,
    last: u8,
    heartbeat: u8,
    disconnect: u8,
}

const READY: u8 = 1;
const REQUEST: u8 = 2;
const COMMANDS_1: Commands = Commands {
    partial: None,
    last: 3,
    heartbeat: 4,
    disconnect: 5,
};
const COMMANDS_2: Commands = Commands {
    partial: Some(3),
    last: 4,
    heartbeat: 5,
    disconnect: 6,
};

impl Version {
    fn commands(self) -> &'static Commands {
        match self {
            Self::One => &COMMANDS_1,
            Self::Two => &COMMANDS_2,
        }
    }

    fn header(self) -> Bytes {
        Bytes::from_static(match self {
            Self::One => WORKER_1,
            Self::Two => WORKER_2,
        })
    }
}

/// Reads a client's request after the envelope: how it speaks, the service, the body.
pub(super) fn read_request(frames: Frames) -> Option<(ClientDialect, Bytes, Frames)> {
    let mut frames = frames.into_iter();
    let header = frames.next()?;
    let second = frames.next()?;
    let dialect = match (header.as_ref(), second.as_ref()) {
        (CLIENT_1, _) => ClientDialect::Mdp1,
        (CLIENT_2, [1]) => ClientDialect::Mdp2,
        (CLIENT_2, [2]) => ClientDialect::Mdp2Majortomo,
        (CLIENT_2, _) => ClientDialect::Mdp2NoCommand,
        _ => return None,
    };
    let service = match dialect {
        ClientDialect::Mdp2 | ClientDialect::Mdp2Majortomo => frames.next()?,
        _ => second,
    };
    Some((dialect, service, frames.collect()))
}

/// An answer to a client, or part of one, without the envelope.
pub(super) fn write_answer(
    dialect: ClientDialect,
    service: &str,
    body: Frames,
    is_last: bool,
) -> Frames {
    let service = || Bytes::copy_from_slice(service.as_bytes());
    let command = |number: u8| Bytes::copy_from_slice(&[number]);
    let mut frames = match dialect {
        ClientDialect::Mdp2 => {
            let kind = if is_last { 3 } else { 2 };
            vec![Bytes::from_static(CLIENT_2), command(kind), service()]
        }
        ClientDialect::Mdp2Majortomo => {
            let kind = if is_last { 4 } else { 3 };
            vec![Bytes::from_static(CLIENT_2), command(kind)]
        }
        ClientDialect::Mdp2NoCommand => vec![Bytes::from_static(CLIENT_2), service()],
        _ => vec![Bytes::from_static(CLIENT_1), service()],
    };
    frames.extend(body);
    frames
}

/// Reads a worker's message after the envelope. `None` if it is none.
pub(super) fn read_report(frames: Frames) -> Option<(Version, WorkerReport)> {
    let mut frames = frames.into_iter();
    let version = match frames.next()?.as_ref() {
        WORKER_1 => Version::One,
        WORKER_2 => Version::Two,
        _ => return None,
    };
    let command = frames.next()?;
    let [command] = *command.as_ref() else {
        return None;
    };
    let numbers = version.commands();
    let report = if command == READY {
        WorkerReport::Ready {
            services: vec![frames.next()?],
            capacity: 1,
        }
    } else if command == numbers.last || Some(command) == numbers.partial {
        // What the protocol takes for the client's address is the number we gave.
        let delivery = read_delivery(&frames.next()?)?;
        if !frames.next()?.is_empty() {
            return None;
        }
        let body = frames.collect();
        if command == numbers.last {
            WorkerReport::Final(delivery, body)
        } else {
            WorkerReport::Partial(delivery, body)
        }
    } else if command == numbers.heartbeat {
        WorkerReport::Heartbeat(Vec::new())
    } else if command == numbers.disconnect {
        WorkerReport::Bye
    } else {
        return None;
    };
    Some((version, report))
}

/// A request for a worker, without the envelope.
pub(super) fn write_request(version: Version, delivery: Delivery, body: Frames) -> Frames {
    let command = Bytes::from_static(&[REQUEST]);
    let mut frames = vec![
        version.header(),
        command,
        write_delivery(delivery),
        Bytes::new(),
    ];
    frames.extend(body);
    frames
}

/// A sign of life for a worker.
pub(super) fn write_heartbeat(version: Version) -> Frames {
    let command = Bytes::copy_from_slice(&[version.commands().heartbeat]);
    vec![version.header(), command]
}

/// Tells a worker that it is not, or no longer, known; it will offer itself again.
pub(super) fn write_disconnect(version: Version) -> Frames {
    let command = Bytes::copy_from_slice(&[version.commands().disconnect]);
    vec![version.header(), command]
}
