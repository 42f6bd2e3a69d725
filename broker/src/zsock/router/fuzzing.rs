//! What holds for all bytes of a stranger.

use bytes::Bytes;
use omq_proto::{MechanismSetup, SocketType};

use super::{
    super::{
        Frames,
        curve::{Guard, Keys, Owners},
    },
    framer::{Framer, Item},
    handshake::{Handshake, Setup},
    outbox::Outbox,
};

const MAX: usize = 1 << 20;

/// Bytes mean the same in one piece and in many, or are refused either way.
pub fn frames(bytes: &[u8]) {
    let read = |size: usize| {
        let (mut framer, mut items) = (Framer::new(MAX), Vec::new());
        let mut fed = Ok(());
        for piece in bytes.chunks(size) {
            fed = fed.and_then(|()| framer.feed(piece, &mut |item| items.push(item)));
        }
        (fed, items)
    };
    let whole = read(bytes.len().max(1));
    for size in [1, 3, 10, 100] {
        assert_eq!(read(size), whole, "in pieces of {size}");
    }
}

/// A handshake ends, well or not, or goes on; nothing else comes of it, and what we say is bounded.
pub fn handshake(bytes: &[u8]) {
    let Some((&first, bytes)) = bytes.split_first() else {
        return;
    };
    let guard = Guard::new(Keys::parse(&"0".repeat(40)).expect("a key"), |_| false);
    let guard = (first & 1 == 1).then_some(&guard);
    let setup = Setup {
        kind: SocketType::Router,
        max: MAX,
        mechanism: Guard::mechanism(guard, &Owners::default()),
    };
    let open = matches!(setup.mechanism, MechanismSetup::Null);
    let mut outbox = Outbox::default();
    let mut handshake = Handshake::new(setup, None, &mut outbox);
    for piece in bytes.chunks(usize::from(first >> 1).max(1)) {
        match handshake.feed(piece, &mut outbox) {
            Ok(None) => {}
            Ok(Some(_)) => {
                assert!(open, "nobody has a key that is allowed");
                let (rest, sealed) = handshake.done();
                assert!(sealed.is_none() && rest.len() <= piece.len());
                break;
            }
            Err(_) => break,
        }
    }
    assert!(outbox.len() < 4096, "{} bytes to a stranger", outbox.len());
}

/// The messages in these bytes, as far as they can be read.
pub(crate) fn messages(bytes: &[u8]) -> Vec<Frames> {
    let mut messages = Vec::new();
    let mut sink = |item| match item {
        Item::Message(frames) => messages.push(frames),
        Item::Command(_) => {}
    };
    // What cannot be read any more ends it; what came before it counts.
    let _ = Framer::new(MAX).feed(&Bytes::copy_from_slice(bytes), &mut sink);
    messages
}
