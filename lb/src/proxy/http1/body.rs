//! Bodies: where one ends, and how it is framed again for the other side.

use std::io::{IoSlice, Write};
use std::ops::Range;

use super::chunked::Decoder;
use super::field::{self, Kind};
use super::{Framing, has_bare_line_feed};

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FramingError {
    #[error("the chunked body is malformed")]
    Chunk,
    #[error("the trailer section is malformed or too long")]
    Trailer,
    #[error("the body was cut short")]
    Cut,
}

/// The most stretches of data that one read is split into: so many are written with one system call.
pub(crate) const MAX_PIECES: usize = 16;

/// Where the body's data lies in a buffer: the rest is framing.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    ranges: [Range<usize>; MAX_PIECES],
    len: usize,
    total: usize,
}

impl Pieces {
    pub(super) fn push(&mut self, range: Range<usize>) {
        self.total += range.len();
        self.ranges[self.len] = range;
        self.len += 1;
    }

    pub(super) fn is_full(&self) -> bool {
        self.len == MAX_PIECES
    }

    /// Bytes of data.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// The data's places.
    pub(crate) fn ranges(&self) -> &[Range<usize>] {
        &self.ranges[..self.len]
    }
}

/// Finds the end of one body.
#[derive(Debug)]
pub(crate) enum BodyReader {
    Length(u64),
    Chunked(Box<Decoder>),
    UntilClose,
    Done,
}

impl BodyReader {
    pub(crate) fn new(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Box::default()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Reads from `input`: how much was used, and in `pieces` where the data lies. Stops at the end of the body; stops
    /// early if `pieces` is full.
    pub(crate) fn feed(
        &mut self,
        input: &[u8],
        pieces: &mut Pieces,
    ) -> Result<usize, FramingError> {
        match self {
            Self::Length(left) => {
                let take = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                pieces.push(0..take);
                *left -= take as u64;
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(take)
            }
            Self::Chunked(decoder) => decoder.feed(input, pieces),
            Self::UntilClose => {
                pieces.push(0..input.len());
                Ok(input.len())
            }
            Self::Done => Ok(0),
        }
    }

    /// The other side has closed: was that the end?
    pub(crate) fn end_of_input(&mut self) -> Result<(), FramingError> {
        match self {
            Self::UntilClose => *self = Self::Done,
            _ if self.is_done() => {}
            _ => return Err(FramingError::Cut),
        }
        Ok(())
    }

    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Done => true,
            Self::Chunked(decoder) => decoder.is_done(),
            Self::Length(_) | Self::UntilClose => false,
        }
    }

    fn trailer(&self) -> &[u8] {
        match self {
            Self::Chunked(decoder) => decoder.trailer(),
            _ => b"",
        }
    }
}

/// How a body is framed for the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyWriter {
    /// As it is: its length was announced, or the connection's end ends it.
    Plain,
    /// In chunks.
    Chunked,
}

impl BodyWriter {
    /// Calls `write` with what goes out for `pieces` of `buffer`: the data, with framing around it, and the last chunk if
    /// `body` is done.
    pub(crate) fn frame<R>(
        self,
        buffer: &[u8],
        pieces: &Pieces,
        body: &BodyReader,
        head: &[u8],
        write: impl FnOnce(&[IoSlice<'_>]) -> R,
    ) -> Result<R, FramingError> {
        let mut slices = [IoSlice::new(&[]); MAX_PIECES + 4];
        let mut len = 0;
        let mut add = |bytes| {
            slices[len] = IoSlice::new(bytes);
            len += 1;
        };
        let mut size_line = [0; 20];
        let mut last = Vec::new();
        if !head.is_empty() {
            add(head);
        }
        if self == Self::Chunked && pieces.total > 0 {
            add(size(&mut size_line, pieces.total));
        }
        for range in pieces.ranges() {
            add(&buffer[range.clone()]);
        }
        if self == Self::Chunked {
            if pieces.total > 0 {
                add(b"\r\n");
            }
            if body.is_done() {
                last_chunk(body.trailer(), &mut last)?;
                add(&last);
            }
        }
        Ok(write(&slices[..len]))
    }
}

fn size(line: &mut [u8; 20], size: usize) -> &[u8] {
    let mut rest = &mut line[..];
    // 16 hexadecimal digits and CR LF fit into 20 bytes.
    write!(rest, "{size:x}\r\n").expect("room for the longest size");
    let left = rest.len();
    &line[..20 - left]
}

/// Fields that have no business in a trailer section: framing, routing, authentication, and what is processed before the
/// body (RFC 9110 §6.5.1).
const NOT_IN_TRAILERS: [&str; 9] = [
    "authorization",
    "cache-control",
    "content-encoding",
    "content-range",
    "content-type",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "trailer",
];

fn last_chunk(trailer: &[u8], out: &mut Vec<u8>) -> Result<(), FramingError> {
    out.extend_from_slice(b"0\r\n");
    if trailer.len() > 2 {
        if has_bare_line_feed(trailer) {
            return Err(FramingError::Trailer);
        }
        let mut fields = [httparse::EMPTY_HEADER; super::MAX_FIELDS];
        let Ok(httparse::Status::Complete((_, fields))) =
            httparse::parse_headers(trailer, &mut fields)
        else {
            return Err(FramingError::Trailer);
        };
        for field in fields {
            let forbidden = NOT_IN_TRAILERS
                .iter()
                .any(|name| field.name.eq_ignore_ascii_case(name));
            if field::kind(field.name) == Kind::Pass && !forbidden {
                field::put(out, field.name.as_bytes(), field.value);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads `input` in reads of `step` bytes and writes it again. Returns what goes out and what is left over.
    fn through(
        framing: Framing,
        writer: BodyWriter,
        input: &[u8],
        step: usize,
    ) -> Result<(Vec<u8>, usize), FramingError> {
        let mut body = BodyReader::new(framing);
        let mut out = Vec::new();
        let mut used = 0;
        for read in input.chunks(step) {
            let mut at = 0;
            while at < read.len() && !body.is_done() {
                let mut pieces = Pieces::default();
                let rest = &read[at..];
                at += body.feed(rest, &mut pieces)?;
                writer.frame(rest, &pieces, &body, b"", |slices| {
                    for slice in slices {
                        out.extend_from_slice(slice);
                    }
                })?;
            }
            used += at;
        }
        body.end_of_input()?;
        Ok((out, input.len() - used))
    }

    fn text(
        result: Result<(Vec<u8>, usize), FramingError>,
    ) -> Result<(String, usize), FramingError> {
        result.map(|(out, left)| (String::from_utf8_lossy(&out).into_owned(), left))
    }

    #[test]
    fn chunks_are_read_and_written_anew() {
        let input = b"3;x=y\r\nabc\r\n00002\r\nde\r\n0\r\n\r\nGET";
        let plain = Ok(("abcde".to_owned(), 3));
        assert_eq!(
            text(through(Framing::Chunked, BodyWriter::Plain, input, 100)),
            plain
        );
        assert_eq!(
            text(through(Framing::Chunked, BodyWriter::Plain, input, 1)),
            plain
        );
        let chunked = text(through(Framing::Chunked, BodyWriter::Chunked, input, 100));
        assert_eq!(chunked, Ok(("5\r\nabcde\r\n0\r\n\r\n".to_owned(), 3)));
    }

    #[test]
    fn trailers_pass_but_for_what_must_not() {
        let input = b"0\r\nX-Sum: 1\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\nhost: x\r\nAuthorization: y\r\n\r\n";
        let out = text(through(Framing::Chunked, BodyWriter::Chunked, input, 7));
        assert_eq!(out, Ok(("0\r\nX-Sum: 1\r\n\r\n".to_owned(), 0)));
        for bad in [
            "0\r\nbad\r\n\r\n",
            "0\r\nX: 1\nY: 2\r\n\r\n",
            "0\r\n X: 1\r\n\r\n",
            "0\r\nX : 1\r\n\r\n",
        ] {
            let out = through(Framing::Chunked, BodyWriter::Chunked, bad.as_bytes(), 100);
            assert_eq!(out, Err(FramingError::Trailer), "{bad:?}");
        }
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for input in [
            "",
            "\r\n",
            "g\r\n",
            "0x3\r\nabc\r\n",
            "+3\r\nabc\r\n",
            "-1\r\n",
            " 3\r\nabc\r\n",
            "3 \r\nabc\r\n",
            "3\nabc\n0\n\n",
            "3\r\nabc0\r\n\r\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "3;\x01\r\nabc\r\n0\r\n\r\n",
            "3;a\nb\r\nabc\r\n0\r\n\r\n",
            "10000000000000000\r\n",
            "00000000000000000\r\n",
            "fffffffffffffffff\r\n",
            "3\r\rabc",
            "3_\r\nabc\r\n",
        ] {
            let out = through(Framing::Chunked, BodyWriter::Plain, input.as_bytes(), 3);
            assert!(out.is_err(), "{input:?} gave {out:?}");
        }
        let long = format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(2_000));
        assert!(through(Framing::Chunked, BodyWriter::Plain, long.as_bytes(), 64).is_err());
        let trailer = format!("0\r\n{}\r\n", "X: y\r\n".repeat(4_000));
        assert!(through(Framing::Chunked, BodyWriter::Plain, trailer.as_bytes(), 512).is_err());
    }

    #[test]
    fn a_length_ends_where_it_says_and_a_cut_is_seen() {
        assert_eq!(
            text(through(Framing::Length(3), BodyWriter::Plain, b"abcdef", 2)),
            Ok(("abc".to_owned(), 3))
        );
        assert_eq!(
            through(Framing::Length(3), BodyWriter::Plain, b"ab", 2),
            Err(FramingError::Cut)
        );
        assert_eq!(
            through(Framing::Chunked, BodyWriter::Plain, b"3\r\nab", 2),
            Err(FramingError::Cut)
        );
        assert_eq!(
            text(through(Framing::UntilClose, BodyWriter::Chunked, b"ab", 9)),
            Ok(("2\r\nab\r\n".to_owned(), 0))
        );
    }

    proptest! {
        #[test]
        fn any_split_of_any_chunked_body_reads_the_same(
            chunks in proptest::collection::vec("[a-z]{1,40}", 0..40),
            step in 1usize..64,
        ) {
            let mut input = Vec::new();
            for chunk in &chunks {
                input.extend(format!("{:x}\r\n{chunk}\r\n", chunk.len()).bytes());
            }
            input.extend(b"0\r\n\r\n");
            let (out, left) = through(Framing::Chunked, BodyWriter::Plain, &input, step).expect("well formed");
            prop_assert_eq!(out, chunks.concat().into_bytes());
            prop_assert_eq!(left, 0);
            // What is written again is read the same.
            let (again, _) = through(Framing::Chunked, BodyWriter::Chunked, &input, step).expect("well formed");
            let (plain, _) = through(Framing::Chunked, BodyWriter::Plain, &again, 9).expect("our own output");
            prop_assert_eq!(plain, chunks.concat().into_bytes());
        }

        #[test]
        fn no_input_panics(input in proptest::collection::vec(any::<u8>(), 0..200), step in 1usize..50) {
            let _ = through(Framing::Chunked, BodyWriter::Chunked, &input, step);
        }
    }
}
