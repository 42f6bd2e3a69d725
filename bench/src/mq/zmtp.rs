//! ZMTP 3.0 as far as a DEALER needs it that talks to a ROUTER: greeting, NULL handshake, frames. Pure bytes.
//!
//! The load generator speaks it itself, so that clients and workers cost little and are the same for every broker; a ZeroMQ
//! library in them would use more CPU than the broker that is measured. The source is the specification, RFC 23.

/// Length of a greeting.
pub(crate) const GREETING_LENGTH: usize = 64;
/// More frames than any message here has.
const MOST_FRAMES: usize = 12;

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// The first thing that either side says: signature, version 3.0, mechanism NULL.
pub(crate) fn greeting() -> [u8; GREETING_LENGTH] {
    let mut bytes = [0; GREETING_LENGTH];
    bytes[0] = 0xff;
    bytes[9] = 0x7f;
    bytes[10] = 3;
    bytes[12..16].copy_from_slice(b"NULL");
    bytes
}

/// The command that ends the handshake of a DEALER without an identity.
pub(crate) fn ready() -> Vec<u8> {
    let mut body = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER".to_vec();
    let mut bytes = vec![COMMAND, u8::try_from(body.len()).unwrap_or_default()];
    bytes.append(&mut body);
    bytes
}

/// The answer to a PING with this context.
pub(crate) fn pong(context: &[u8], out: &mut Vec<u8>) {
    // A context has at most 16 bytes.
    let context = &context[..context.len().min(16)];
    out.extend([COMMAND, u8::try_from(5 + context.len()).unwrap_or_default()]);
    out.extend_from_slice(b"\x04PONG");
    out.extend_from_slice(context);
}

/// Appends a message.
pub(crate) fn write(frames: &[&[u8]], out: &mut Vec<u8>) {
    for (at, frame) in frames.iter().enumerate() {
        let more = if at + 1 < frames.len() { MORE } else { 0 };
        match u8::try_from(frame.len()) {
            Ok(length) => out.extend([more, length]),
            Err(_) => {
                out.push(more | LONG);
                out.extend((frame.len() as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(frame);
    }
}

/// What a broker sends after its greeting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Ready,
    Ping(&'a [u8]),
    Message(Frames<'a>),
    /// Another command.
    Other,
}

/// The frames of a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Frames<'a> {
    frames: [&'a [u8]; MOST_FRAMES],
    count: usize,
}

impl<'a> Frames<'a> {
    pub(crate) fn as_slice(&self) -> &[&'a [u8]] {
        &self.frames[..self.count]
    }
}

/// Reads what stands first in `bytes`, and says how long it is; `None` if it is not there to its end.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<(Item<'_>, usize)>, String> {
    let mut message = Frames::default();
    let mut at = 0;
    loop {
        let Some((flags, frame, end)) = frame(&bytes[at..]) else {
            return Ok(None);
        };
        at += end;
        if flags & COMMAND != 0 {
            return Ok(Some((command(frame)?, at)));
        }
        let place = message.frames.get_mut(message.count);
        *place.ok_or("a message with too many frames")? = frame;
        message.count += 1;
        if flags & MORE == 0 {
            return Ok(Some((Item::Message(message), at)));
        }
    }
}

/// Flags, content and whole length of the first frame.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let flags = *bytes.first()?;
    let (length, start): (usize, usize) = if flags & LONG == 0 {
        (usize::from(*bytes.get(1)?), 2)
    } else {
        let length = u64::from_be_bytes(bytes.get(1..9)?.try_into().ok()?);
        (usize::try_from(length).ok()?, 9)
    };
    let end = start.checked_add(length)?;
    Some((flags, bytes.get(start..end)?, end))
}

fn command(frame: &[u8]) -> Result<Item<'_>, String> {
    if frame.starts_with(b"\x05READY") {
        return Ok(Item::Ready);
    }
    if let Some(rest) = frame.strip_prefix(b"\x04PING") {
        // Two bytes say how long the broker waits.
        return Ok(Item::Ping(rest.get(2..).unwrap_or_default()));
    }
    if frame.starts_with(b"\x05ERROR") {
        let why = String::from_utf8_lossy(frame).into_owned();
        return Err(format!("the broker refuses the handshake: {why}"));
    }
    Ok(Item::Other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_back_once_it_is_whole() {
        let long = vec![7; 300];
        let frames: [&[u8]; 3] = [b"", b"body", &long];
        let mut bytes = Vec::new();
        write(&frames, &mut bytes);
        assert_eq!(bytes[..8], *b"\x01\x00\x01\x04body");
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), Ok(None), "{cut}");
        }
        let whole = bytes.len();
        bytes.extend(b"the next one");
        let Ok(Some((Item::Message(found), end))) = read(&bytes) else {
            panic!("a message");
        };
        assert_eq!((found.as_slice(), end), (&frames[..], whole));
    }

    #[test]
    fn commands_are_told_from_messages() {
        assert_eq!(read(&ready()), Ok(Some((Item::Ready, ready().len()))));
        let ping = b"\x04\x09\x04PING\x00\x0aab";
        assert_eq!(read(ping), Ok(Some((Item::Ping(b"ab"), 11))));
        let mut answer = Vec::new();
        pong(b"ab", &mut answer);
        assert_eq!(answer, b"\x04\x07\x04PONGab");
        assert!(read(b"\x04\x09\x05ERROR\x02no").is_err());
        let mut endless = [1, 0].repeat(MOST_FRAMES);
        endless.extend([0, 0]);
        assert!(read(&endless).is_err());
    }
}
