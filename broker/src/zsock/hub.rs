//! Two sockets that make one place to meet: whoever publishes connects to the first, whoever subscribes to the second.
//!
//! Between XSUB and XPUB of other programs it stands as SUB and PUB do. Nobody waits for a subscriber that does not read: it is
//! let go of. What passes from one to the other is its owner's business.

use bytes::Bytes;

use tracing::warn;

use super::{Error, Frames, Pipe, PipeEvent, Publisher, PublisherEvent, curve::Guard};

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
    outward: Publisher,
}

impl Hub {
    /// Listens at both. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If an address cannot be understood or listened on.
    pub async fn bind(inward: &str, outward: &str, max_body: usize) -> Result<Self, Error> {
        Self::bind_with(inward, outward, max_body, None).await
    }

    /// The same for those with allowed keys only.
    ///
    /// # Errors
    /// See [`bind`](Self::bind).
    pub async fn bind_with(
        inward: &str,
        outward: &str,
        max_body: usize,
        guard: Option<&Guard>,
    ) -> Result<Self, Error> {
        Ok(Self {
            inward: Pipe::subscribe_bound(inward, max_body, guard).await?,
            outward: Publisher::bind_with(outward, guard).await?,
        })
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
                event = self.outward.event() => if let PublisherEvent::Subscribed(..) = event? {
                    return Ok(HubEvent::Joined);
                },
            }
        }
    }

    /// Sends to all who subscribed to it. Who has no room for it would miss it without a sign: that one is let go of, and knows
    /// by this that it has to begin anew.
    pub fn send(&mut self, frames: &Frames) {
        for link in self.outward.send(frames) {
            warn!(
                connection = link.0,
                "a subscriber does not read: it is let go of"
            );
            self.outward.let_go(link);
        }
    }

    /// Sends what is queued, and ends.
    pub async fn close(self) {
        self.inward.close().await;
        self.outward.close().await;
    }
}
