//! A DEALER with one connection: how a worker or a client of ours reaches one broker.
//!
//! It connects again by itself, to who has refused it as well, and tells when the connection comes and goes.

use std::collections::VecDeque;

use omq_tokio::{
    Endpoint, Error as LibraryError, Message, MonitorEvent, MonitorRecvError, MonitorStream,
    Socket, SocketType,
};
use tracing::debug;

use super::{
    Error, Frames, SendError, curve::Pass, endpoint, frames_of, options, redial::Redial, send_error,
};

/// Something that happened at a DEALER.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DealerEvent {
    /// The connection stands.
    Up,
    /// A message came.
    Message(Frames),
    /// The connection is gone, and is being made again.
    Down,
}

/// The socket.
#[derive(Debug)]
pub struct Dealer {
    socket: Socket,
    monitor: MonitorStream,
    redial: Redial,
    ready: VecDeque<DealerEvent>,
    up: bool,
}

impl Dealer {
    /// Starts to connect. Call it inside a tokio runtime, which then serves the socket.
    ///
    /// # Errors
    /// If the address cannot be understood. A peer that is not there yet is waited for.
    pub async fn connect(address: &str, max_body: usize) -> Result<Self, Error> {
        Self::connect_with(address, max_body, None).await
    }

    /// The same with keys, to a listener that asks for them.
    ///
    /// # Errors
    /// If the address cannot be understood.
    pub async fn connect_with(
        address: &str,
        max_body: usize,
        pass: Option<&Pass>,
    ) -> Result<Self, Error> {
        let ended = |error: LibraryError| Error::Ended(error.to_string());
        let target: Endpoint = endpoint(address)?;
        let options = Pass::apply(pass, options(max_body));
        let socket = Socket::try_new(SocketType::Dealer, options).map_err(ended)?;
        let monitor = socket.monitor();
        socket.connect(target.clone()).await.map_err(ended)?;
        Ok(Self {
            socket,
            monitor,
            redial: Redial::new(target),
            ready: VecDeque::new(),
            up: false,
        })
    }

    /// Whether the connection stood when last asked for events.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// What happens next. Cancel-safe.
    ///
    /// # Errors
    /// When the socket has ended.
    pub async fn event(&mut self) -> Result<DealerEvent, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            tokio::select! {
                biased;
                told = self.monitor.recv() => match told {
                    Ok(event) => self.monitored(&event),
                    Err(MonitorRecvError::Lagged(_)) => self.resync().await?,
                    Err(error) => return Err(Error::Ended(error.to_string())),
                },
                message = self.socket.recv() => {
                    let message = message.map_err(|error| Error::Ended(error.to_string()))?;
                    self.ready.push_back(DealerEvent::Message(frames_of(&message)));
                }
                () = self.redial.due() => self.redial.connect(&self.socket),
            }
        }
    }

    /// Sends now or not at all.
    ///
    /// # Errors
    /// If there is no connection, or it takes no more.
    pub fn try_send(&self, frames: Frames) -> Result<(), SendError> {
        if !self.up {
            return Err(SendError::Gone);
        }
        let sent = self.socket.try_send(Message::multipart(frames));
        sent.map_err(|error| send_error(&error))
    }

    /// Sends what is queued, and ends.
    pub async fn close(self) {
        if let Err(error) = self.socket.close().await {
            debug!(%error, "the ZeroMQ socket did not close cleanly");
        }
    }

    fn monitored(&mut self, event: &MonitorEvent) {
        self.redial.monitored(event);
        match event {
            MonitorEvent::HandshakeSucceeded { .. } => self.set_up(true),
            MonitorEvent::Disconnected { .. } => self.set_up(false),
            MonitorEvent::HandshakeFailed { reason, .. } => {
                debug!(%reason, "a ZeroMQ handshake failed");
            }
            _ => {}
        }
    }

    fn set_up(&mut self, up: bool) {
        if self.up == up {
            return;
        }
        // What came before the news is told before it.
        while let Ok(message) = self.socket.try_recv() {
            self.ready
                .push_back(DealerEvent::Message(frames_of(&message)));
        }
        self.up = up;
        self.ready.push_back(if up {
            DealerEvent::Up
        } else {
            DealerEvent::Down
        });
    }

    async fn resync(&mut self) -> Result<(), Error> {
        let connections = self.socket.connections().await;
        let connections = connections.map_err(|error| Error::Ended(error.to_string()))?;
        // It may have gone and come back: tell both, so that whoever listens begins anew.
        self.set_up(false);
        self.set_up(!connections.is_empty());
        Ok(())
    }
}
