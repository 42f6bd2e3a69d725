//! The chunked coding (RFC 9112 §7.1), read strictly: a size in hexadecimal digits and nothing beside them, CR LF where
//! CR LF belongs. Extensions are skipped within a limit; they are never passed on.

use std::ops::Range;

use super::{FramingError, Pieces};

/// The most bytes of extensions in one chunk's size line. Nobody uses them.
const MAX_EXTENSION: u16 = 1_024;

/// The most bytes of the trailer section.
pub(super) const MAX_TRAILER: usize = 8 * 1024;

/// The most digits of a chunk size: 16 of them fill 64 bits.
const MAX_DIGITS: u8 = 16;

/// Where a reader stands in a chunked body.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    trailer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { size: u64, digits: u8 },
    Extension { size: u64, seen: u16 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer,
    Done,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            state: State::Size { size: 0, digits: 0 },
            trailer: Vec::new(),
        }
    }
}

impl Decoder {
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The trailer section with its final empty line, once it is done.
    pub(super) fn trailer(&self) -> &[u8] {
        &self.trailer
    }

    /// Reads from `input`, putting where the data lies into `pieces`, until the body ends, `pieces` is full or the input
    /// is used up. Returns how much was used.
    pub(super) fn feed(
        &mut self,
        input: &[u8],
        pieces: &mut Pieces,
    ) -> Result<usize, FramingError> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if let State::Data { left } = self.state {
                if pieces.is_full() {
                    break;
                }
                let take = usize::try_from(left)
                    .unwrap_or(usize::MAX)
                    .min(input.len() - at);
                pieces.push(Range {
                    start: at,
                    end: at + take,
                });
                at += take;
                let left = left - take as u64;
                self.state = if left == 0 {
                    State::DataCr
                } else {
                    State::Data { left }
                };
            } else {
                self.state = self.next(input[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    /// The state after one byte that is not data.
    fn next(&mut self, byte: u8) -> Result<State, FramingError> {
        let error = FramingError::Chunk;
        Ok(match self.state {
            State::Size { size, digits } => match (byte as char).to_digit(16) {
                Some(_) if digits == MAX_DIGITS => return Err(error),
                Some(digit) => State::Size {
                    size: size << 4 | u64::from(digit),
                    digits: digits + 1,
                },
                None if digits == 0 => return Err(error),
                None if byte == b';' => State::Extension { size, seen: 0 },
                None if byte == b'\r' => State::SizeEnd { size },
                None => return Err(error),
            },
            State::Extension { size, .. } if byte == b'\r' => State::SizeEnd { size },
            State::Extension { size, seen } => {
                if seen == MAX_EXTENSION || (byte < b' ' && byte != b'\t') || byte == 0x7F {
                    return Err(error);
                }
                State::Extension {
                    size,
                    seen: seen + 1,
                }
            }
            State::SizeEnd { size } if byte == b'\n' => match size {
                0 => State::Trailer,
                left => State::Data { left },
            },
            State::DataCr if byte == b'\r' => State::DataLf,
            State::DataLf if byte == b'\n' => State::Size { size: 0, digits: 0 },
            State::Trailer => {
                self.trailer.push(byte);
                if self.trailer.len() > MAX_TRAILER {
                    return Err(FramingError::Trailer);
                }
                if self.trailer == b"\r\n" || self.trailer.ends_with(b"\r\n\r\n") {
                    State::Done
                } else {
                    State::Trailer
                }
            }
            _ => return Err(error),
        })
    }
}
