//! ZMTP 3 framing without encryption (RFC 23 §2.1, RFC 37): bytes to messages, and frames to bytes.
//!
//! The library's codec does the same, and more. This is what every message passes, so it looks at each byte once and keeps
//! nothing but what is not complete yet; a property test holds it against the codec. It must not know sockets.

use bytes::{BufMut, Bytes, BytesMut};

use super::super::Frames;

const MORE: u8 = 0x01;
const LONG: u8 = 0x02;
const COMMAND: u8 = 0x04;
const RESERVED: u8 = !(MORE | LONG | COMMAND);
const SHORT_HEADER: usize = 2;
const LONG_HEADER: usize = 9;
/// A command after the handshake is a heartbeat, or something that means nothing to a ROUTER.
const MAX_COMMAND: usize = 64 * 1024;
/// Frames of one message: an envelope has one for each hop, and a body has few.
const MAX_FRAMES: usize = 1024;
/// Room made for a message's frames to begin with: those of ours have no more.
const USUAL_FRAMES: usize = 8;
/// An incomplete frame grows by so much at least; not at once to the size that a stranger announced.
const GROWTH: usize = 64 * 1024;
/// From here on the rest of a frame is read to where it stays, and before that by way of a shared buffer.
const LARGE: usize = 16 * 1024;

/// What the peer sent that no peer may send.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Broken {
    #[error("flags of a frame that mean nothing")]
    Flags,
    #[error("a message larger than allowed")]
    TooLarge,
    #[error("a message of more than 1024 frames")]
    TooMany,
}

/// Something complete that came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Item {
    Message(Frames),
    /// A command's name and the rest, as one.
    Command(Bytes),
}

#[derive(Clone, Copy, Debug)]
struct Header {
    flags: u8,
    /// Its own length.
    length: usize,
    /// Length of header and body.
    total: usize,
}

impl Header {
    /// Reads it, as soon as there is enough of it.
    fn read(bytes: &[u8]) -> Result<Option<Self>, Broken> {
        let Some(&flags) = bytes.first() else {
            return Ok(None);
        };
        if flags & RESERVED != 0 || flags & (COMMAND | MORE) == COMMAND | MORE {
            return Err(Broken::Flags);
        }
        let length = Self::length(flags);
        let Some(size) = bytes.get(1..length) else {
            return Ok(None);
        };
        let size = size.iter().fold(0_u64, |sum, &it| sum << 8 | u64::from(it));
        let size = usize::try_from(size).map_err(|_| Broken::TooLarge)?;
        let total = size.checked_add(length).ok_or(Broken::TooLarge)?;
        Ok(Some(Self {
            flags,
            length,
            total,
        }))
    }

    fn length(flags: u8) -> usize {
        match flags & LONG {
            0 => SHORT_HEADER,
            _ => LONG_HEADER,
        }
    }

    fn body(self) -> usize {
        self.total - self.length
    }
}

/// What of one connection is not complete yet.
#[derive(Debug)]
pub(super) struct Framer {
    max: usize,
    /// The beginning of a frame.
    held: Vec<u8>,
    /// The beginning of a message.
    frames: Frames,
    size: usize,
}

impl Framer {
    /// Takes messages of at most this many bytes, all frames together.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            held: Vec::new(),
            frames: Frames::new(),
            size: 0,
        }
    }

    /// Takes what came, and tells of everything that is complete with it.
    pub(super) fn feed(
        &mut self,
        mut input: &[u8],
        sink: &mut impl FnMut(Item),
    ) -> Result<(), Broken> {
        while !self.held.is_empty() {
            let (wanted, header) = match Header::read(&self.held)? {
                Some(header) => (header.total, Some(header)),
                None => (Header::length(self.held[0]), None),
            };
            if let Some(header) = header {
                self.admit(header)?;
                if self.held.len() >= wanted {
                    self.held_frame(header, sink)?;
                    continue;
                }
            }
            if input.is_empty() {
                return Ok(());
            }
            let missing = wanted - self.held.len();
            let (now, later) = input.split_at(missing.min(input.len()));
            self.grow(missing.max(now.len()));
            self.held.extend_from_slice(now);
            input = later;
        }
        while let Some(header) = Header::read(input)? {
            self.admit(header)?;
            let Some(frame) = input.get(..header.total) else {
                break;
            };
            let body = &frame[header.length..];
            self.frame(header.flags, copied(body), sink)?;
            input = &input[header.total..];
        }
        self.held.extend_from_slice(input);
        Ok(())
    }

    /// Where the rest of a large frame may be read to, at the end of it. What was read is then taken by
    /// [`feed`](Self::feed) of nothing. Some bytes after the frame may be read as well.
    pub(super) fn room(&mut self) -> Option<&mut Vec<u8>> {
        let header = Header::read(&self.held).ok().flatten()?;
        let missing = header.total.checked_sub(self.held.len())?;
        if missing < LARGE {
            return None;
        }
        self.grow(missing);
        Some(&mut self.held)
    }

    /// Gives back memory that a burst has left.
    pub(super) fn rest(&mut self) {
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }

    fn grow(&mut self, missing: usize) {
        let most = self.held.len().max(GROWTH);
        if self.held.capacity() - self.held.len() < missing.min(most) {
            self.held.reserve_exact(missing.min(most));
        }
    }

    /// Whether a frame that is announced would be too much.
    fn admit(&self, header: Header) -> Result<(), Broken> {
        let most = match header.flags & COMMAND {
            0 => self.max - self.size,
            _ => MAX_COMMAND,
        };
        match header.body() > most {
            true => Err(Broken::TooLarge),
            false => Ok(()),
        }
    }

    /// The held frame is complete; what came after it is held from now on.
    fn held_frame(&mut self, header: Header, sink: &mut impl FnMut(Item)) -> Result<(), Broken> {
        let body = if header.total < LARGE {
            let body = copied(&self.held[header.length..header.total]);
            self.held.drain(..header.total);
            body
        } else {
            let after = self.held.split_off(header.total);
            let whole = std::mem::replace(&mut self.held, after);
            Bytes::from(whole).slice(header.length..)
        };
        self.frame(header.flags, body, sink)
    }

    fn frame(&mut self, flags: u8, body: Bytes, sink: &mut impl FnMut(Item)) -> Result<(), Broken> {
        if flags & COMMAND != 0 {
            sink(Item::Command(body));
            return Ok(());
        }
        if self.frames.len() >= MAX_FRAMES {
            return Err(Broken::TooMany);
        }
        self.size += body.len();
        if self.frames.capacity() == 0 {
            self.frames.reserve(USUAL_FRAMES);
        }
        self.frames.push(body);
        if flags & MORE == 0 {
            self.size = 0;
            sink(Item::Message(std::mem::take(&mut self.frames)));
        }
        Ok(())
    }
}

/// A frame of its own; an empty one takes no memory.
fn copied(body: &[u8]) -> Bytes {
    match body {
        [] => Bytes::new(),
        body => Bytes::copy_from_slice(body),
    }
}

/// Length of the frame at the beginning of these bytes, as soon as it is known.
pub(super) fn frame_length(bytes: &[u8]) -> Result<Option<usize>, Broken> {
    Ok(Header::read(bytes)?.map(|it| it.total))
}

/// Writes the header of a frame.
pub(super) fn put_header(out: &mut BytesMut, more: bool, command: bool, length: usize) {
    let flags = if more { MORE } else { 0 } | if command { COMMAND } else { 0 };
    match u8::try_from(length) {
        Ok(length) => out.put_slice(&[flags, length]),
        Err(_) => {
            out.put_u8(flags | LONG);
            out.put_u64(length as u64);
        }
    }
}

#[cfg(test)]
mod tests;
