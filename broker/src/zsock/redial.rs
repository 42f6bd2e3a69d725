//! Connecting again to a listener that has refused us.
//!
//! The library gives such a listener up, since it would refuse again. But lists of keys change while programs run, and a refusal
//! is not encrypted: whoever sits between can say it in the listener's name. It must not know what the socket is for.

use std::time::{Duration, Instant};

use omq_tokio::{DisconnectReason, Endpoint, MonitorEvent, Socket};
use tokio::time::sleep_until;
use tracing::{debug, warn};

/// The first wait, for who is put on the list at this moment. Each is twice the one before …
const FIRST: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 1_000 });
/// … up to this: so often both sides may say in their logs that something is wrong.
const LONGEST: Duration = Duration::from_secs(60);

/// What a connecting socket does about refusals.
#[derive(Debug)]
pub(super) struct Redial {
    target: Endpoint,
    wait: Duration,
    due: Option<Instant>,
}

impl Redial {
    /// For a socket that connects there.
    pub(super) fn new(target: Endpoint) -> Self {
        Self {
            target,
            wait: FIRST,
            due: None,
        }
    }

    /// Takes note of what happened at the socket.
    pub(super) fn monitored(&mut self, event: &MonitorEvent) {
        match event {
            MonitorEvent::HandshakeSucceeded { .. } => self.wait = FIRST,
            MonitorEvent::ConnectStopped { reason, .. } => {
                let reason = match reason {
                    DisconnectReason::HandshakeRefused(it) => it.to_string(),
                    other => format!("{other:?}"),
                };
                warn!(address = %self.target, reason, again_in = ?self.wait, "refused: is this key on the list there?");
                self.due = Some(Instant::now() + self.wait);
                self.wait = (self.wait * 2).min(LONGEST);
            }
            _ => {}
        }
    }

    /// Waits until it is time to connect again, perhaps for ever. Cancel-safe.
    pub(super) async fn due(&self) {
        match self.due {
            Some(due) => sleep_until(due.into()).await,
            None => std::future::pending().await,
        }
    }

    /// Connects again if it is time to.
    pub(super) fn connect(&mut self, socket: &Socket) {
        if self.due.take_if(|due| *due <= Instant::now()).is_none() {
            return;
        }
        let (socket, target) = (socket.clone(), self.target.clone());
        // In a task, so that whoever asked may stop waiting at any moment.
        tokio::spawn(async move {
            if let Err(error) = socket.connect(target).await {
                debug!(%error, "the ZeroMQ socket has ended");
            }
        });
    }
}
