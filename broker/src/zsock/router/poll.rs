//! Which of many sockets have something to do: one `epoll` of our own, and tokio only waits for that one.
//!
//! tokio would take a task and a wake-up for each connection; the broker takes what is there in one go.

use std::{fmt, io::Result};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, CreateFlags, Event, EventData, EventFlags},
    fd::{AsFd, OwnedFd},
    io::Errno,
    time::Timespec,
};
use tokio::io::{Interest, unix::AsyncFd};

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
            Self::Input => EventFlags::IN,
            Self::InputAndOutput => EventFlags::IN | EventFlags::OUT,
            Self::Nothing => EventFlags::empty(),
        }
    }
}

pub(super) struct Poll {
    epoll: AsyncFd<OwnedFd>,
    events: Vec<Event>,
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

    /// One of those found: its number, whether it has input (or has ended), and whether it takes output.
    pub(super) fn found(&self, at: usize) -> (u64, bool, bool) {
        let Event { flags, data } = self.events[at];
        let ended = EventFlags::HUP | EventFlags::ERR;
        let input = flags.intersects(EventFlags::IN | ended);
        (data.u64(), input, flags.contains(EventFlags::OUT))
    }

    /// Waits until sockets have something to do; says how many. Cancel-safe.
    pub(super) async fn wait(&mut self) -> Result<usize> {
        loop {
            let mut guard = self.epoll.readable().await?;
            // Only what is seen to be empty is waited for anew: otherwise news would be missed.
            self.events.clear();
            let room = spare_capacity(&mut self.events);
            let found = epoll::wait(guard.get_inner(), room, Some(&AT_ONCE));
            match found {
                Ok(_) if self.events.is_empty() => guard.clear_ready(),
                Ok(_) => return Ok(self.events.len()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
