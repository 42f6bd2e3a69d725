//! Which of many sockets have something to do: one `epoll` of our own, and tokio only waits for that one.
//!
//! tokio would take a task and a wake-up for each connection; the broker takes what is there in one go. tokio is told of news
//! only, so whoever leaves something at a socket has to say so: see [`Poll::again`].

use std::{fmt, io::Result};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, CreateFlags, Event, EventData, EventFlags},
    fd::{AsFd, OwnedFd},
    io::Errno,
    time::Timespec,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    task::coop::consume_budget,
};

/// Sockets that are told of at once.
const EVENTS: usize = 256;
const AT_ONCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// What is waited for at a socket, besides its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Want {
    Input,
    InputAndOutput,
    Nothing,
}

impl Want {
    fn flags(self) -> EventFlags {
        match self {
            Self::Input => EventFlags::IN | EventFlags::RDHUP,
            Self::InputAndOutput => EventFlags::IN | EventFlags::RDHUP | EventFlags::OUT,
            Self::Nothing => EventFlags::empty(),
        }
    }
}

/// One of the sockets found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) number: u64,
    /// It has input, or has ended.
    pub(super) input: bool,
    /// It takes output.
    pub(super) output: bool,
    /// Nothing comes after what there is to be read.
    pub(super) ended: bool,
}

pub(super) struct Poll {
    epoll: AsyncFd<OwnedFd>,
    events: Vec<Event>,
    /// Something may be left at a socket that was found, and nobody will say so: ask once more before waiting.
    again: bool,
}

impl fmt::Debug for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.events.len();
        f.debug_struct("Poll").field("found", &found).finish()
    }
}

impl Poll {
    pub(super) fn new() -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        #[allow(
            deprecated,
            reason = "it is for descriptors that may be closed by others: this one is owned and never replaced"
        )]
        let epoll = AsyncFd::with_interest(epoll, Interest::READABLE)?;
        Ok(Self {
            epoll,
            events: Vec::with_capacity(EVENTS),
            again: false,
        })
    }

    /// Watches a socket, under a number, until it is closed.
    pub(super) fn add(&self, socket: impl AsFd, number: u64, want: Want) -> Result<()> {
        let number = EventData::new_u64(number);
        Ok(epoll::add(
            self.epoll.get_ref(),
            socket,
            number,
            want.flags(),
        )?)
    }

    pub(super) fn change(&self, socket: impl AsFd, number: u64, want: Want) -> Result<()> {
        let number = EventData::new_u64(number);
        Ok(epoll::modify(
            self.epoll.get_ref(),
            socket,
            number,
            want.flags(),
        )?)
    }

    /// One of those found.
    pub(super) fn found(&self, at: usize) -> Found {
        let Event { flags, data } = self.events[at];
        let ended = flags.intersects(EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP);
        Found {
            number: data.u64(),
            input: ended || flags.contains(EventFlags::IN),
            output: flags.contains(EventFlags::OUT),
            ended,
        }
    }

    /// To be called when not all was taken of a socket that was found, its end included. What comes later is told anyway.
    pub(super) fn again(&mut self) {
        self.again = true;
    }

    /// Waits until sockets have something to do; says how many. Cancel-safe.
    pub(super) async fn wait(&mut self) -> Result<usize> {
        loop {
            if self.again {
                // It never waits here, but whoever else is in this thread has a turn as well.
                consume_budget().await;
                match ask(self.epoll.get_ref(), &mut self.events)? {
                    0 => self.again = false,
                    found => return Ok(found),
                }
                continue;
            }
            let mut guard = self.epoll.readable().await?;
            let found = ask(guard.get_inner(), &mut self.events)?;
            if found < EVENTS {
                // These are all, and what comes later is told anew.
                guard.clear_ready();
            }
            if found > 0 {
                return Ok(found);
            }
        }
    }
}

/// Which sockets have something to do at this moment; says how many.
fn ask(epoll: &OwnedFd, events: &mut Vec<Event>) -> Result<usize> {
    loop {
        events.clear();
        match epoll::wait(epoll, spare_capacity(events), Some(&AT_ONCE)) {
            Ok(_) => return Ok(events.len()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
