//! The coordinator of the FaaS on its sockets: what queues say of themselves goes to all, jobs from one to another.
//!
//! It holds nothing that would be lost with it. It must not know what a job is about.

pub(super) mod state;

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use self::state::State;
use super::{
    Error,
    message::{DATA, Note},
};
use crate::zsock::{Hub, HubEvent};

/// How long news wait for more of them.
const TICK: Duration = Duration::from_millis(5);
/// How often the numbers are told although they are the same: somebody may have come.
const STATUS: Duration = Duration::from_millis(500);

/// What a coordinator is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where queues say things: XSUB.
    pub from_queues: String,
    /// Where queues hear things: XPUB.
    pub to_queues: String,
    /// Largest body, in bytes.
    pub max_body: usize,
}

/// A coordinator that listens.
#[derive(Debug)]
pub struct Coordinator {
    hub: Hub,
    state: State,
}

impl Coordinator {
    /// Listens. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If an address cannot be understood or listened on.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        Ok(Self {
            hub: Hub::bind(&config.from_queues, &config.to_queues, config.max_body).await?,
            state: State::default(),
        })
    }

    /// Where queues say things.
    pub fn from_queues(&self) -> &str {
        self.hub.inward()
    }

    /// Where queues hear things.
    pub fn to_queues(&self) -> &str {
        self.hub.outward()
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// If a socket fails.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        let mut ticks = interval(TICK);
        let mut told = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                event = self.hub.event() => match event? {
                    HubEvent::Said(frames) => self.said(frames),
                    HubEvent::Left(identity) => self.left(identity.as_deref()),
                    HubEvent::Joined => self.tell(self.state.status()),
                },
                _ = ticks.tick() => {
                    let now = Instant::now();
                    self.state.tick(now);
                    if let Some(news) = self.state.news() {
                        self.tell(news);
                        told = now;
                    } else if now.saturating_duration_since(told) >= STATUS {
                        self.tell(self.state.status());
                        told = now;
                    }
                }
            }
        }
        self.hub.close().await;
        Ok(())
    }

    fn said(&mut self, frames: Vec<Bytes>) {
        let Some(note) = frames.last().and_then(|frame| Note::read(frame)) else {
            return debug!("a queue's message makes no sense");
        };
        if self.state.said(note, Instant::now()).is_some() {
            self.hub.send(&frames);
        }
    }

    fn left(&mut self, identity: Option<&[u8]>) {
        let name = identity.map(String::from_utf8_lossy);
        let queue = name.as_deref().unwrap_or("unnamed");
        info!(queue, "a queue is gone");
        self.state.gone(name.as_deref(), self.hub.publishers());
    }

    fn tell(&mut self, note: Note) {
        let frames = vec![Bytes::from_static(DATA.as_bytes()), note.write()];
        self.hub.send(&frames);
    }
}
