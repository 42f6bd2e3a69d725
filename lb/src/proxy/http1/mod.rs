//! HTTP/1.1 (RFC 9112): a message is parsed, and a new message is written. No byte that frames a message is ever passed
//! on, so what leaves here has one reading, whatever came in.
//!
//! This knows messages only: no socket, no route, no upstream.

use std::mem::MaybeUninit;

mod body;
mod chunked;
mod field;
mod request;
mod response;

pub(crate) use body::{BodyReader, BodyWriter, FramingError, Pieces};
pub(crate) use request::{Forwarded, Method, parse as parse_request};
pub(crate) use response::{Delivery, ResponseHead, parse as parse_response};

/// The most header fields a head can have; the configured limit is at most this.
pub(crate) const MAX_FIELDS: usize = 100;

/// Room for the fields of one head, on the stack of whoever parses it.
pub(crate) type FieldStorage<'a> = [MaybeUninit<httparse::Header<'a>>; MAX_FIELDS];

/// Room for the fields of one head. Nothing is initialised: most heads have few.
pub(crate) fn storage<'a>() -> FieldStorage<'a> {
    [const { MaybeUninit::uninit() }; MAX_FIELDS]
}

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// Until the connection closes; responses only.
    UntilClose,
}

/// What came of parsing the bytes that are there.
#[derive(Debug)]
pub(crate) enum Parsed<T> {
    /// The head goes on in bytes that are not there yet.
    Partial,
    /// A whole head.
    Complete(T),
}

/// A message that must not be passed on: the status code to answer with, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Invalid {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
}

impl Invalid {
    fn bad(reason: &'static str) -> Self {
        Self {
            status: 400,
            reason,
        }
    }
}

/// How we sign messages that pass through (RFC 9110 §7.6.3).
const VIA: &[u8] = b"via: 1.1 turno\r\n";

/// Whether each line of `head` ends in CR LF: a bare LF is a line end to some and not to others.
fn has_bare_line_feed(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r')
}
