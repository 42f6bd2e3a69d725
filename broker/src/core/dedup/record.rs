//! How a result lies in the pages: whose it is, the lengths of its frames, then the frames.
//!
//! Written and read in the same process, so it has no version.

use bytes::Bytes;

use super::super::{
    limits::MAX_ID,
    message::{ClientKey, Frames, RequestName},
};

const KEYED: u8 = 1;
const KEYLESS: u8 = 0;
/// Bytes of a length.
const LENGTH: usize = 4;

/// Bytes of it.
pub(super) fn length(name: &RequestName, frames: &[Bytes]) -> usize {
    let bytes = frames.iter().map(Bytes::len).sum::<usize>();
    name_length(name) + LENGTH * (1 + frames.len()) + bytes
}

/// Writes it.
pub(super) fn write(out: &mut Vec<u8>, name: &RequestName, frames: &[Bytes]) {
    put_name(out, name);
    put_length(out, frames.len());
    for frame in frames {
        put_length(out, frame.len());
    }
    for frame in frames {
        out.extend_from_slice(frame);
    }
}

/// The frames, if they are the answer to this request.
pub(super) fn read(record: &[u8], name: &RequestName) -> Option<Frames> {
    let mut wanted = Vec::with_capacity(name_length(name));
    put_name(&mut wanted, name);
    let mut rest = record.strip_prefix(wanted.as_slice())?;
    let count = take_length(&mut rest)?;
    let (mut lengths, mut bytes) = rest.split_at_checked(LENGTH.checked_mul(count)?)?;
    let mut frames = Frames::with_capacity(count);
    while !lengths.is_empty() {
        let (frame, after) = bytes.split_at_checked(take_length(&mut lengths)?)?;
        frames.push(Bytes::copy_from_slice(frame));
        bytes = after;
    }
    Some(frames)
}

fn name_length(name: &RequestName) -> usize {
    2 + name.key.map_or(0, |key| key.0.len()) + name.id.len()
}

fn put_name(out: &mut Vec<u8>, name: &RequestName) {
    match name.key {
        Some(ClientKey(key)) => {
            out.push(KEYED);
            out.extend_from_slice(&key);
        }
        None => out.push(KEYLESS),
    }
    const { assert!(MAX_ID <= u8::MAX as usize) };
    out.push(u8::try_from(name.id.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(&name.id);
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    // What is longer does not fit into a page anyway.
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
}

fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    *bytes = rest;
    usize::try_from(u32::from_le_bytes(*length)).ok()
}
