//! The two messages of gRPC's health service, and gRPC's frame around a message.
//!
//! A frame is a byte that says whether the message is compressed, four bytes of length, and the message. The request has
//! one field (1, the service's name); the answer has one (1, an enum). Protobuf writes a field as a varint key
//! (`number << 3 | wire type`) and its value; fields this version does not know are skipped, as protobuf requires.

use std::fmt;

/// Bytes before each message.
const FRAME: usize = 5;
/// Key of field 1 with length-delimited contents: the name in a request.
const SERVICE: u8 = 1 << 3 | 2;
/// Field number of the status in an answer.
const STATUS: u64 = 1;

/// What a server says of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::enum_variant_names)] // the protocol's own words
pub(super) enum Serving {
    Unknown,
    Serving,
    NotServing,
    ServiceUnknown,
    /// A number that this version does not know.
    Other(u64),
}

impl fmt::Display for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Serving::Unknown => "UNKNOWN",
            Serving::Serving => "SERVING",
            Serving::NotServing => "NOT_SERVING",
            Serving::ServiceUnknown => "SERVICE_UNKNOWN",
            Serving::Other(number) => return write!(f, "{number}"),
        })
    }
}

/// A framed request about `service`; empty asks about the server as a whole.
pub(super) fn request(service: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(service.len() + 8);
    if !service.is_empty() {
        message.push(SERVICE);
        put_varint(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    // A target comes in a request of a few megabytes at most, so this length never is cut.
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut frame = vec![0];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.append(&mut message);
    frame
}

/// Reads the one framed answer.
pub(super) fn answer(frame: &[u8]) -> Result<Serving, &'static str> {
    let Some((head, message)) = frame.split_first_chunk::<FRAME>() else {
        return Err("the answer has no message");
    };
    let [compressed, length @ ..] = *head;
    if compressed != 0 {
        return Err("the answer is compressed, which was not asked for");
    }
    if usize::try_from(u32::from_be_bytes(length)) != Ok(message.len()) {
        return Err("the answer is not one whole message");
    }
    status(message).ok_or("the answer is not a health message")
}

/// Field 1 of a message; absent means 0. `None` if the message is not protobuf.
fn status(mut message: &[u8]) -> Option<Serving> {
    let mut found = 0;
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        match (key >> 3, key & 7) {
            (STATUS, 0) => found = take_varint(&mut message)?,
            (_, 0) => drop(take_varint(&mut message)?),
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(take_varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(match found {
        0 => Serving::Unknown,
        1 => Serving::Serving,
        2 => Serving::NotServing,
        3 => Serving::ServiceUnknown,
        other => Serving::Other(other),
    })
}

/// Seven bits a byte, the lowest first; the top bit says that more follow.
fn put_varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_are_written_as_protobuf_wants_them() {
        assert_eq!(request(""), [0, 0, 0, 0, 0]);
        assert_eq!(request("db"), [0, 0, 0, 0, 4, 0x0a, 2, b'd', b'b']);
        let long = "x".repeat(300);
        let frame = request(&long);
        assert_eq!(frame[..8], [0, 0, 0, 1, 0x2f, 0x0a, 0xac, 0x02]);
        assert_eq!(frame.len(), 5 + 303);
    }

    #[test]
    fn answers_are_read() {
        let framed = |message: &[u8]| {
            let mut frame = vec![0, 0, 0, 0, message.len() as u8];
            frame.extend_from_slice(message);
            answer(&frame)
        };
        let table: [(&[u8], Serving); 8] = [
            (&[], Serving::Unknown),
            (&[8, 0], Serving::Unknown),
            (&[8, 1], Serving::Serving),
            (&[8, 2], Serving::NotServing),
            (&[8, 3], Serving::ServiceUnknown),
            (&[8, 0xac, 2], Serving::Other(300)),
            // Unknown fields of each kind, before and after.
            (&[0x12, 1, b'x', 8, 1, 0x18, 5], Serving::Serving),
            (
                &[0x21, 1, 2, 3, 4, 5, 6, 7, 8, 0x2d, 1, 2, 3, 4, 8, 1],
                Serving::Serving,
            ),
        ];
        for (message, expected) in table {
            assert_eq!(framed(message), Ok(expected), "{message:?}");
        }
        for broken in [&[8][..], &[8, 0x80], &[0x12, 9], &[0x0b], &[0xff; 11]] {
            assert!(framed(broken).is_err(), "{broken:?}");
        }
        assert!(answer(&[]).is_err());
        assert!(answer(&[1, 0, 0, 0, 2, 8, 1]).is_err(), "compressed");
        assert!(answer(&[0, 0, 0, 0, 3, 8, 1]).is_err(), "cut");
        assert!(answer(&[0, 0, 0, 0, 1, 8, 1]).is_err(), "more than one");
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = answer(&bytes);
        }

        #[test]
        fn varints_come_back(number: u64) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            prop_assert_eq!(take_varint(&mut bytes.as_slice()), Some(number));
        }
    }
}
