//! Who comes in and who goes: connections are accepted, as many as may have their handshakes at once, and forgotten.

use std::time::Instant;

use rustix::io::Errno;
use tracing::{debug, warn};

use super::{
    super::{MAX_HANDSHAKES, STUCK},
    LISTENERS, Link, PLACE, Place, Router, RouterEvent,
    connection::{Connection, Ended},
    handshake::Who,
    poll::Want,
};

/// Connections that are accepted at once. Then it is the turn of those that are there.
const ACCEPTS: usize = 64;
/// Connections at once.
const MAX_LINKS: usize = 1 << PLACE;

impl Router {
    /// Takes in who waits at one of the listening sockets.
    pub(super) fn accept(&mut self, at: usize, now: Instant) {
        for _ in 0..ACCEPTS {
            if self.handshakes >= MAX_HANDSHAKES {
                return self.pause(true);
            }
            let Some(listener) = self.listeners.get(at) else {
                return;
            };
            match listener.accept(STUCK) {
                Ok((socket, from)) => {
                    let setup = self.setup.clone();
                    self.join(Connection::accepted(socket, from, setup, now));
                }
                Err(Errno::AGAIN) => return,
                // That one is gone already.
                Err(Errno::CONNABORTED | Errno::INTR | Errno::NOTCONN | Errno::INVAL) => {}
                Err(error) => {
                    warn!(%error, "cannot accept connections now");
                    return self.pause(true);
                }
            }
        }
    }

    fn join(&mut self, connection: Connection) {
        let at = self.free.pop().unwrap_or(self.places.len());
        if at >= MAX_LINKS {
            return warn!(limit = MAX_LINKS, "a connection too many");
        }
        self.count += 1;
        let link = Link(self.count << PLACE | at as u64);
        if let Err(error) = self.poll.add(&connection, link.0, Want::Input) {
            self.free.push(at);
            return debug!(%error, "a connection cannot be watched");
        }
        let place = Place {
            link,
            connection,
            who: Who::default(),
            spoke: false,
            dirty: true, // our greeting
            full: false,
        };
        if at == self.places.len() {
            self.places.push(Some(place));
        } else {
            self.places[at] = Some(place);
        }
        self.handshakes += 1;
        self.dirty.push(link);
    }

    /// A connection ended.
    pub(super) fn end(&mut self, link: Link, reason: &Ended) {
        debug!(connection = link.0, %reason, "a ZeroMQ peer has gone");
        if let Some(place) = self.at(link)
            && !place.connection.is_ready()
        {
            self.handshakes -= 1;
        }
        self.forget(link);
    }

    pub(super) fn forget(&mut self, link: Link) {
        let place = self.places.get_mut(link.place());
        let Some(place) = place.and_then(|it| it.take_if(|it| it.link == link)) else {
            return;
        };
        self.free.push(link.place());
        if let Some(identity) = &place.who.identity {
            self.owners.went(identity, link.0);
        }
        if place.spoke {
            self.spoke -= 1;
            self.ready.push_back(RouterEvent::Down(link));
        }
    }

    /// Sends what waits for this one, as far as it goes.
    pub(in crate::zsock) fn flush_to(&mut self, link: Link) {
        self.flush_one(link, Instant::now());
    }

    /// Ends the connection of one who does not read, with all that waits for it.
    pub(in crate::zsock) fn let_go(&mut self, link: Link) {
        self.end(link, &Ended::Stuck);
    }

    /// Lets newcomers wait in the kernel's queue, or no longer.
    pub(super) fn pause(&mut self, pause: bool) {
        if self.paused == pause {
            return;
        }
        self.paused = pause;
        let want = if pause { Want::Nothing } else { Want::Input };
        for (at, listener) in self.listeners.iter().enumerate() {
            if let Err(error) = self.poll.change(listener, LISTENERS + at as u64, want) {
                warn!(%error, "a listening socket cannot be watched");
            }
        }
    }
}
