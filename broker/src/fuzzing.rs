//! What holds for every input of the readers of what strangers send: bytes at a socket, handshakes, messages in all languages,
//! news of other brokers, notes of the functions' parts. Each function panics where it does not hold.
//!
//! `fuzz/` calls these, guided by coverage and for as long as one likes; the tests call them with random input for a moment,
//! each time.

use std::time::{Duration, Instant};

use crate::{
    core::{Limits, message::Peer},
    exchange::{Exchange, Manner, Port},
};

pub use crate::{
    faas::fuzzing::note,
    federation::fuzzing::news,
    zsock::fuzzing::{frames, handshake},
};

/// Messages from some peers at both ports, as time passes and peers go: whatever they are, nothing panics, and the broker's
/// own checks hold. The first frame of each says whose it is, where, and when; or that its peer is gone.
pub fn messages(bytes: &[u8]) {
    let mut exchange = Exchange::new(Limits::default(), Manner::default(), 0x1f);
    let mut now = Instant::now();
    for mut frames in crate::zsock::fuzzing::messages(bytes) {
        let how = frames.remove(0);
        let how = [0, 1, 2].map(|at| how.get(at).copied().unwrap_or_default());
        let port = match how[0] & 1 {
            0 => Port::Front,
            _ => Port::Back,
        };
        let peer = Peer(u64::from(how[0] >> 1 & 7));
        now += Duration::from_millis(u64::from(how[1]) * u64::from(how[2]));
        if exchange.next_tick().is_some_and(|it| it <= now) {
            exchange.tick(now);
        }
        if how[0] & 0x80 == 0 {
            exchange.message(port, peer, frames, now);
        } else {
            exchange.gone(peer, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let words: [&[u8]; 14] = [
            b"",
            b"ZWF1",
            b"\x01",
            b"\0\0",
            b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03REQ",
            b"\x04\x07\x04PING\0\x0a",
            b"\x01\x04MDPC",
            b"\x01\x06MDPW01",
            b"\x01\x04echo",
            b"{\"type\":\"job\",\"id\":\"1\",\"message\":[1]}",
            b"{\"id\":1,\"seq\":1,\"name\":\"mq\",\"at\":\"\",\"spare\":{}}",
            b"\x02\0\0\0\0\0\0\x01\0",
            b"\x01\0",
            b"\0\x05hello",
        ];
        let word = prop_oneof![
            5 => prop::sample::select(words.to_vec()).prop_map(<[u8]>::to_vec),
            1 => prop::collection::vec(any::<u8>(), 0..9),
        ];
        prop::collection::vec(word, 0..40).prop_map(|it| it.concat())
    }

    proptest! {
        #[test]
        fn what_strangers_send(bytes in bytes()) {
            frames(&bytes);
            messages(&bytes);
            news(&bytes);
            note(&bytes);
            for first in [0, 1, 20, 21] {
                handshake(&[&[first], &bytes[..]].concat());
                let mut greeting = vec![first, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0x7F, 3, 1];
                greeting.extend_from_slice(if first & 1 == 1 { b"CURVE" } else { b"NULL\0" });
                greeting.resize(65, 0);
                handshake(&[&greeting[..], &bytes].concat());
            }
        }
    }
}
