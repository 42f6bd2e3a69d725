//! The coordinator of the FaaS on its sockets: what queues say of themselves goes to all, jobs from one to another.
//!
//! It holds nothing that would be lost with it. It must not know what a job is about.

mod state;

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
use crate::zsock::{Pipe, PipeEvent};

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
    from_queues: Pipe,
    to_queues: Pipe,
    state: State,
}

impl Coordinator {
    /// Listens. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If an address cannot be understood or listened on.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        Ok(Self {
            from_queues: Pipe::subscribe_bound(&config.from_queues, config.max_body).await?,
            to_queues: Pipe::publish(&config.to_queues, config.max_body).await?,
            state: State::default(),
        })
    }

    /// Where queues say things.
    pub fn from_queues(&self) -> &str {
        self.from_queues.bound()
    }

    /// Where queues hear things.
    pub fn to_queues(&self) -> &str {
        self.to_queues.bound()
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
                event = self.from_queues.event() => self.on_queue(event?),
                event = self.to_queues.event() => if let PipeEvent::Subscribed(..) = event? {
                    self.tell(&self.state.status());
                },
                _ = ticks.tick() => {
                    let now = Instant::now();
                    self.state.tick(now);
                    if let Some(news) = self.state.news() {
                        self.tell(&news);
                        told = now;
                    } else if now.saturating_duration_since(told) >= STATUS {
                        self.tell(&self.state.status());
                        told = now;
                    }
                }
            }
        }
        self.from_queues.close().await;
        self.to_queues.close().await;
        Ok(())
    }

    fn on_queue(&mut self, event: PipeEvent) {
        match event {
            PipeEvent::Message(frames) => {
                let Some(note) = frames.last().and_then(|frame| Note::read(frame)) else {
                    return debug!("a queue's message makes no sense");
                };
                if self.state.said(note, Instant::now()).is_some()
                    && let Err(error) = self.to_queues.try_send(frames)
                {
                    // The queue it comes from keeps it, and gives it again.
                    debug!(%error, "a job was not passed on");
                }
            }
            PipeEvent::Down(_, identity) => {
                let name = identity.as_deref().map(String::from_utf8_lossy);
                info!(
                    queue = name.as_deref().unwrap_or("unnamed"),
                    "a queue is gone"
                );
                let left = self.from_queues.links();
                self.state.gone(name.as_deref(), left);
            }
            _ => {}
        }
    }

    fn tell(&self, note: &Note) {
        let frames = vec![Bytes::from_static(DATA.as_bytes()), note.write()];
        if let Err(error) = self.to_queues.try_send(frames) {
            debug!(%error, "somebody reads too slowly");
        }
    }
}
