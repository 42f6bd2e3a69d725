//! Workers with a port of their own: REQ sockets that say whom they answer, and are free by that.
//!
//! They come in two variants, without and with an empty frame between address and answer; the first message, which is all
//! empty, tells which by its length. The same frames without a port of their own are those of the guide's load-balancing
//! broker, whose workers begin with `READY`.

use bytes::Bytes;

use super::{
    WorkerReport,
    text_id::{read_delivery, write_delivery},
};
use crate::core::message::{Delivery, Frames};

/// The first word of the guide's workers.
pub(super) const READY: &[u8] = b"READY";

/// How a worker divides address and body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Variant {
    /// Address, body.
    Plain,
    /// Address, empty frame, body.
    Divided,
}

/// Reads the first message of a worker on its own port, after the envelope: `['', '']` or `['', '', …]`.
pub(super) fn read_first(frames: &[Bytes]) -> Option<Variant> {
    match frames {
        [address, _] if address.is_empty() => Some(Variant::Plain),
        [address, divider, _] if address.is_empty() && divider.is_empty() => Some(Variant::Divided),
        // The guide's worker does as well here as on the front port.
        [ready] if ready == READY => Some(Variant::Divided),
        _ => None,
    }
}

/// Reads every other message, after the envelope. An empty address means that the worker is free and answers nobody.
pub(super) fn read_report(variant: Variant, frames: Frames) -> Option<WorkerReport> {
    let mut frames = frames.into_iter();
    let address = frames.next()?;
    if address.is_empty() || (address == READY && frames.len() == 0) {
        return Some(WorkerReport::Ready {
            services: Vec::new(),
            capacity: 1,
        });
    }
    if variant == Variant::Divided && !frames.next()?.is_empty() {
        return None;
    }
    let delivery = read_delivery(&address)?;
    Some(WorkerReport::Final(delivery, frames.collect()))
}

/// A request for a worker, without the envelope.
pub(super) fn write_request(variant: Variant, delivery: Delivery, body: Frames) -> Frames {
    let mut frames = vec![write_delivery(delivery)];
    if variant == Variant::Divided {
        frames.push(Bytes::new());
    }
    frames.extend(body);
    frames
}
