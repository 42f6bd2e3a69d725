//! Compressed answers for who asks for them, as Consul gives them: whatever the size, errors too.
//!
//! Compressing is done at once and on the spot, so that there are never more compressors than threads, however many
//! requests there are; each thread keeps one and uses it again. It knows bytes, not what they mean.

use std::cell::RefCell;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use http::{HeaderMap, header};

/// A member's head (RFC 1952): no name, no time, compressed fast, any system.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];
/// What the checksum and the length after it take.
const TAIL: usize = 8;
/// Room for what does not get smaller, and for the ends of blocks.
const SLACK: usize = 64;

thread_local! {
    /// Some hundred kilobytes, so made once for each thread. The lowest level: JSON shrinks to a tenth with it.
    static COMPRESSOR: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
}

/// Whether gzip is asked for by its name, and not with a weight of 0 or one that is none.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).into_iter();
    let codings = lines.filter_map(|line| line.to_str().ok());
    let mut codings = codings.flat_map(|line| line.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().strip_prefix("q=");
        let weight = weight.and_then(|weight| weight.trim().parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_some_and(|weight| weight > 0.0)
    })
}

/// The bytes as a gzip member; `None` if that cannot be done, which leaves them to be sent as they are.
pub(super) fn compress(plain: &[u8]) -> Option<Bytes> {
    COMPRESSOR.with_borrow_mut(|compressor| {
        compressor.reset();
        let mut packed = Vec::with_capacity(plain.len() / 4 + HEAD.len() + TAIL + SLACK);
        packed.extend_from_slice(&HEAD);
        loop {
            let done = usize::try_from(compressor.total_in()).ok()?;
            let rest = plain.get(done..)?;
            match compressor.compress_vec(rest, &mut packed, FlushCompress::Finish) {
                Ok(Status::StreamEnd) => break,
                Ok(Status::Ok | Status::BufError) => packed.reserve(plain.len() / 4 + SLACK),
                Err(_) => return None,
            }
        }
        packed.extend_from_slice(&crc32fast::hash(plain).to_le_bytes());
        // The length counts modulo 2^32.
        let length = plain.len() as u64 & u64::from(u32::MAX);
        packed.extend_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
        Some(packed.into())
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn gzip_is_given_to_who_names_it() {
        // As measured on Consul 1.8.7.
        let table = [
            ("gzip", true),
            ("GZIP", true),
            ("gzip, deflate, br", true),
            ("identity, gzip", true),
            ("deflate, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip;q=abc", false),
            ("x-gzip", false),
            ("deflate", false),
            ("*", false),
            ("", false),
        ];
        for (text, wanted) in table {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, text.parse().expect("a header"));
            assert_eq!(is_wanted(&headers), wanted, "{text:?}");
        }
        assert!(!is_wanted(&HeaderMap::new()));
    }

    #[test]
    fn what_is_unpacked_is_what_was_packed() {
        let noise: Vec<u8> = (0..100_000).map(|_| fastrand::u8(..)).collect();
        for plain in [&b""[..], b"[]", &[b'x'; 1_000_000], &noise, b"again"] {
            let packed = compress(plain).expect("it can be packed");
            let mut unpacked = Vec::new();
            let mut reader = flate2::read::GzDecoder::new(&packed[..]);
            reader.read_to_end(&mut unpacked).expect("a gzip member");
            assert!(unpacked == plain, "{} bytes", plain.len());
        }
    }
}
