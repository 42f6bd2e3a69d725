//! Bytes on their way to one peer.
//!
//! Small frames are copied to one place and go out together; large ones stay where they are. It must not know what the bytes mean.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes, BytesMut};
use rustix::{
    fd::AsFd,
    io::{Errno, Result},
    net::{SendAncillaryBuffer, SendFlags, send, sendmsg},
};

use super::framer::put_header;

/// Frames from this size on are not copied.
const LARGE: usize = 16 * 1024;
/// Pieces that go out in one call.
const PIECES: usize = 32;
/// A buffer larger than this is not kept for the next message.
const KEPT: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// What goes first.
    queue: VecDeque<Bytes>,
    /// What goes last.
    tail: BytesMut,
    queued: usize,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.queued + self.tail.len()
    }

    /// A message's frames, not encrypted.
    pub(super) fn message(&mut self, frames: &[Bytes]) {
        for (at, frame) in frames.iter().enumerate() {
            let more = at + 1 < frames.len();
            put_header(&mut self.tail, more, false, frame.len());
            self.bytes(frame);
        }
    }

    /// A command, not encrypted: its name with its length, and what follows it.
    pub(super) fn command(&mut self, name: &[u8], rest: &[&[u8]]) {
        let length = 1 + name.len() + rest.iter().map(|it| it.len()).sum::<usize>();
        put_header(&mut self.tail, false, true, length);
        let name_length = u8::try_from(name.len()).unwrap_or(u8::MAX); // all are shorter
        self.tail.extend_from_slice(&[name_length]);
        self.tail.extend_from_slice(name);
        for part in rest {
            self.tail.extend_from_slice(part);
        }
    }

    /// Bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &Bytes) {
        if bytes.len() < LARGE {
            self.tail.extend_from_slice(bytes);
            return;
        }
        self.seal();
        self.queued += bytes.len();
        self.queue.push_back(bytes.clone());
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.queued += self.tail.len();
            self.queue.push_back(self.tail.split().freeze());
        }
    }

    /// Gives back memory that a burst has left.
    pub(super) fn rest(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// Sends what goes without waiting. Says how much that was.
    pub(super) fn flush(&mut self, socket: impl AsFd + Copy) -> Result<usize> {
        let mut total = 0;
        while !self.is_empty() {
            let sent = match self.send_some(socket) {
                Err(Errno::AGAIN) => return Ok(total),
                Err(Errno::INTR) => continue,
                sent => sent?,
            };
            total += sent;
            self.sent(sent);
        }
        if self.tail.capacity() > KEPT {
            self.tail = BytesMut::new();
        }
        Ok(total)
    }

    fn send_some(&mut self, socket: impl AsFd) -> Result<usize> {
        if self.queue.is_empty() {
            return send(socket, &self.tail, SendFlags::NOSIGNAL);
        }
        self.seal();
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let mut count = 0;
        for (piece, bytes) in pieces.iter_mut().zip(&self.queue) {
            *piece = IoSlice::new(bytes);
            count += 1;
        }
        let mut control = SendAncillaryBuffer::default();
        sendmsg(socket, &pieces[..count], &mut control, SendFlags::NOSIGNAL)
    }

    fn sent(&mut self, mut count: usize) {
        while let Some(first) = self.queue.front_mut() {
            let here = count.min(first.len());
            first.advance(here);
            self.queued -= here;
            count -= here;
            if !first.is_empty() {
                return;
            }
            self.queue.pop_front();
            if count == 0 {
                return;
            }
        }
        self.tail.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, os::unix::net::UnixStream};

    use super::*;

    #[test]
    fn small_and_large_go_out_in_order_and_leave_no_memory_behind() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
        ours.set_nonblocking(true).expect("a socket");
        let mut outbox = Outbox::default();
        let (small, large) = (Bytes::from_static(b"small"), Bytes::from(vec![1; LARGE]));
        for _ in 0..100 {
            outbox.message(&[small.clone(), large.clone(), small.clone()]);
        }
        let one = [
            &[1, 5][..],
            b"small",
            &[3, 0, 0, 0, 0, 0, 0, 0x40, 0],
            &large[..],
            &[0, 5],
            b"small",
        ];
        let one = one.concat();
        assert_eq!(outbox.len(), 100 * one.len());
        let mut buffer = vec![0; one.len()];
        for at in 0..100 {
            outbox.flush(&ours).expect("it stands");
            theirs.read_exact(&mut buffer).expect("a message");
            assert!(buffer == one, "message {at}");
        }
        assert!(outbox.is_empty());
        outbox.rest();
        assert_eq!((outbox.tail.capacity(), outbox.queue.capacity()), (0, 0));
    }
}
