//! One connection of a ROUTER: the handshake, then messages in and out.
//!
//! The library's codec does the handshake and, with CURVE, everything after it. Without encryption the frames are read here
//! (see [`framer`](super::framer)): they are nearly all there is to do. It must not know of other connections.

use std::time::{Duration, Instant};

use bytes::Bytes;
use omq_proto::{
    Message, SocketType,
    proto::{
        command::Command,
        connection::{Connection as Codec, Event},
    },
};
use rustix::{
    buffer::spare_capacity,
    fd::{AsFd, BorrowedFd, OwnedFd},
    io::Errno,
    net::{RecvFlags, recv},
};

use super::{
    super::{Frames, HANDSHAKE, PING, PING_TIMEOUT, STUCK, SendError, frames_of},
    framer::{Broken, Framer, Item},
    handshake::{Handshake, Setup, Who, transmit},
    outbox::Outbox,
};

/// Bytes that wait for one peer: from then on sends to it fail. One message more may wait, however large.
const SEND_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of answers to a peer's pings that it does not read: then it is given up.
const PONGS: usize = 256 * 1024;
/// The time to live in our pings, in tenths of a second.
const TTL: u16 = 60;
const PING_NAME: &[u8] = b"PING";
/// What a ping carries besides its time to live, to be given back (RFC 37 §3.2).
const MAX_CONTEXT: usize = 16;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("it was closed by the peer")]
    Closed,
    #[error("{0}")]
    Io(#[from] Errno),
    #[error("{0}")]
    Broken(#[from] Broken),
    #[error("{0}")]
    Codec(#[from] omq_proto::Error),
    #[error("no handshake in time")]
    Late,
    #[error("silent for too long")]
    Silent,
    #[error("it does not read what it is sent")]
    Stuck,
}

#[derive(Debug)]
enum Stage {
    Handshake(Handshake),
    Plain(Framer),
    Sealed(Box<Codec>),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    stage: Stage,
    kind: SocketType,
    max: usize,
    outbox: Outbox,
    /// Bytes of answers to pings among what waits.
    pongs: usize,
    /// Whether the peer knows pings.
    pings: bool,
    heard: Instant,
    pinged: Instant,
    /// The silence after which the peer wants to be given up, as its last ping said.
    ttl: Option<Duration>,
    /// Since when it has taken nothing of what waits for it.
    stuck: Option<Instant>,
}

impl Connection {
    /// A peer has connected. Our greeting waits to be sent.
    pub(super) fn accepted(
        socket: OwnedFd,
        from: Option<String>,
        setup: Setup,
        now: Instant,
    ) -> Self {
        let (kind, max) = (setup.kind, setup.max);
        let mut outbox = Outbox::default();
        let handshake = Handshake::new(setup, from, &mut outbox);
        Self {
            socket,
            stage: Stage::Handshake(handshake),
            kind,
            max,
            outbox,
            pongs: 0,
            pings: false,
            heard: now,
            pinged: now,
            ttl: None,
            stuck: None,
        }
    }

    /// Whether it may be sent messages.
    pub(super) fn is_ready(&self) -> bool {
        !matches!(self.stage, Stage::Handshake(_))
    }

    /// Bytes that wait to be sent.
    pub(super) fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// Reads once what is there, and says whether that was all. Tells of messages and of the end of the handshake.
    pub(super) fn read(
        &mut self,
        scratch: &mut [u8],
        now: Instant,
        heard: &mut impl FnMut(Heard),
    ) -> Result<bool, Ended> {
        if let Stage::Plain(framer) = &mut self.stage
            && let Some(room) = framer.room()
        {
            let size = room.capacity() - room.len();
            let count = recv(&self.socket, spare_capacity(room), RecvFlags::empty());
            let count = received(count.map(|it| it.1))?;
            if count > 0 {
                self.heard(now);
                self.plain(&[], heard)?;
            }
            return Ok((1..size).contains(&count));
        }
        let count = recv(&self.socket, &mut *scratch, RecvFlags::empty());
        let count = received(count.map(|it| it.1))?;
        if count > 0 {
            self.heard(now);
            self.input(&scratch[..count], heard)?;
        }
        Ok((1..scratch.len()).contains(&count))
    }

    fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.ttl = None;
    }

    fn input(&mut self, input: &[u8], heard: &mut impl FnMut(Heard)) -> Result<(), Ended> {
        match &mut self.stage {
            Stage::Plain(_) => self.plain(input, heard),
            Stage::Sealed(_) => self.sealed(input, heard),
            Stage::Handshake(_) => self.handshake(input, heard),
        }
    }

    fn plain(&mut self, input: &[u8], heard: &mut impl FnMut(Heard)) -> Result<(), Ended> {
        let Stage::Plain(framer) = &mut self.stage else {
            return Ok(());
        };
        let (outbox, ttl) = (&mut self.outbox, &mut self.ttl);
        let publishes = self.kind == SocketType::Pub;
        let before = outbox.len();
        framer.feed(input, &mut |item| match item {
            Item::Message(frames) => heard(Heard::Message(frames)),
            Item::Command(command) => {
                if let Some((deciseconds, context)) = ping(&command) {
                    outbox.command(b"PONG", &[context]);
                    let live = Duration::from_millis(u64::from(deciseconds) * 100);
                    *ttl = (deciseconds > 0).then_some(live);
                } else if publishes && let Some(wish) = subscription(&command) {
                    heard(Heard::Message(vec![wish]));
                }
            }
        })?;
        self.count_pongs(before)
    }

    fn sealed(&mut self, input: &[u8], heard: &mut impl FnMut(Heard)) -> Result<(), Ended> {
        let Stage::Sealed(codec) = &mut self.stage else {
            return Ok(());
        };
        let publishes = self.kind == SocketType::Pub;
        let before = self.outbox.len();
        let taken = codec.handle_input(Bytes::copy_from_slice(input));
        let mut after = taken;
        loop {
            while let Some(message) = codec.poll_message() {
                heard(Heard::Message(frames_of(&message)));
            }
            while let Some(event) = codec.poll_event() {
                // Other commands mean nothing here.
                if publishes && let Some(wish) = opened_subscription(&event) {
                    heard(Heard::Message(vec![wish]));
                }
            }
            self.ttl = codec.peer_heartbeat_ttl();
            transmit(codec, &mut self.outbox);
            after?;
            if !codec.has_pending_input() {
                break;
            }
            after = codec.resume_input();
        }
        self.count_pongs(before)
    }

    /// Counts what was put to the `before` bytes that waited.
    fn count_pongs(&mut self, before: usize) -> Result<(), Ended> {
        self.pongs += self.outbox.len() - before;
        match self.pongs > PONGS {
            true => Err(Ended::Stuck),
            false => Ok(()),
        }
    }

    fn handshake(&mut self, input: &[u8], heard: &mut impl FnMut(Heard)) -> Result<(), Ended> {
        let Stage::Handshake(handshake) = &mut self.stage else {
            return Ok(());
        };
        let Some(who) = handshake.feed(input, &mut self.outbox)? else {
            return Ok(());
        };
        self.pings = who.pings;
        heard(Heard::Ready(who));
        let plain = Stage::Plain(Framer::new(self.max));
        let Stage::Handshake(handshake) = std::mem::replace(&mut self.stage, plain) else {
            return Ok(());
        };
        let (rest, sealed) = handshake.done();
        if let Some(codec) = sealed {
            self.stage = Stage::Sealed(codec);
        }
        self.input(&rest, heard)
    }

    /// Puts a message behind what waits to be sent.
    pub(super) fn send(&mut self, frames: Frames) -> Result<(), SendError> {
        if self.outbox.len() >= SEND_BYTES {
            return Err(SendError::Full);
        }
        match &mut self.stage {
            Stage::Handshake(_) => return Err(SendError::Gone),
            Stage::Plain(_) => self.outbox.message(&frames),
            Stage::Sealed(codec) => {
                let sent = codec.send_message(&Message::multipart(frames));
                sent.map_err(|_| SendError::Gone)?;
                transmit(codec, &mut self.outbox);
            }
        }
        Ok(())
    }

    /// Sends what goes without waiting. Says whether something is left.
    pub(super) fn flush(&mut self, now: Instant) -> Result<bool, Ended> {
        let sent = self.outbox.flush(&self.socket)?;
        let left = !self.outbox.is_empty();
        if !left {
            self.stuck = None;
            self.pongs = 0;
        } else if sent > 0 || self.stuck.is_none() {
            self.stuck = Some(now);
        }
        Ok(left)
    }

    /// Time passed: it is given up for its silence, or pinged, and keeps no memory for nothing. Says whether something is to be
    /// sent.
    pub(super) fn tick(&mut self, now: Instant) -> Result<bool, Ended> {
        let since = |then: Instant| now.saturating_duration_since(then);
        if self.stuck.is_some_and(|it| since(it) >= STUCK) {
            return Err(Ended::Stuck);
        }
        if !self.is_ready() {
            // Until then this is when it came: who dribbles is late as well.
            return match since(self.pinged) >= HANDSHAKE {
                true => Err(Ended::Late),
                false => Ok(false),
            };
        }
        self.outbox.rest();
        if let Stage::Plain(framer) = &mut self.stage {
            framer.rest();
        }
        let silent = since(self.heard);
        let most = self.ttl.unwrap_or(PING_TIMEOUT).min(PING_TIMEOUT);
        if (self.pings && silent >= PING_TIMEOUT) || (self.ttl.is_some() && silent >= most) {
            return Err(Ended::Silent);
        }
        if !self.pings || silent < PING || since(self.pinged) < PING {
            return Ok(false);
        }
        self.pinged = now;
        match &mut self.stage {
            Stage::Sealed(codec) => {
                codec.send_command(&Command::Ping {
                    ttl_deciseconds: TTL,
                    context: Bytes::new(),
                })?;
                transmit(codec, &mut self.outbox);
            }
            _ => self.outbox.command(PING_NAME, &[&TTL.to_be_bytes()]),
        }
        Ok(true)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Something that came of a connection.
#[derive(Debug)]
pub(super) enum Heard {
    /// The handshake is done.
    Ready(Who),
    /// A message.
    Message(Frames),
}

/// Bytes received; 0 if there are none now.
fn received(count: Result<usize, Errno>) -> Result<usize, Ended> {
    match count {
        Ok(0) => Err(Ended::Closed),
        Ok(count) => Ok(count),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// A ping's time to live and context.
fn ping(command: &[u8]) -> Option<(u16, &[u8])> {
    let (&length, rest) = command.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(length))?;
    if name != PING_NAME {
        return None;
    }
    let (ttl, context) = rest.split_first_chunk()?;
    let context = &context[..context.len().min(MAX_CONTEXT)];
    Some((u16::from_be_bytes(*ttl), context))
}

/// A subscription, or its end, that came as a command (RFC 37), in the shape in which it came as a message before (RFC 23).
fn subscription(command: &[u8]) -> Option<Bytes> {
    let (first, topic) = match command {
        [9, rest @ ..] => (1, rest.strip_prefix(b"SUBSCRIBE")?),
        [6, rest @ ..] => (0, rest.strip_prefix(b"CANCEL")?),
        _ => return None,
    };
    Some([&[first], topic].concat().into())
}

/// The same of a command that the codec has opened.
fn opened_subscription(event: &Event) -> Option<Bytes> {
    let (first, topic) = match event {
        Event::Command(Command::Subscribe(topic)) => (1, topic),
        Event::Command(Command::Cancel(topic)) => (0, topic),
        _ => return None,
    };
    Some([&[first], &topic[..]].concat().into())
}

#[cfg(test)]
pub(super) mod tests;
