//! One-way sockets whose connections are watched: PUSH, PULL, PUB and SUB, each listening or connecting.
//!
//! Unlike a ROUTER they do not say who sent a message; what can be known of a connection is that it came, that it went,
//! which identity it gave itself, and, at a PUB, what it subscribes to. News and messages come without a common order.

use std::collections::VecDeque;

use bytes::Bytes;
use omq_tokio::{
    Error as LibraryError, Message, MonitorEvent, MonitorRecvError, MonitorStream, Options, Socket,
    SocketType,
};
use rustc_hash::FxHashMap;
use tracing::debug;

use super::{
    Error, Frames, Link, SendError,
    curve::{Guard, Owners, Pass},
    endpoint, frames_of, options,
    redial::Redial,
    send_error,
};

/// Something that happened at a [`Pipe`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PipeEvent {
    /// A connection stands.
    Up(Link),
    /// A connection is gone; with the identity it gave itself, if any.
    Down(Link, Option<Bytes>),
    /// At a PUB: a connection subscribes to what begins so.
    Subscribed(Link, Bytes),
    /// At a PUB: it no longer does.
    Unsubscribed(Link, Bytes),
    /// At a PULL or SUB: a message came.
    Message(Frames),
}

/// A one-way socket.
#[derive(Debug)]
pub struct Pipe {
    socket: Socket,
    monitor: MonitorStream,
    kind: SocketType,
    bound: Option<String>,
    redial: Option<Redial>,
    links: FxHashMap<Link, Option<Bytes>>,
    ready: VecDeque<PipeEvent>,
}

fn ended(error: LibraryError) -> Error {
    Error::Ended(error.to_string())
}

/// Options of a PUB that says so when its one subscriber has no room, instead of dropping the message.
fn never_dropping(max_body: usize) -> Options {
    let mut options = options(max_body);
    options.xpub_nodrop = true;
    options
}

/// Options of a socket that listens for those whom `guard` lets in.
fn guarded(mut options: Options, guard: Option<&Guard>) -> Options {
    options.mechanism = Guard::mechanism(guard, &Owners::default());
    options
}

/// Options of a PUB that drops what is old when a subscriber has no room.
fn newest(max_body: usize, kept: u32) -> Options {
    options(max_body)
        .send_hwm(kept)
        .on_mute(omq_tokio::OnMute::DropOldest)
}

impl Pipe {
    /// A PUSH that connects.
    ///
    /// # Errors
    /// If the address cannot be understood; so for all that connect.
    pub async fn push(address: &str, max_body: usize) -> Result<Self, Error> {
        let mut pipe = Self::new(SocketType::Push, options(max_body))?;
        pipe.connect(address).await?;
        Ok(pipe)
    }

    /// A PUSH that listens.
    ///
    /// # Errors
    /// If it cannot; so for all that listen.
    pub async fn push_bound(address: &str, max_body: usize) -> Result<Self, Error> {
        let mut pipe = Self::new(SocketType::Push, options(max_body))?;
        pipe.bind(address).await?;
        Ok(pipe)
    }

    /// A PULL that listens.
    ///
    /// # Errors
    /// See [`push_bound`](Self::push_bound).
    pub async fn pull(address: &str, max_body: usize) -> Result<Self, Error> {
        let mut pipe = Self::new(SocketType::Pull, options(max_body))?;
        pipe.bind(address).await?;
        Ok(pipe)
    }

    /// A PULL that connects.
    ///
    /// # Errors
    /// See [`push`](Self::push).
    pub async fn pull_from(address: &str, max_body: usize) -> Result<Self, Error> {
        let mut pipe = Self::new(SocketType::Pull, options(max_body))?;
        pipe.connect(address).await?;
        Ok(pipe)
    }

    /// A PUB that listens, and drops the oldest messages of a subscriber with more than `kept` waiting.
    ///
    /// # Errors
    /// See [`push_bound`](Self::push_bound).
    pub async fn publish_newest(address: &str, max_body: usize, kept: u32) -> Result<Self, Error> {
        Self::publish_newest_with(address, max_body, kept, None).await
    }

    /// The same for subscribers with allowed keys only.
    ///
    /// # Errors
    /// See [`push_bound`](Self::push_bound).
    pub async fn publish_newest_with(
        address: &str,
        max_body: usize,
        kept: u32,
        guard: Option<&Guard>,
    ) -> Result<Self, Error> {
        let options = guarded(newest(max_body, kept), guard);
        let mut pipe = Self::new(SocketType::Pub, options)?;
        pipe.bind(address).await?;
        Ok(pipe)
    }

    /// A PUB that connects, and says who it is.
    ///
    /// # Errors
    /// See [`push`](Self::push).
    pub async fn publish_to(address: &str, max_body: usize, identity: &str) -> Result<Self, Error> {
        let options =
            never_dropping(max_body).identity(Bytes::copy_from_slice(identity.as_bytes()));
        let mut pipe = Self::new(SocketType::Pub, options)?;
        pipe.connect(address).await?;
        Ok(pipe)
    }

    /// A PUB that connects, with keys if the subscriber asks for them, and drops the oldest messages of a subscriber with more
    /// than `kept` waiting.
    ///
    /// # Errors
    /// See [`push`](Self::push).
    pub async fn publish_newest_to(
        address: &str,
        max_body: usize,
        kept: u32,
        pass: Option<&Pass>,
    ) -> Result<Self, Error> {
        let options = Pass::apply(pass, newest(max_body, kept));
        let mut pipe = Self::new(SocketType::Pub, options)?;
        pipe.connect(address).await?;
        Ok(pipe)
    }

    /// A SUB that connects and subscribes to what begins so.
    ///
    /// # Errors
    /// See [`push`](Self::push).
    pub async fn subscribe(address: &str, max_body: usize, prefix: &str) -> Result<Self, Error> {
        Self::subscribe_with(address, max_body, prefix, None).await
    }

    /// The same with keys, to a publisher that asks for them.
    ///
    /// # Errors
    /// See [`push`](Self::push).
    pub async fn subscribe_with(
        address: &str,
        max_body: usize,
        prefix: &str,
        pass: Option<&Pass>,
    ) -> Result<Self, Error> {
        let mut pipe = Self::new(SocketType::Sub, Pass::apply(pass, options(max_body)))?;
        pipe.want(prefix).await?;
        pipe.connect(address).await?;
        Ok(pipe)
    }

    /// A SUB that listens for publishers, those with allowed keys only if `guard` says so, and takes everything.
    ///
    /// # Errors
    /// See [`push_bound`](Self::push_bound).
    pub async fn subscribe_bound(
        address: &str,
        max_body: usize,
        guard: Option<&Guard>,
    ) -> Result<Self, Error> {
        let mut pipe = Self::new(SocketType::Sub, guarded(options(max_body), guard))?;
        pipe.want("").await?;
        pipe.bind(address).await?;
        Ok(pipe)
    }

    fn new(kind: SocketType, options: Options) -> Result<Self, Error> {
        let socket = Socket::try_new(kind, options).map_err(ended)?;
        let monitor = socket.monitor();
        Ok(Self {
            socket,
            monitor,
            kind,
            bound: None,
            redial: None,
            links: FxHashMap::default(),
            ready: VecDeque::new(),
        })
    }

    async fn want(&mut self, prefix: &str) -> Result<(), Error> {
        let prefix = Bytes::copy_from_slice(prefix.as_bytes());
        self.socket.subscribe(prefix).await.map_err(ended)
    }

    async fn connect(&mut self, address: &str) -> Result<(), Error> {
        let target = endpoint(address)?;
        self.socket.connect(target.clone()).await.map_err(ended)?;
        self.redial = Some(Redial::new(target));
        Ok(())
    }

    async fn bind(&mut self, address: &str) -> Result<(), Error> {
        let bound = self.socket.bind(endpoint(address)?).await;
        let bound = bound.map_err(|error| Error::Bind {
            address: address.to_owned(),
            reason: error.to_string(),
        })?;
        self.bound = Some(bound.to_string());
        Ok(())
    }

    /// The address listened on, with the port chosen; empty if it connects.
    pub fn bound(&self) -> &str {
        self.bound.as_deref().unwrap_or_default()
    }

    /// Connections that stood when last asked for events.
    pub fn links(&self) -> usize {
        self.links.len()
    }

    /// What happens next. Cancel-safe.
    ///
    /// # Errors
    /// When the socket has ended.
    pub async fn event(&mut self) -> Result<PipeEvent, Error> {
        let receives = matches!(self.kind, SocketType::Pull | SocketType::Sub);
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let again = async {
                match &self.redial {
                    Some(redial) => redial.due().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                told = self.monitor.recv() => match told {
                    Ok(event) => self.monitored(event),
                    Err(MonitorRecvError::Lagged(_)) => self.resync().await?,
                    Err(error) => return Err(Error::Ended(error.to_string())),
                },
                message = self.socket.recv(), if receives => {
                    let message = message.map_err(ended)?;
                    return Ok(PipeEvent::Message(frames_of(&message)));
                }
                () = again => if let Some(redial) = &mut self.redial {
                    redial.connect(&self.socket);
                },
            }
        }
    }

    /// Sends now or not at all. A PUB without a subscriber for it sends to nobody, which is no error; a PUSH that connects
    /// keeps a limited number of messages until the connection stands.
    ///
    /// # Errors
    /// If there is no room.
    pub fn try_send(&self, frames: Frames) -> Result<(), SendError> {
        let sent = self.socket.try_send(Message::multipart(frames));
        sent.map_err(|error| send_error(&error))
    }

    /// Sends as soon as there is room. Cancel-safe: what was not sent is not sent later.
    ///
    /// # Errors
    /// When the socket has ended.
    pub async fn send(&self, frames: Frames) -> Result<(), Error> {
        let sent = self.socket.send(Message::multipart(frames)).await;
        sent.map_err(ended)
    }

    /// Sends what is queued, and ends.
    pub async fn close(self) {
        if let Err(error) = self.socket.close().await {
            debug!(%error, "the ZeroMQ socket did not close cleanly");
        }
    }

    fn monitored(&mut self, event: MonitorEvent) {
        if let Some(redial) = &mut self.redial {
            redial.monitored(&event);
        }
        match event {
            MonitorEvent::HandshakeSucceeded { peer, .. } => {
                let link = Link(peer.connection_id);
                self.links.insert(link, peer.peer_identity);
                self.ready.push_back(PipeEvent::Up(link));
            }
            MonitorEvent::Disconnected { peer, .. } => {
                let link = Link(peer.connection_id);
                if let Some(identity) = self.links.remove(&link) {
                    self.ready.push_back(PipeEvent::Down(link, identity));
                }
            }
            MonitorEvent::SubscribeReceived {
                connection_id,
                prefix,
            } => self
                .ready
                .push_back(PipeEvent::Subscribed(Link(connection_id), prefix)),
            MonitorEvent::UnsubscribeReceived {
                connection_id,
                prefix,
            } => self
                .ready
                .push_back(PipeEvent::Unsubscribed(Link(connection_id), prefix)),
            MonitorEvent::HandshakeFailed { reason, .. } => {
                debug!(%reason, "a ZeroMQ handshake failed");
            }
            _ => {}
        }
    }

    /// Some news were missed: everybody is told to have gone, and whoever is there to have come.
    async fn resync(&mut self) -> Result<(), Error> {
        for (link, identity) in self.links.drain() {
            self.ready.push_back(PipeEvent::Down(link, identity));
        }
        if self.kind == SocketType::Pub {
            let (monitor, peers) = self
                .socket
                .monitor_with_subscriptions()
                .await
                .map_err(ended)?;
            self.monitor = monitor;
            for peer in peers {
                let link = Link(peer.peer.connection_id);
                self.links.insert(link, peer.peer.peer_identity);
                self.ready.push_back(PipeEvent::Up(link));
                let prefixes = peer.prefixes.into_iter();
                self.ready
                    .extend(prefixes.map(|prefix| PipeEvent::Subscribed(link, prefix)));
            }
            return Ok(());
        }
        self.monitor = self.socket.monitor();
        for connection in self.socket.connections().await.map_err(ended)? {
            if let Some(peer) = connection.peer_info {
                let link = Link(connection.connection_id);
                self.links.insert(link, peer.peer_identity);
                self.ready.push_back(PipeEvent::Up(link));
            }
        }
        Ok(())
    }
}
