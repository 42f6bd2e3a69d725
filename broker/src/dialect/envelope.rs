//! The envelope: the frames before a message that say nothing to us, and that the answer repeats.
//!
//! A REQ socket puts an empty frame there, one that correlates a number besides, each ROUTER on the way an address. One
//! rule covers them all.

use bytes::Bytes;

use super::{mdp, zwp};
use crate::core::message::Frames;

/// Frames within which the empty one has to come: more than this many hops before us are not expected.
const MAX_ENVELOPE: usize = 8;

/// Headers that may stand first, by clients that send no empty frame.
const BARE: [&[u8]; 6] = [
    zwp::CLIENT,
    zwp::WORKER,
    mdp::CLIENT_1,
    mdp::WORKER_1,
    mdp::CLIENT_2,
    mdp::WORKER_2,
];

/// Divides a message into envelope and the rest.
pub(super) fn split(mut frames: Frames) -> (Frames, Frames) {
    let bare = frames
        .first()
        .is_none_or(|first| BARE.contains(&first.as_ref()));
    let delimiter = frames.iter().take(MAX_ENVELOPE).position(Bytes::is_empty);
    match delimiter {
        Some(at) if !bare => {
            let rest = frames.split_off(at + 1);
            (frames, rest)
        }
        _ => (Vec::new(), frames),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{frames, text},
        *,
    };

    #[test]
    fn the_envelope_ends_with_the_first_empty_frame() {
        for (message, envelope, rest) in [
            ("|hello", "|", "hello"),             // REQ
            ("id||hello", "id||", "hello"),       // REQ that correlates, or one ROUTER on the way
            ("r1|id||a||b", "r1|id||", "a||b"),   // only the first empty frame
            ("hello", "", "hello"),               // DEALER
            ("a|b|c", "", "a|b|c"),               // DEALER
            ("ZWC1|x||y", "", "ZWC1|x||y"),       // native without a delimiter
            ("MDPC02|x||y", "", "MDPC02|x||y"),   // as the specification of MDP 0.2 has it
            ("|MDPC02|x||y", "|", "MDPC02|x||y"), // as some write it
            ("1|2|3|4|5|6|7||a", "1|2|3|4|5|6|7||", "a"),
            ("1|2|3|4|5|6|7|8||a", "", "1|2|3|4|5|6|7|8||a"),
            ("", "|", ""),
        ] {
            let (head, tail) = split(frames(message));
            let whole = |frames: &Frames| text(frames);
            let want_head = if envelope.is_empty() {
                String::new()
            } else {
                envelope.strip_suffix('|').expect("it ends so").to_owned()
            };
            assert_eq!(
                (whole(&head), whole(&tail)),
                (want_head, rest.to_owned()),
                "{message}"
            );
        }
        assert_eq!(split(Vec::new()), (Vec::new(), Vec::new()));
    }
}
