//! PUSH and PULL: lines to a logger, one way.
//!
//! A pusher never waits for its logger: what does not fit is the caller's to count.

use omq_tokio::{Error as LibraryError, Message, MonitorStream, Socket, SocketType};
use tracing::debug;

use super::{
    Error, Frames, SendError,
    curve::{Guard, Owners, Pass},
    endpoint, frames_of, options,
    redial::Redial,
    send_error,
};

fn ended(error: LibraryError) -> Error {
    Error::Ended(error.to_string())
}

/// The sending end; connects.
#[derive(Debug)]
pub struct Push {
    socket: Socket,
    monitor: MonitorStream,
    redial: Redial,
}

impl Push {
    /// Starts to connect. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If the address cannot be understood.
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
        let target = endpoint(address)?;
        let options = Pass::apply(pass, options(max_body));
        let socket = Socket::try_new(SocketType::Push, options).map_err(ended)?;
        let monitor = socket.monitor();
        socket.connect(target.clone()).await.map_err(ended)?;
        Ok(Self {
            socket,
            monitor,
            redial: Redial::new(target),
        })
    }

    /// Sends now or not at all. Before the first connection stands, a limited number of messages is kept.
    ///
    /// # Errors
    /// If nobody takes it.
    pub fn try_send(&mut self, frames: Frames) -> Result<(), SendError> {
        while let Ok(event) = self.monitor.try_recv() {
            self.redial.monitored(&event);
        }
        self.redial.connect(&self.socket);
        let sent = self.socket.try_send(Message::multipart(frames));
        sent.map_err(|error| send_error(&error))
    }

    /// Sends what is queued, and ends.
    pub async fn close(self) {
        if let Err(error) = self.socket.close().await {
            debug!(%error, "the ZeroMQ socket did not close cleanly");
        }
    }
}

/// The receiving end; listens.
#[derive(Debug)]
pub struct Pull {
    socket: Socket,
    bound: String,
}

impl Pull {
    /// Listens. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If the address cannot be understood or listened on.
    pub async fn bind(address: &str, max_body: usize) -> Result<Self, Error> {
        Self::bind_with(address, max_body, None).await
    }

    /// The same for those with allowed keys only.
    ///
    /// # Errors
    /// If the address cannot be understood or listened on.
    pub async fn bind_with(
        address: &str,
        max_body: usize,
        guard: Option<&Guard>,
    ) -> Result<Self, Error> {
        let target = endpoint(address)?;
        let mut options = options(max_body);
        options.mechanism = Guard::mechanism(guard, &Owners::default());
        let socket = Socket::try_new(SocketType::Pull, options).map_err(ended)?;
        let bound = socket.bind(target).await.map_err(|error| Error::Bind {
            address: address.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            socket,
            bound: bound.to_string(),
        })
    }

    /// The address listened on, with the port chosen.
    pub fn bound(&self) -> &str {
        &self.bound
    }

    /// The next message. Cancel-safe.
    ///
    /// # Errors
    /// When the socket has ended.
    pub async fn receive(&self) -> Result<Frames, Error> {
        let message = self.socket.recv().await.map_err(ended)?;
        Ok(frames_of(&message))
    }

    /// Stops listening, and ends.
    pub async fn close(self) {
        if let Err(error) = self.socket.close().await {
            debug!(%error, "the ZeroMQ socket did not close cleanly");
        }
    }
}
