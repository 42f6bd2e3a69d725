//! The note in a folder that says: this registry has moved, everything it knew is told to another one. Whoever opens
//! the folder forwards there and does not go on with what it knew, which is old by now.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use journal::{Error, private};

use super::DurableError;

/// The version of the note; another one is refused.
const VERSION: u32 = 1;

/// Where a registry has moved to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moved {
    version: u32,
    /// The address, as it was given.
    pub(crate) address: String,
    /// What is added to every index of the other one, so that no reader's goes back.
    pub(crate) offset: u64,
}

impl Moved {
    pub(crate) fn new(address: String, offset: u64) -> Moved {
        Moved {
            version: VERSION,
            address,
            offset,
        }
    }

    /// Reads the note of a folder, if there is one.
    pub(crate) fn read(folder: &Path) -> Result<Option<Moved>, DurableError> {
        let path = place(folder);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Io { path, source }.into()),
        };
        let damaged = |why: String| Error::Damaged {
            path: path.clone(),
            offset: 0,
            why,
        };
        let moved: Moved =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if moved.version != VERSION {
            return Err(damaged("it was written by another version of turno".into()).into());
        }
        Ok(Some(moved))
    }

    /// Writes the note; it is on disk when this returns.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        let fresh = folder.join("moved.new");
        let mut file = private()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&fresh)?;
        file.write_all(&serde_json::to_vec(self).map_err(io::Error::other)?)?;
        file.sync_all()?;
        std::fs::rename(&fresh, place(folder))?;
        std::fs::File::open(folder)?.sync_all()
    }
}

fn place(folder: &Path) -> PathBuf {
    folder.join("moved")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_a_damaged_one_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Moved::read(folder.path()).expect("no note"), None);
        let note = Moved::new("http://127.0.0.1:8500".into(), 7);
        note.write(folder.path()).expect("it can be written");
        let read = Moved::read(folder.path()).expect("a good note");
        assert_eq!(read, Some(note));
        for bad in ["", "{}", r#"{"version":9,"address":"x","offset":1}"#] {
            std::fs::write(place(folder.path()), bad).expect("it can be written");
            let error = Moved::read(folder.path()).expect_err("damaged");
            assert!(error.to_string().contains("moved is damaged"), "{error}");
        }
    }
}
