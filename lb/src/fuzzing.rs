//! What holds for every input of the parsers that read what strangers send. Each function panics where it does not hold.
//!
//! Built only for fuzzing; `fuzz/` calls these.

use crate::proxy::http1::{
    BodyReader, BodyWriter, Forwarded, Framing, MAX_FIELDS, Method, Parsed, Pieces, parse_request,
    parse_response, storage,
};
use crate::routing::normal;

/// A request that passes is, once written anew, read as the same message.
pub fn request(bytes: &[u8]) {
    let mut fields = storage();
    let Ok(Parsed::Complete(head)) = parse_request(bytes, MAX_FIELDS, &mut fields) else {
        return;
    };
    assert!(head.len <= bytes.len());
    let forwarded = Forwarded {
        client: "192.0.2.1",
        proto: "http",
        default_host: "web",
        path: head.path,
    };
    let mut out = Vec::new();
    head.write(&forwarded, &mut out);
    // One field more than the strangers may send: ours.
    if out.iter().filter(|b| **b == b'\n').count() > MAX_FIELDS {
        return;
    }
    let mut fields = storage();
    let Ok(Parsed::Complete(again)) = parse_request(&out, MAX_FIELDS, &mut fields) else {
        panic!("refused: {:?}", String::from_utf8_lossy(&out));
    };
    assert_eq!(again.len, out.len());
    assert_eq!(
        (again.framing, again.path, again.method),
        (head.framing, head.path, head.method)
    );
}

/// A response is read without a panic, and its end is found by one rule.
pub fn response(bytes: &[u8]) {
    for method in [Method::Safe, Method::Head] {
        let mut fields = storage();
        if let Ok(Parsed::Complete(head)) = parse_response(bytes, method, &mut fields) {
            assert!(head.len <= bytes.len());
            assert!(method != Method::Head || head.framing == Framing::None);
        }
    }
}

/// A chunked body read at once and byte by byte is the same, and what is written of it is read as the same again.
pub fn chunked(bytes: &[u8]) {
    let whole = decoded(bytes, bytes.len().max(1));
    assert_eq!(whole, decoded(bytes, 1));
    if let Some((written, plain)) = whole {
        let again = decoded(&written, 7).map(|(_, plain)| plain);
        assert_eq!(again, Some(plain));
    }
}

/// A normal path is its own normal path.
pub fn path(bytes: &[u8]) {
    if let Ok(once) = normal(bytes) {
        assert_eq!(normal(&once).as_deref(), Ok(&*once));
    }
}

/// The body written in chunks, and its data; `None` if it is malformed or does not end.
fn decoded(bytes: &[u8], step: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut body = BodyReader::new(Framing::Chunked);
    let mut plain = Vec::new();
    let mut written = Vec::new();
    for read in bytes.chunks(step) {
        let mut rest = read;
        while !rest.is_empty() && !body.is_done() {
            let mut pieces = Pieces::default();
            let used = body.feed(rest, &mut pieces).ok()?;
            for range in pieces.ranges() {
                plain.extend_from_slice(&rest[range.clone()]);
            }
            let write = |slices: &[std::io::IoSlice<'_>]| {
                for slice in slices {
                    written.extend_from_slice(slice);
                }
            };
            BodyWriter::Chunked
                .frame(rest, &pieces, &body, b"", write)
                .ok()?;
            rest = &rest[used..];
        }
    }
    body.is_done().then_some((written, plain))
}
