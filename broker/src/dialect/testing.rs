//! Messages as text for tests: frames divided by bars, so that `|hello` is an empty frame and one with a word.

use bytes::Bytes;

use crate::core::message::Frames;

/// The frames of a text.
pub(crate) fn frames(text: &str) -> Frames {
    let parts = text.split('|');
    parts
        .map(|part| Bytes::copy_from_slice(part.as_bytes()))
        .collect()
}

/// The text of frames.
pub(crate) fn text(frames: &Frames) -> String {
    let parts = frames.iter().map(|frame| String::from_utf8_lossy(frame));
    parts.collect::<Vec<_>>().join("|")
}
