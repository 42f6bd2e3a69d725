//! Many HTTP/1.1 connections from one thread: requests are written at once, answers are collected as they come.
//!
//! A client of twenty thousand waiting queries must cost little itself, or it would measure itself. It reads only what it
//! needs of an answer: status, `X-Consul-Index`, and where the answer ends.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// How many connections are looked at between two system calls.
const EVENTS: usize = 256;
/// Read at once.
const READ: usize = 64 * 1024;

/// What is kept of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Which connection it came on.
    pub(crate) from: usize,
    pub(crate) status: u16,
    /// `X-Consul-Index`, or 0.
    pub(crate) index: u64,
    /// When its last byte was read.
    pub(crate) at: Instant,
}

#[derive(Debug)]
struct Member {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// Connections to one server.
#[derive(Debug)]
pub(crate) struct Crowd {
    epoll: OwnedFd,
    members: Vec<Member>,
    buffer: Vec<u8>,
}

impl Crowd {
    pub(crate) fn new() -> io::Result<Crowd> {
        Ok(Crowd {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            members: Vec::new(),
            buffer: vec![0; READ],
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Opens another connection; returns its number.
    pub(crate) fn join(&mut self, server: SocketAddr) -> io::Result<usize> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let number = self.members.len();
        epoll::add(
            &self.epoll,
            &stream,
            EventData::new_u64(number as u64),
            EventFlags::IN,
        )?;
        self.members.push(Member {
            stream,
            unread: Vec::new(),
        });
        Ok(number)
    }

    /// Sends a request, which is small enough for the socket to take it whole.
    pub(crate) fn send(&mut self, to: usize, request: &[u8]) -> io::Result<()> {
        self.members[to].stream.write_all(request)
    }

    /// Collects the answers that come within `limit`; returns as soon as there are some.
    pub(crate) fn collect(&mut self, limit: Duration) -> io::Result<Vec<Answer>> {
        let mut events = Vec::with_capacity(EVENTS);
        let deadline = Instant::now() + limit;
        let mut answers = Vec::new();
        while answers.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = rustix::event::Timespec::try_from(left).map_err(io::Error::other)?;
            events.clear();
            let count = epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&left),
            )?;
            if count == 0 {
                break;
            }
            for event in &events {
                let from = usize::try_from(event.data.u64()).map_err(io::Error::other)?;
                self.read(from, &mut answers)?;
            }
        }
        Ok(answers)
    }

    fn read(&mut self, from: usize, answers: &mut Vec<Answer>) -> io::Result<()> {
        let member = &mut self.members[from];
        match member.stream.read(&mut self.buffer) {
            Ok(0) => return Err(io::Error::other("the server closed a connection")),
            Ok(count) => member.unread.extend_from_slice(&self.buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        if let Some((status, index)) = whole(&member.unread)? {
            member.unread.clear();
            answers.push(Answer {
                from,
                status,
                index,
                at: Instant::now(),
            });
        }
        Ok(())
    }
}

/// Status and index of an answer that is there to its end. There is never more than one: the next request is not sent before.
fn whole(bytes: &[u8]) -> io::Result<Option<(u16, u64)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, body) = (&bytes[..end], &bytes[end + 4..]);
    let head = std::str::from_utf8(head).map_err(io::Error::other)?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .ok_or_else(|| io::Error::other("an answer without a status"))?;
    let (mut index, mut length, mut chunked) = (0, 0, false);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if name.eq_ignore_ascii_case("x-consul-index") {
            index = value.parse().map_err(io::Error::other)?;
        } else if name.eq_ignore_ascii_case("content-length") {
            length = value.parse::<usize>().map_err(io::Error::other)?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = true;
        }
    }
    // JSON has no line end followed by a zero: only the last chunk ends so.
    let done = if chunked {
        body.ends_with(b"\r\n0\r\n\r\n")
    } else {
        body.len() >= length
    };
    Ok(done.then_some((status, index)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_at_its_end_and_not_before() {
        let plain = b"HTTP/1.1 200 OK\r\nX-Consul-Index: 7\r\nContent-Length: 2\r\n\r\n[]";
        let chunked =
            b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n".as_slice();
        for (text, expected) in [(plain.as_slice(), (200, 7)), (chunked, (500, 0))] {
            assert_eq!(whole(text).expect("an answer"), Some(expected));
            for cut in 0..text.len() {
                assert_eq!(whole(&text[..cut]).expect("a part"), None, "{cut}");
            }
        }
        assert!(whole(b"nonsense\r\n\r\n").is_err());
    }
}
