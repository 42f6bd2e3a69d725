//! A ROUTER that listens: many peers, each connection with a number of its own.
//!
//! The library tells of messages and of ended connections in two streams without a common order. Here a connection's end is
//! told after its last message, and nothing of it afterwards. An answer goes to the connection that asked: a newcomer with the
//! same identity does not get it.

use std::collections::VecDeque;

use bytes::Bytes;
use omq_tokio::{
    Identity, IdentitySocket, Message, MonitorEvent, MonitorRecvError, MonitorStream,
    MonitorTryRecvError, PeerPublicKey, Socket, SocketType,
};
use rustc_hash::{FxHashMap, FxHashSet};
use tracing::{debug, warn};

use super::{
    Error, Frames, SendError,
    curve::{Guard, Owners},
    endpoint, frames_of, options, send_error,
};

/// Ended connections remembered, in case a message of one was still on its way.
const REMEMBERED: usize = 1024;

/// A connection's number; never used again by this socket.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Link(pub u64);

/// Something that happened at a ROUTER.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RouterEvent {
    /// A message came.
    Message(Link, Frames),
    /// A connection that had sent messages ended; nothing more comes of it.
    Down(Link),
}

/// The socket.
#[derive(Debug)]
pub struct Router {
    socket: IdentitySocket,
    monitor: MonitorStream,
    bound: Vec<String>,
    /// Identity of each connection that has sent something.
    identities: FxHashMap<Link, Bytes>,
    /// Which connection has an identity now.
    current: std::collections::HashMap<Bytes, Link>,
    ended: FxHashSet<Link>,
    ended_order: VecDeque<Link>,
    ready: VecDeque<RouterEvent>,
    owners: Owners,
}

impl Router {
    /// Listens on these addresses. Call it inside a tokio runtime, which then serves the socket.
    ///
    /// # Errors
    /// If an address cannot be understood or listened on.
    pub async fn bind(addresses: &[String], max_body: usize) -> Result<Self, Error> {
        Self::bind_with(addresses, max_body, None).await
    }

    /// The same for those with allowed keys only. An identity belongs to the key that has it, as long as it is connected.
    ///
    /// # Errors
    /// See [`bind`](Self::bind).
    pub async fn bind_with(
        addresses: &[String],
        max_body: usize,
        guard: Option<&Guard>,
    ) -> Result<Self, Error> {
        let owners = Owners::default();
        let options = Guard::apply(guard, &owners, options(max_body));
        let socket = Socket::try_new(SocketType::Router, options)
            .map_err(|error| Error::Ended(error.to_string()))?;
        let monitor = socket.monitor();
        let mut bound = Vec::with_capacity(addresses.len());
        for address in addresses {
            let listening = socket.bind(endpoint(address)?).await;
            let listening = listening.map_err(|error| Error::Bind {
                address: address.clone(),
                reason: error.to_string(),
            })?;
            bound.push(listening.to_string());
        }
        let socket = socket
            .identity_routing()
            .map_err(|error| Error::Ended(error.to_string()))?;
        Ok(Self {
            socket,
            monitor,
            bound,
            identities: FxHashMap::default(),
            current: std::collections::HashMap::new(),
            ended: FxHashSet::default(),
            ended_order: VecDeque::new(),
            ready: VecDeque::new(),
            owners,
        })
    }

    /// The addresses listened on, with the ports chosen.
    pub fn bound(&self) -> &[String] {
        &self.bound
    }

    /// Connections that have sent something.
    pub fn links(&self) -> usize {
        self.identities.len()
    }

    /// What happens next. Cancel-safe.
    ///
    /// # Errors
    /// When the socket has ended.
    pub async fn event(&mut self) -> Result<RouterEvent, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            tokio::select! {
                biased;
                told = self.monitor.recv() => match told {
                    Ok(event) => self.monitored(&event),
                    Err(MonitorRecvError::Lagged(missed)) => self.resync(missed).await?,
                    Err(error) => return Err(Error::Ended(error.to_string())),
                },
                received = self.socket.recv_from() => {
                    let (identity, message) =
                        received.map_err(|error| Error::Ended(error.to_string()))?;
                    self.received(&identity, &message);
                }
            }
        }
    }

    /// What has happened already; `None` if nothing has.
    pub fn try_event(&mut self) -> Option<RouterEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            match self.monitor.try_recv() {
                Ok(event) => {
                    self.monitored(&event);
                    continue;
                }
                Err(MonitorTryRecvError::Empty) => {}
                // `event` finds out what to do about it.
                Err(_) => return None,
            }
            let (identity, message) = self.socket.try_recv_from().ok()?;
            self.received(&identity, &message);
        }
    }

    /// Sends to one connection, now or not at all.
    ///
    /// # Errors
    /// If the connection is gone or takes no more.
    pub fn try_send(&self, link: Link, frames: Frames) -> Result<(), SendError> {
        let identity = self.identities.get(&link).ok_or(SendError::Gone)?;
        if self.current.get(identity) != Some(&link) {
            return Err(SendError::Gone);
        }
        let sent = self
            .socket
            .try_send_to(identity, Message::multipart(frames));
        sent.map_err(|error| send_error(&error))
    }

    /// Stops listening, sends what is queued, and ends.
    pub async fn close(self) {
        if let Err(error) = self.socket.into_inner().close().await {
            debug!(%error, "the ZeroMQ socket did not close cleanly");
        }
    }

    fn received(&mut self, identity: &Identity, message: &Message) {
        let link = Link(identity.peer_info().connection_id);
        if self.ended.contains(&link) {
            return;
        }
        if !self.identities.contains_key(&link) {
            let name = identity.to_bytes();
            self.current.insert(name.clone(), link);
            self.identities.insert(link, name);
        }
        let frames = frames_of(message);
        self.ready.push_back(RouterEvent::Message(link, frames));
    }

    fn monitored(&mut self, event: &MonitorEvent) {
        match event {
            MonitorEvent::Disconnected { peer, reason, .. } => {
                debug!(
                    connection = peer.connection_id,
                    ?reason,
                    "a ZeroMQ peer has gone"
                );
                if let Some(identity) = &peer.peer_identity {
                    self.owners.went(identity, peer.connection_id);
                }
                self.end(Link(peer.connection_id));
            }
            MonitorEvent::HandshakeSucceeded { peer, .. } => {
                if let (Some(identity), Some(PeerPublicKey::Curve(key))) =
                    (&peer.peer_identity, peer.authentication.public_key.clone())
                    && !self.owners.came(identity, key, peer.connection_id)
                {
                    warn!(
                        connection = peer.connection_id,
                        "a peer claims the identity of one with another key: nothing is taken from it"
                    );
                    self.remember_ended(Link(peer.connection_id));
                    // The library would send to the newcomer what is meant for its owner.
                    self.current.remove(identity);
                    return;
                }
                // From here on the identity is the newcomer's, whether or not it says anything.
                if let Some(identity) = &peer.peer_identity
                    && let Some(current) = self.current.get_mut(identity)
                {
                    *current = Link(peer.connection_id);
                }
            }
            MonitorEvent::HandshakeFailed { reason, .. } => {
                debug!(%reason, "a ZeroMQ handshake failed");
            }
            _ => {}
        }
    }

    /// A connection ended: first whatever it had sent, then the news.
    fn end(&mut self, link: Link) {
        while let Ok((identity, message)) = self.socket.try_recv_from() {
            self.received(&identity, &message);
        }
        self.remember_ended(link);
        let Some(identity) = self.identities.remove(&link) else {
            return; // it never said anything
        };
        if self.current.get(&identity) == Some(&link) {
            self.current.remove(&identity);
        }
        self.ready.push_back(RouterEvent::Down(link));
    }

    fn remember_ended(&mut self, link: Link) {
        if self.ended.insert(link) {
            self.ended_order.push_back(link);
        }
        if self.ended_order.len() > REMEMBERED
            && let Some(oldest) = self.ended_order.pop_front()
        {
            self.ended.remove(&oldest);
        }
    }

    /// Some events were missed: compares with the connections there are.
    async fn resync(&mut self, missed: u64) -> Result<(), Error> {
        debug!(
            missed,
            "too many ZeroMQ connections at once: reading the list of them anew"
        );
        let connections = self.socket.connections().await;
        let connections = connections.map_err(|error| Error::Ended(error.to_string()))?;
        let live: FxHashSet<Link> = connections
            .iter()
            .map(|it| Link(it.connection_id))
            .collect();
        self.owners.retain(|it| live.contains(&Link(it)));
        for connection in connections {
            if let Some(current) = self.current.get_mut(&connection.identity) {
                *current = Link(connection.connection_id);
            }
        }
        let ended: Vec<Link> = self
            .identities
            .keys()
            .copied()
            .filter(|it| !live.contains(it))
            .collect();
        for link in ended {
            self.end(link);
        }
        Ok(())
    }
}
