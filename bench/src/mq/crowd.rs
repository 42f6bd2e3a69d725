//! Many ZeroMQ peers from one thread: DEALERs that are connected to brokers, over plain sockets.
//!
//! It moves messages and answers pings; what is said is its caller's business. What a connection has to send after one of
//! its messages was handled goes out at once, as it would from a program of its own.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use e2e::wait;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::zmtp::{self, Item};

/// How many connections are looked at between two system calls.
const EVENTS: usize = 256;
/// Read at once.
const READ: usize = 128 * 1024;
/// Connections that shake hands at the same time: fewer than a listener's queue holds.
const AT_ONCE: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Greeting,
    Handshake,
    Open,
}

#[derive(Debug)]
struct Member {
    stream: TcpStream,
    stage: Stage,
    unread: Vec<u8>,
    watched_for_room: bool,
}

/// What waits to be sent, by connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    unsent: Vec<Vec<u8>>,
    /// Connections that got something to send.
    touched: Vec<usize>,
}

impl Outbox {
    /// Puts a message behind what waits already.
    pub(crate) fn send(&mut self, to: usize, frames: &[&[u8]]) {
        zmtp::write(frames, self.touch(to));
    }

    fn touch(&mut self, to: usize) -> &mut Vec<u8> {
        if self.touched.last() != Some(&to) {
            self.touched.push(to);
        }
        &mut self.unsent[to]
    }
}

/// Takes the messages that come.
pub(crate) trait Listener {
    /// A message came on this connection; answers go to the outbox.
    fn hear(&mut self, from: usize, frames: &[&[u8]], out: &mut Outbox) -> Result<(), String>;
}

/// The connections.
#[derive(Debug)]
pub(crate) struct Crowd {
    epoll: OwnedFd,
    members: Vec<Member>,
    /// For what their owner has to say on its own account; sent by the next [`turn`](Self::turn).
    pub(crate) out: Outbox,
    buffer: Vec<u8>,
}

impl Crowd {
    pub(crate) fn new() -> Result<Crowd, String> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(|error| error.to_string())?;
        Ok(Crowd {
            epoll,
            members: Vec::new(),
            out: Outbox::default(),
            buffer: vec![0; READ],
        })
    }

    /// Connects that many more, which get the next numbers, and waits until each may speak.
    pub(crate) fn join(&mut self, count: usize, broker: SocketAddr) -> Result<(), String> {
        let mut left = count;
        while left > 0 {
            let now = left.min(AT_ONCE);
            left -= now;
            for _ in 0..now {
                self.connect(broker)
                    .map_err(|error| format!("connection {}: {error}", self.members.len()))?;
            }
            let deadline = Instant::now() + wait::SOON;
            let first = self.members.len() - now;
            while self.members[first..]
                .iter()
                .any(|member| member.stage != Stage::Open)
            {
                if Instant::now() > deadline {
                    return Err("the broker does not shake hands".to_owned());
                }
                self.turn(Duration::from_millis(100), &mut Deaf)?;
            }
        }
        Ok(())
    }

    fn connect(&mut self, broker: SocketAddr) -> io::Result<()> {
        let mut stream = TcpStream::connect(broker)?;
        stream.set_nodelay(true)?;
        stream.write_all(&zmtp::greeting())?;
        stream.set_nonblocking(true)?;
        let number = self.members.len() as u64;
        epoll::add(
            &self.epoll,
            &stream,
            EventData::new_u64(number),
            EventFlags::IN,
        )?;
        self.members.push(Member {
            stream,
            stage: Stage::Greeting,
            unread: Vec::new(),
            watched_for_room: false,
        });
        self.out.unsent.push(Vec::new());
        Ok(())
    }

    /// Sends what waits, waits at most that long for something to come, and hands it on.
    pub(crate) fn turn(
        &mut self,
        limit: Duration,
        listener: &mut impl Listener,
    ) -> Result<(), String> {
        self.flush()?;
        let limit = rustix::event::Timespec::try_from(limit).map_err(|error| error.to_string())?;
        let mut events = Vec::with_capacity(EVENTS);
        let spare = rustix::buffer::spare_capacity(&mut events);
        epoll::wait(&self.epoll, spare, Some(&limit)).map_err(|error| error.to_string())?;
        for event in events {
            let from = usize::try_from(event.data.u64()).map_err(|error| error.to_string())?;
            let flags = event.flags;
            if flags.contains(EventFlags::OUT) {
                self.out.touch(from);
            }
            if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                self.receive(from, listener)?;
            }
            self.flush()?;
        }
        Ok(())
    }

    fn receive(&mut self, from: usize, listener: &mut impl Listener) -> Result<(), String> {
        let member = &mut self.members[from];
        match member.stream.read(&mut self.buffer) {
            Ok(0) => return Err("the broker closed a connection".to_owned()),
            Ok(count) => member.unread.extend_from_slice(&self.buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
        let mut unread = std::mem::take(&mut member.unread);
        let mut at = 0;
        if member.stage == Stage::Greeting && unread.len() >= zmtp::GREETING_LENGTH {
            at = zmtp::GREETING_LENGTH;
            member.stage = Stage::Handshake;
            self.out.touch(from).extend(zmtp::ready());
        }
        while member.stage != Stage::Greeting
            && let Some((item, length)) = zmtp::read(&unread[at..])?
        {
            at += length;
            match item {
                Item::Ready => member.stage = Stage::Open,
                Item::Ping(context) => zmtp::pong(context, self.out.touch(from)),
                Item::Message(frames) => listener.hear(from, frames.as_slice(), &mut self.out)?,
                Item::Other => {}
            }
        }
        unread.drain(..at);
        member.unread = unread;
        Ok(())
    }

    /// Sends what the sockets take now. The rest goes when there is room.
    fn flush(&mut self) -> Result<(), String> {
        while let Some(number) = self.out.touched.pop() {
            let (member, unsent) = (&mut self.members[number], &mut self.out.unsent[number]);
            while !unsent.is_empty() {
                match member.stream.write(unsent) {
                    Ok(count) => drop(unsent.drain(..count)),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.to_string()),
                }
            }
            if unsent.is_empty() == member.watched_for_room {
                member.watched_for_room = !unsent.is_empty();
                let mut flags = EventFlags::IN;
                flags.set(EventFlags::OUT, member.watched_for_room);
                let data = EventData::new_u64(number as u64);
                epoll::modify(&self.epoll, &member.stream, data, flags)
                    .map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }
}

/// Nobody speaks before the handshakes are over.
struct Deaf;

impl Listener for Deaf {
    fn hear(&mut self, _: usize, _: &[&[u8]], _: &mut Outbox) -> Result<(), String> {
        Ok(())
    }
}
