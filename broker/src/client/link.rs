//! A client's connection to one broker, in a task of its own.
//!
//! It carries frames and tells when the connection comes and goes; what they mean is the client's business.

use tokio::sync::mpsc;
use tracing::warn;

use crate::{
    core::message::Frames,
    zsock::{Dealer, DealerEvent, curve::Pass},
};

/// Messages on their way to one connection: more means that it does not move.
const QUEUE: usize = 1024;

/// Something that happened at the connection to a broker.
#[derive(Debug)]
pub(super) struct LinkEvent {
    pub(super) address: String,
    pub(super) event: DealerEvent,
}

/// The client's end; the connection is closed when it is dropped.
#[derive(Debug)]
pub(super) struct Link {
    outgoing: mpsc::Sender<Frames>,
    pub(super) up: bool,
}

impl Link {
    pub(super) fn open(
        address: String,
        (max_body, pass): (usize, Option<Pass>),
        events: mpsc::Sender<LinkEvent>,
    ) -> Self {
        let (outgoing, messages) = mpsc::channel(QUEUE);
        tokio::spawn(carry(address, (max_body, pass), messages, events));
        Self {
            outgoing,
            up: false,
        }
    }

    /// Sends now or not at all.
    pub(super) fn try_send(&self, frames: Frames) -> bool {
        self.up && self.outgoing.try_send(frames).is_ok()
    }
}

async fn carry(
    address: String,
    (max_body, pass): (usize, Option<Pass>),
    mut messages: mpsc::Receiver<Frames>,
    events: mpsc::Sender<LinkEvent>,
) {
    let mut dealer = match Dealer::connect_with(&address, max_body, pass.as_ref()).await {
        Ok(dealer) => dealer,
        Err(error) => {
            warn!(%error, "this broker cannot be asked");
            return;
        }
    };
    loop {
        tokio::select! {
            event = dealer.event() => {
                let Ok(event) = event else { return };
                let address = address.clone();
                if events.send(LinkEvent { address, event }).await.is_err() {
                    break;
                }
            }
            message = messages.recv() => {
                let Some(frames) = message else { break };
                // If it is lost, the connection is: the request is sent again by another one.
                let _ = dealer.try_send(frames);
            }
        }
    }
    dealer.close().await;
}
