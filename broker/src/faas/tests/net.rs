//! Connections as the sockets see them: each end has its own order of things, ends hear of each other's end late, and what
//! was on its way to somebody who died is lost.

use std::collections::{BTreeMap, VecDeque};

use crate::faas::message::Note;

/// Which part: its place in the world, and which of its lives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Life {
    pub(super) part: usize,
    pub(super) number: u64,
}

/// Which of a part's sockets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Socket {
    /// Requests: front end to broker.
    Requests,
    /// Answers: broker to front end.
    Answers,
    /// Jobs: broker to queue.
    Jobs,
    /// What queues say to the broker.
    Told,
    /// Workers ask the broker for a queue.
    Asks,
    /// Workers at their queue.
    Work,
    /// Queues to coordinator.
    Inward,
    /// Coordinator to queues.
    Outward,
}

/// What one end of a connection sees next.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Up,
    /// The other end subscribes to this.
    Subscribed(String),
    Message(Box<Note>),
    Down,
}

impl Event {
    pub(super) fn said(note: Note) -> Self {
        Self::Message(Box::new(note))
    }
}

#[derive(Debug)]
struct End {
    life: Life,
    inbox: VecDeque<Event>,
    open: bool,
}

#[derive(Debug)]
struct Connection {
    socket: Socket,
    /// Who connected, and who listens.
    ends: [End; 2],
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Wire {
    pub(super) number: u64,
    end: usize,
}

/// All connections there are.
#[derive(Debug, Default)]
pub(super) struct Net {
    connections: BTreeMap<u64, Connection>,
    next: u64,
}

impl Net {
    /// Connects to somebody who lives.
    pub(super) fn connect(&mut self, socket: Socket, from: Life, to: Life) -> Wire {
        let number = self.next;
        self.next += 1;
        let end = |life| End {
            life,
            inbox: VecDeque::from([Event::Up]),
            open: true,
        };
        let ends = [end(from), end(to)];
        self.connections.insert(number, Connection { socket, ends });
        Wire { number, end: 0 }
    }

    /// To the other end; lost if that is closed.
    pub(super) fn send(&mut self, wire: Wire, event: Event) {
        if let Some(connection) = self.connections.get_mut(&wire.number) {
            let other = &mut connection.ends[1 - wire.end];
            if other.open {
                other.inbox.push_back(event);
            }
        }
    }

    /// Ends it; the other end hears of it after all that was said before.
    pub(super) fn close(&mut self, wire: Wire) {
        self.send(wire, Event::Down);
        if let Some(connection) = self.connections.get_mut(&wire.number) {
            let own = &mut connection.ends[wire.end];
            own.open = false;
            own.inbox.clear();
            let over = |it: &End| !it.open && it.inbox.is_empty();
            if connection.ends.iter().all(over) {
                self.connections.remove(&wire.number);
            }
        }
    }

    /// A connection breaks, though both ends live: either may still see some of what the other had said, then its end.
    pub(super) fn cut(&mut self, wire: Wire, random: &mut fastrand::Rng) {
        if let Some(connection) = self.connections.get_mut(&wire.number) {
            for end in connection.ends.iter_mut().filter(|it| it.open) {
                end.open = false;
                end.inbox.truncate(random.usize(..=end.inbox.len()));
                end.inbox.push_back(Event::Down);
            }
        }
    }

    /// One end of each connection.
    pub(super) fn all(&self) -> Vec<Wire> {
        let numbers = self.connections.keys();
        numbers.map(|&number| Wire { number, end: 0 }).collect()
    }

    /// Ends all connections of somebody who dies.
    pub(super) fn end_of(&mut self, life: Life) {
        for wire in self.wires(|end| end.open && end.life == life) {
            self.close(wire);
        }
    }

    /// The ends where something waits to be seen.
    pub(super) fn pending(&self) -> Vec<Wire> {
        self.wires(|end| !end.inbox.is_empty())
    }

    fn wires(&self, which: impl Fn(&End) -> bool) -> Vec<Wire> {
        let all = self.connections.iter().flat_map(|(&number, it)| {
            let ends = it.ends.iter().enumerate();
            ends.map(move |(end, it)| (Wire { number, end }, it))
        });
        let all = all.filter(|(_, end)| which(end));
        all.map(|(wire, _)| wire).collect()
    }

    /// What waits there first, at which part's socket.
    pub(super) fn take(&mut self, wire: Wire) -> Option<(Life, Socket, Event)> {
        let connection = self.connections.get_mut(&wire.number)?;
        let socket = connection.socket;
        let own = &mut connection.ends[wire.end];
        let event = own.inbox.pop_front()?;
        let life = own.life;
        if matches!(event, Event::Down) {
            self.close(wire);
        }
        Some((life, socket, event))
    }
}
