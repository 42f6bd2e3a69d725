//! What holds for all that a part of the functions is sent.

use super::message::Note;

/// A note is read or ignored; what was read is written so that it is read again.
pub fn note(bytes: &[u8]) {
    let Some(note) = Note::read(bytes) else {
        return;
    };
    let written = note.write();
    let again = Note::read(&written).expect("we wrote it");
    assert_eq!(again.write(), written);
    let _ = note.into_job();
    let _ = again.into_answer();
}
