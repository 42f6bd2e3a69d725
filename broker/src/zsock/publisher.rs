//! A PUB that listens, and says for whom it had no room.
//!
//! The library's can drop what one subscriber does not read, without a word, or wait for that one with what is meant for all.
//! Here every subscriber has its own connection of a [`Router`], with its limits, and its owner decides about those who are
//! full. It must not know what messages mean, only how they begin.

use std::collections::BTreeSet;

use bytes::Bytes;
use omq_tokio::SocketType;
use rustc_hash::FxHashMap;
use tracing::debug;

use super::{Error, Frames, Link, Router, RouterEvent, SendError, curve::Guard};

/// Prefixes that one connection subscribes to; who wants more is let go of.
const MAX_TOPICS: usize = 1024;
/// Longest of them, in bytes.
const MAX_TOPIC: usize = 1024;
/// A subscriber says nothing but subscriptions.
const MAX_SAID: usize = 0;

/// Something that happened at a [`Publisher`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PublisherEvent {
    /// A connection subscribes to what begins so.
    Subscribed(Link, Bytes),
    /// It no longer does.
    Unsubscribed(Link, Bytes),
    /// A connection that had subscribed to something is gone.
    Down(Link),
}

/// The socket.
#[derive(Debug)]
pub struct Publisher {
    router: Router,
    topics: FxHashMap<Link, BTreeSet<Bytes>>,
}

impl Publisher {
    /// Listens. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If the address cannot be understood or listened on.
    pub async fn bind(address: &str) -> Result<Self, Error> {
        Self::bind_with(address, None).await
    }

    /// The same for those with allowed keys only.
    ///
    /// # Errors
    /// See [`bind`](Self::bind).
    pub async fn bind_with(address: &str, guard: Option<&Guard>) -> Result<Self, Error> {
        let addresses = [address.to_owned()];
        Ok(Self {
            router: Router::bind_as(SocketType::Pub, &addresses, MAX_SAID, guard).await?,
            topics: FxHashMap::default(),
        })
    }

    /// The address listened on, with the port chosen.
    pub fn bound(&self) -> &str {
        self.router.bound().first().map_or("", String::as_str)
    }

    /// What happens next; what was sent goes out while this is asked. Cancel-safe.
    ///
    /// # Errors
    /// When the socket has ended.
    pub async fn event(&mut self) -> Result<PublisherEvent, Error> {
        loop {
            match self.router.event().await? {
                RouterEvent::Message(link, frames) => {
                    if let Some(event) = self.heard(link, &frames) {
                        return Ok(event);
                    }
                }
                RouterEvent::Down(link) => {
                    if self.topics.remove(&link).is_some() {
                        return Ok(PublisherEvent::Down(link));
                    }
                }
                RouterEvent::Authenticated(..) => {}
            }
        }
    }

    /// Sends to all who subscribed to it, now or not at all. Says who did and does not get it: too much waits for these.
    pub fn send(&mut self, frames: &Frames) -> Vec<Link> {
        let start = frames.first().map_or(&[][..], |it| it);
        let mut full = Vec::new();
        for (&link, topics) in &self.topics {
            if !topics.iter().any(|topic| start.starts_with(topic)) {
                continue;
            }
            let mut sent = self.router.try_send(link, frames.clone());
            if sent == Err(SendError::Full) {
                // Perhaps it was only not asked yet.
                self.router.flush_to(link);
                sent = self.router.try_send(link, frames.clone());
            }
            if sent == Err(SendError::Full) {
                full.push(link);
            }
        }
        full
    }

    /// Ends a connection, with all that waits for it.
    pub fn let_go(&mut self, link: Link) {
        self.router.let_go(link);
    }

    /// Sends what is queued, and ends.
    pub async fn close(self) {
        self.router.close().await;
    }

    /// RFC 29: a byte that says whether it begins or ends, and the prefix.
    fn heard(&mut self, link: Link, frames: &Frames) -> Option<PublisherEvent> {
        let [wish] = &frames[..] else { return None };
        let (&first, _) = wish.split_first()?;
        let topic = wish.slice(1..);
        match first {
            1 => {
                let topics = self.topics.entry(link).or_default();
                if topic.len() > MAX_TOPIC || topics.len() >= MAX_TOPICS {
                    debug!(connection = link.0, "it subscribes to too much");
                    self.router.let_go(link);
                    return None;
                }
                let is_new = topics.insert(topic.clone());
                is_new.then_some(PublisherEvent::Subscribed(link, topic))
            }
            0 => {
                let gone = self.topics.get_mut(&link)?.remove(&topic);
                gone.then_some(PublisherEvent::Unsubscribed(link, topic))
            }
            _ => None,
        }
    }
}
