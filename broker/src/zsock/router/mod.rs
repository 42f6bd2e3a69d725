//! A ROUTER that listens: many peers, each connection with a number of its own.
//!
//! All that happens at its sockets happens in one thread, in the order in which it is told: nothing of a connection comes after
//! its end. An answer goes to the connection that asked: a newcomer with the same identity does not get it. What is sent goes
//! out when there is nothing left to be told of, many messages at once. It must not know what frames mean.

mod connection;
mod door;
mod framer;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handshake;
mod listen;
mod outbox;
mod poll;

use std::{collections::VecDeque, pin::Pin, time::Instant};

use omq_proto::SocketType;
use tokio::{
    select,
    time::{Sleep, sleep_until, timeout_at},
};
use tracing::{debug, warn};

use self::{
    connection::{Connection, Ended, Heard},
    handshake::{Setup, Who},
    listen::Listener,
    poll::{Poll, Want},
};
use super::{
    BESIDES_BODY, Error, Frames, LINGER, SWEEP, SendError,
    curve::{Guard, Owners, PublicKey},
    endpoint,
};

/// What is read at once from one connection. Then it is the next one's turn.
const SCRATCH: usize = 64 * 1024;
/// Events told before what was sent goes out, though more are there to be told.
const TELLS: usize = 256;
/// Bits of a link that say its place; the others count.
const PLACE: u32 = 20;
/// Numbers from here on are of listening sockets.
const LISTENERS: u64 = 1 << 63;

/// A connection's number; never used again by this socket.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Link(pub u64);

impl Link {
    fn place(self) -> usize {
        usize::try_from(self.0 & ((1 << PLACE) - 1)).unwrap_or(usize::MAX)
    }
}

/// Something that happened at a ROUTER.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RouterEvent {
    /// Whoever the next message comes from had to show a key, and has this one. Told once for each connection.
    Authenticated(Link, PublicKey),
    /// A message came.
    Message(Link, Frames),
    /// A connection that had sent messages ended; nothing more comes of it.
    Down(Link),
}

/// A connection and what is known of it.
#[derive(Debug)]
struct Place {
    link: Link,
    connection: Connection,
    who: Who,
    /// Whether it has sent a message.
    spoke: bool,
    /// Whether it is among those to be flushed.
    dirty: bool,
    /// Whether it waits until it takes output again.
    full: bool,
}

/// The socket.
#[derive(Debug)]
pub struct Router {
    poll: Poll,
    listeners: Vec<Listener>,
    bound: Vec<String>,
    /// Whether the listeners wait: too many handshakes, or no files left.
    paused: bool,
    places: Vec<Option<Place>>,
    free: Vec<usize>,
    count: u64,
    handshakes: usize,
    spoke: usize,
    dirty: Vec<Link>,
    ready: VecDeque<RouterEvent>,
    told: usize,
    scratch: Box<[u8]>,
    sweep: Pin<Box<Sleep>>,
    setup: Setup,
    owners: Owners,
}

impl Router {
    /// Listens on these addresses. Call it inside a tokio runtime.
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
        Self::bind_as(SocketType::Router, addresses, max_body, guard).await
    }

    /// The same under another name: what a peer of such a socket may say is its owner's to know.
    pub(super) async fn bind_as(
        kind: SocketType,
        addresses: &[String],
        max_body: usize,
        guard: Option<&Guard>,
    ) -> Result<Self, Error> {
        let owners = Owners::default();
        let setup = Setup {
            kind,
            max: max_body.saturating_add(BESIDES_BODY),
            mechanism: Guard::mechanism(guard, &owners),
        };
        let mut this = Self {
            poll: Poll::new().map_err(ended)?,
            listeners: Vec::new(),
            bound: Vec::new(),
            paused: false,
            places: Vec::new(),
            free: Vec::new(),
            count: 0,
            handshakes: 0,
            spoke: 0,
            dirty: Vec::new(),
            ready: VecDeque::new(),
            told: 0,
            scratch: vec![0; SCRATCH].into(),
            sweep: Box::pin(sleep_until((Instant::now() + SWEEP).into())),
            setup,
            owners,
        };
        for address in addresses {
            this.listen(address).await?;
        }
        Ok(this)
    }

    async fn listen(&mut self, address: &str) -> Result<(), Error> {
        let bound = Listener::bind(&endpoint(address)?).await;
        let (listener, bound) = bound.map_err(|error| Error::Bind {
            address: address.to_owned(),
            reason: error.to_string(),
        })?;
        let number = LISTENERS + self.listeners.len() as u64;
        self.poll
            .add(&listener, number, Want::Input)
            .map_err(ended)?;
        self.listeners.push(listener);
        self.bound.push(bound);
        Ok(())
    }

    /// The addresses listened on, with the ports chosen.
    pub fn bound(&self) -> &[String] {
        &self.bound
    }

    /// Connections that have sent something.
    pub fn links(&self) -> usize {
        self.spoke
    }

    /// What happens next. Cancel-safe.
    ///
    /// # Errors
    /// When the socket has ended.
    pub async fn event(&mut self) -> Result<RouterEvent, Error> {
        loop {
            if let Some(event) = self.try_event() {
                return Ok(event);
            }
            self.flush(Instant::now());
            select! {
                found = self.poll.wait() => {
                    let found = found.map_err(ended)?;
                    self.serve(found, Instant::now());
                }
                () = &mut self.sweep => self.sweep(Instant::now()),
            }
        }
    }

    /// What has happened already and was not yet told; `None` if nothing has.
    pub fn try_event(&mut self) -> Option<RouterEvent> {
        self.told += 1;
        if self.told > TELLS {
            self.flush(Instant::now());
        }
        self.ready.pop_front()
    }

    /// Sends what waits, unless there is more to be told first. [`event`](Self::event) does so before it waits.
    pub fn send_waiting(&mut self) {
        if self.ready.is_empty() && !self.dirty.is_empty() {
            self.flush(Instant::now());
        }
    }

    /// Sends to one connection, now or not at all.
    ///
    /// # Errors
    /// If the connection is gone or takes no more.
    pub fn try_send(&mut self, link: Link, frames: Frames) -> Result<(), SendError> {
        let place = self.at(link).ok_or(SendError::Gone)?;
        place.connection.send(frames)?;
        if !place.dirty && !place.full {
            place.dirty = true;
            self.dirty.push(link);
        }
        Ok(())
    }

    /// Stops listening, sends what is queued, and ends.
    pub async fn close(mut self) {
        self.listeners.clear();
        let limit = Instant::now() + LINGER;
        loop {
            self.flush(Instant::now());
            let places = self.places.iter().flatten();
            if places.into_iter().all(|it| it.connection.waiting() == 0) {
                return;
            }
            match timeout_at(limit.into(), self.poll.wait()).await {
                Ok(Ok(found)) => {
                    self.serve(found, Instant::now());
                    self.ready.clear(); // nobody asks any more
                }
                Ok(Err(error)) => return debug!(%error, "the ZeroMQ socket did not close cleanly"),
                Err(_) => return debug!("the ZeroMQ socket was closed before all was sent"),
            }
        }
    }

    /// Sends what waits.
    fn flush(&mut self, now: Instant) {
        self.told = 0;
        let mut dirty = std::mem::take(&mut self.dirty);
        for link in dirty.drain(..) {
            self.flush_one(link, now);
        }
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
    }

    fn flush_one(&mut self, link: Link, now: Instant) {
        let Some(place) = self.at(link) else {
            return;
        };
        place.dirty = false;
        match place.connection.flush(now) {
            Ok(left) if left != place.full => {
                place.full = left;
                let want = if left {
                    Want::InputAndOutput
                } else {
                    Want::Input
                };
                if let Some(place) = self.places.get(link.place()).and_then(Option::as_ref)
                    && let Err(error) = self.poll.change(&place.connection, link.0, want)
                {
                    debug!(%error, "a connection cannot be watched");
                    self.end(link, &Ended::Closed);
                }
            }
            Ok(_) => {}
            Err(reason) => self.end(link, &reason),
        }
    }

    fn at(&mut self, link: Link) -> Option<&mut Place> {
        let place = self.places.get_mut(link.place())?.as_mut();
        place.filter(|it| it.link == link)
    }

    /// Does what is to be done at the sockets found.
    fn serve(&mut self, found: usize, now: Instant) {
        for at in 0..found {
            let found = self.poll.found(at);
            if let Some(listener) = found.number.checked_sub(LISTENERS) {
                self.accept(usize::try_from(listener).unwrap_or(usize::MAX), now);
                self.poll.again();
                continue;
            }
            let link = Link(found.number);
            if found.output {
                self.flush_one(link, now);
            }
            if found.input && (!self.read(link, now) || found.ended) {
                self.poll.again();
            }
        }
    }

    /// Reads once. Says whether that was all there was.
    fn read(&mut self, link: Link, now: Instant) -> bool {
        let place = self.places.get_mut(link.place()).and_then(Option::as_mut);
        let Some(place) = place.filter(|it| it.link == link) else {
            return true;
        };
        let (ready, spoke) = (&mut self.ready, &mut place.spoke);
        let (before, mut newly) = (ready.len(), None);
        let done = place
            .connection
            .read(&mut self.scratch, now, &mut |heard| match heard {
                Heard::Message(frames) => ready.push_back(RouterEvent::Message(link, frames)),
                Heard::Ready(who) => newly = Some(who),
            });
        if ready.len() > before && !*spoke {
            *spoke = true;
            self.spoke += 1;
            if let Some(key) = newly.as_ref().unwrap_or(&place.who).key {
                let key = PublicKey::of(key);
                ready.insert(before, RouterEvent::Authenticated(link, key));
            }
        }
        if place.connection.waiting() > 0 && !place.dirty && !place.full {
            place.dirty = true;
            self.dirty.push(link);
        }
        if let Some(who) = newly {
            self.handshakes -= 1;
            if !self.admitted(link, who) {
                // What it sent with the end of its handshake is not told.
                self.ready.truncate(before);
                self.forget(link);
                return true;
            }
        }
        match done {
            Ok(all) => all,
            Err(reason) => {
                self.flush_one(link, now); // it may be told why
                self.end(link, &reason);
                true
            }
        }
    }

    /// A handshake is done. `false` if its identity is that of a peer with another key.
    fn admitted(&mut self, link: Link, who: Who) -> bool {
        if let (Some(identity), Some(key)) = (&who.identity, who.key)
            && !self.owners.came(identity, key, link.0)
        {
            warn!(
                connection = link.0,
                "a peer claims the identity of one with another key: nothing is taken from it"
            );
            return false;
        }
        if let Some(place) = self.at(link) {
            place.who = who;
        }
        true
    }

    /// Looks after everybody: who is silent, who is late.
    fn sweep(&mut self, now: Instant) {
        for at in 0..self.places.len() {
            let Some(place) = &mut self.places[at] else {
                continue;
            };
            let link = place.link;
            match place.connection.tick(now) {
                Ok(true) => self.flush_one(link, now),
                Ok(false) => {}
                Err(reason) => self.end(link, &reason),
            }
        }
        self.pause(false);
        self.sweep.as_mut().reset((now + SWEEP).into());
    }
}

fn ended(error: impl std::fmt::Display) -> Error {
    Error::Ended(error.to_string())
}

#[cfg(test)]
mod tests;
