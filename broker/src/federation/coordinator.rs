//! The coordinator of brokers: what one tells all hear, so that each needs one connection for news, however many there are.
//!
//! It keeps nothing: every broker tells everything every half second. It must not know what news say.

use tokio_util::sync::CancellationToken;

use super::links::MAX_NEWS;
use crate::zsock::{Error, Hub, HubEvent, curve::Guard};

/// A coordinator that listens.
#[derive(Debug)]
pub struct Coordinator(Hub);

impl Coordinator {
    /// Listens: brokers tell at `inward` and hear at `outward`; those whom `guard` lets in, or all. Call it inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// If an address cannot be understood or listened on.
    pub async fn bind(inward: &str, outward: &str, guard: Option<&Guard>) -> Result<Self, Error> {
        let hub = Hub::bind_with(inward, outward, MAX_NEWS, guard).await?;
        Ok(Self(hub))
    }

    /// Where brokers tell, with the port chosen.
    pub fn inward(&self) -> &str {
        self.0.inward()
    }

    /// Where brokers hear, with the port chosen.
    pub fn outward(&self) -> &str {
        self.0.outward()
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// If a socket fails.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                event = self.0.event() => if let HubEvent::Said(frames) = event? {
                    self.0.send(&frames);
                },
            }
        }
        self.0.close().await;
        Ok(())
    }
}
