//! Two sockets that make one place to meet: whoever publishes connects to the first, whoever subscribes to the second.
//!
//! Between XSUB and XPUB of other programs it stands as SUB and PUB do. What passes from one to the other is its owner's
//! business.

use bytes::Bytes;

use super::{Error, Frames, Pipe, PipeEvent, SendError};

/// Something that happened at a [`Hub`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HubEvent {
    /// A publisher said something.
    Said(Frames),
    /// A publisher is gone; with the identity it gave itself, if any.
    Left(Option<Bytes>),
    /// Somebody began to listen.
    Joined,
}

/// The two sockets.
#[derive(Debug)]
pub struct Hub {
    inward: Pipe,
    outward: Pipe,
}

impl Hub {
    /// Of a SUB and a PUB that listen. How the PUB treats who reads slowly is its owner's choice.
    pub fn new(inward: Pipe, outward: Pipe) -> Self {
        Self { inward, outward }
    }

    /// Where publishers connect to.
    pub fn inward(&self) -> &str {
        self.inward.bound()
    }

    /// Where subscribers connect to.
    pub fn outward(&self) -> &str {
        self.outward.bound()
    }

    /// Publishers connected when last asked for events.
    pub fn publishers(&self) -> usize {
        self.inward.links()
    }

    /// What happens next. Cancel-safe.
    ///
    /// # Errors
    /// When a socket has ended.
    pub async fn event(&mut self) -> Result<HubEvent, Error> {
        loop {
            tokio::select! {
                event = self.inward.event() => match event? {
                    PipeEvent::Message(frames) => return Ok(HubEvent::Said(frames)),
                    PipeEvent::Down(_, identity) => return Ok(HubEvent::Left(identity)),
                    _ => {}
                },
                event = self.outward.event() => if let PipeEvent::Subscribed(..) = event? {
                    return Ok(HubEvent::Joined);
                },
            }
        }
    }

    /// Sends to all who subscribed to it, now or not at all.
    ///
    /// # Errors
    /// If somebody has no room for it.
    pub fn try_send(&self, frames: Frames) -> Result<(), SendError> {
        self.outward.try_send(frames)
    }

    /// Sends what is queued, and ends.
    pub async fn close(self) {
        self.inward.close().await;
        self.outward.close().await;
    }
}
