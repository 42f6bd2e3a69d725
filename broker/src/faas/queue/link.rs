//! A queue's connections to the broker and to the coordinator: two sockets each, which stand and fall together.
//!
//! What was on its way through one that broke may be lost, and the other side cannot tell whose it was. So both are made
//! anew: then the other side knows that this queue began anew, and gives again what was not answered.

use bytes::Bytes;

use crate::{
    faas::{Addresses, message::DATA},
    zsock::{Error, Pipe, PipeEvent},
};

/// What happened at a link.
#[derive(Debug)]
pub(super) enum Event {
    /// It can be written to.
    Up,
    /// A message came.
    Message(Vec<Bytes>),
    /// It broke, or leads elsewhere now.
    Down,
}

/// Which of the two links it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum To {
    Broker,
    Coordinator,
}

/// One of a queue's links.
#[derive(Debug)]
pub(super) struct Link {
    to: To,
    name: String,
    max_body: usize,
    addresses: Addresses,
    /// What we read from, and what we write to.
    pipes: Option<(Pipe, Pipe)>,
    wanted: bool,
    up: bool,
}

impl Link {
    pub(super) fn new(to: To, name: &str, max_body: usize, addresses: Addresses) -> Self {
        Self {
            to,
            name: name.to_owned(),
            max_body,
            addresses,
            pipes: None,
            wanted: true,
            up: false,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.up
    }

    /// Starts to connect, where it is known where to.
    pub(super) async fn connect(&mut self) -> Result<(), Error> {
        self.cut();
        let Some((from, to)) = self.addresses.borrow_and_update().clone() else {
            return Ok(());
        };
        if !self.wanted {
            return Ok(());
        }
        let pipes = match self.to {
            To::Broker => (
                Pipe::subscribe(&from, self.max_body, &self.name).await?,
                Pipe::push(&to, self.max_body).await?,
            ),
            To::Coordinator => (
                Pipe::subscribe(&from, self.max_body, DATA).await?,
                Pipe::publish_to(&to, self.max_body, &self.name).await?,
            ),
        };
        self.pipes = Some(pipes);
        Ok(())
    }

    /// Whether it should be there at all.
    pub(super) async fn want(&mut self, wanted: bool) -> Result<(), Error> {
        if self.wanted == wanted {
            return Ok(());
        }
        self.wanted = wanted;
        self.connect().await
    }

    /// What happens next. Cancel-safe up to the moment something does.
    pub(super) async fn event(&mut self) -> Result<Event, Error> {
        loop {
            let Some((from, to)) = &mut self.pipes else {
                super::super::moved(&mut self.addresses).await;
                return Ok(Event::Down);
            };
            let event = tokio::select! {
                event = from.event() => match event? {
                    PipeEvent::Message(frames) => return Ok(Event::Message(frames)),
                    event => event,
                },
                event = to.event() => match (self.to, event?) {
                    // A PUB is heard only from then on.
                    (To::Broker, PipeEvent::Up(_)) | (To::Coordinator, PipeEvent::Subscribed(..)) => {
                        self.up = true;
                        return Ok(Event::Up);
                    }
                    (_, event) => event,
                },
                () = super::super::moved(&mut self.addresses) => return Ok(Event::Down),
            };
            if matches!(event, PipeEvent::Down(..)) {
                return Ok(Event::Down);
            }
        }
    }

    /// Sends, if there is a connection with room.
    pub(super) fn try_send(&self, frames: Vec<Bytes>) -> bool {
        let pipe = self.pipes.as_ref().filter(|_| self.up);
        pipe.is_some_and(|(_, to)| to.try_send(frames).is_ok())
    }

    fn cut(&mut self) {
        self.up = false;
        if let Some((from, to)) = self.pipes.take() {
            tokio::spawn(async move {
                from.close().await;
                to.close().await;
            });
        }
    }

    /// Sends what is queued, and ends.
    pub(super) async fn close(mut self) {
        if let Some((from, to)) = self.pipes.take() {
            from.close().await;
            to.close().await;
        }
    }
}
