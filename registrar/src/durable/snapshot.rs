//! A snapshot: the whole state of a registry as one file that can be carried elsewhere. The format is turno's own, in the
//! frames of the data folder: a head with a magic and a version, then one frame with a checksum. Consul's snapshots are
//! raft's and cannot be read here, nor these there.

use std::time::Duration;

use journal::frame::{self, FILE_HEAD, FRAME_HEAD, Found};

use crate::catalog::{Catalog, Snapshot};

/// What a snapshot begins with.
const MAGIC: [u8; 8] = *b"turnosnp";
/// Snapshots belong to no generation.
const GENERATION: u64 = 0;
/// What a compressed file begins with, as Consul's snapshots do.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why a file is no snapshot of this program's.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It begins as Consul's do.
    #[error(
        "this is a compressed archive, as Consul's snapshots are; only snapshots of turno can be restored"
    )]
    Consuls,
    /// Damage, or another version.
    #[error("the snapshot is damaged at byte {offset}: {why}. Nothing was changed")]
    Damaged {
        /// Where.
        offset: usize,
        /// What is wrong.
        why: String,
    },
    /// The state is too large for one frame.
    #[error("the state is larger than 4 GiB")]
    TooLarge,
}

fn damaged(offset: usize, why: impl Into<String>) -> SnapshotError {
    let why = why.into();
    SnapshotError::Damaged { offset, why }
}

/// The file of a state at a time.
pub(crate) fn write(at: Duration, catalog: &Catalog) -> Result<Vec<u8>, SnapshotError> {
    let state =
        rmp_serde::to_vec_named(&(at, catalog)).map_err(|error| damaged(0, error.to_string()))?;
    let mut file = frame::file_head(MAGIC, GENERATION).to_vec();
    if frame::push(&mut file, GENERATION, FILE_HEAD as u64, &[&state]) {
        Ok(file)
    } else {
        Err(SnapshotError::TooLarge)
    }
}

/// Reads a file whole, or not at all.
///
/// # Errors
/// It is no snapshot, of another version, or damaged.
pub fn read(file: &[u8]) -> Result<Snapshot, SnapshotError> {
    if file.starts_with(&GZIP) {
        return Err(SnapshotError::Consuls);
    }
    frame::check_file_head(file, MAGIC, GENERATION).map_err(|why| damaged(0, why))?;
    let contents = match frame::read(file, GENERATION, FILE_HEAD) {
        Found::Frame(contents) if contents.len() + FILE_HEAD + FRAME_HEAD == file.len() => contents,
        Found::Frame(_) => return Err(damaged(FILE_HEAD, "there is something behind its end")),
        Found::Damaged(why) => return Err(damaged(FILE_HEAD, why)),
        Found::End | Found::Torn => return Err(damaged(file.len(), "it is cut off")),
    };
    let (at, catalog): (Duration, Catalog) =
        rmp_serde::from_slice(contents).map_err(|error| damaged(FILE_HEAD, error.to_string()))?;
    if !catalog.agrees() {
        return Err(damaged(FILE_HEAD, "the state contradicts itself"));
    }
    Ok(Snapshot { at, catalog })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::LocalNode;

    fn file() -> Vec<u8> {
        let local = LocalNode {
            name: "here".into(),
            id: "11111111-2222-3333-4444-555555555555".into(),
            address: "127.0.0.1".into(),
            datacenter: "dc1".into(),
        };
        write(Duration::from_secs(5), &Catalog::new(&local)).expect("it is small")
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let snapshot = read(&file()).expect("a good file");
        assert_eq!(snapshot.at, Duration::from_secs(5));
        assert_eq!(&*snapshot.catalog.local_node().name, "here");
    }

    #[test]
    fn a_state_that_contradicts_itself_is_refused() {
        let good = read(&file()).expect("a good file").catalog;
        let json = serde_json::to_value(&good).expect("it has names");
        for (name, value) in [
            ("index", serde_json::json!(u64::MAX)),
            ("services", serde_json::json!({})),
            ("states", serde_json::json!({})),
            ("nodes", serde_json::json!({})),
        ] {
            let mut wrong = json.clone();
            wrong[name] = value;
            let wrong: Catalog = serde_json::from_value(wrong).expect("still a catalog");
            let file = write(Duration::ZERO, &wrong).expect("it is small");
            let refused = read(&file).map(|_| ()).expect_err(name).to_string();
            assert!(refused.contains("contradicts"), "{name}: {refused}");
        }
    }

    #[test]
    fn every_byte_counts() {
        let good = file();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(read(&bad).is_err(), "byte {at}");
            assert!(read(&good[..at]).is_err(), "cut at {at}");
        }
        let more = [&good[..], b"x"].concat();
        for foreign in [
            &more[..],
            b"",
            b"\x1f\x8b\x08\x00",
            b"not a snapshot, but long enough for a head",
        ] {
            assert!(read(foreign).is_err());
        }
    }
}
