//! What is on disk, under any input; see `crate::fuzzing`.

use journal::frame::{self, FILE_HEAD, Found, LOG_MAGIC, STATE_MAGIC};

use super::*;

/// Any bytes are a log up to where they are not; and any bytes in a frame of their own are a change or refused.
pub fn log(bytes: &[u8]) {
    let _ = frame::check_file_head(bytes, LOG_MAGIC, 1);
    let _ = frame::check_file_head(bytes, STATE_MAGIC, 1);
    let mut offset = FILE_HEAD;
    while let Found::Frame(contents) = frame::read(bytes, 1, offset) {
        offset += frame::FRAME_HEAD + contents.len();
    }
    let mut framed = Vec::new();
    assert!(frame::push(&mut framed, 1, 0, &[bytes]), "it is short");
    assert_eq!(frame::read(&framed, 1, 0), Found::Frame(bytes));
    let mut world = crate::registry::fuzzing::world();
    if let Ok((now, _, command)) = Record::decode(bytes) {
        let _ = world.apply(now, command);
    }
    let _ = rmp_serde::from_slice::<(Duration, Catalog)>(bytes).map(|(_, world)| world.is_whole());
}
