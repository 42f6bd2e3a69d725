//! The files of a generation: written whole, and read back with every byte looked at.
//!
//! A generation exists once its state has its name. It does not know which one is in use.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use super::{Piece, private};
use crate::{
    Error,
    frame::{self, FILE_HEAD, FRAME_HEAD, Found, LOG_MAGIC, STATE_MAGIC},
};

/// The newest generation with a state; `None` in a new folder.
pub(super) fn newest(path: &Path) -> Result<Option<u64>, Error> {
    let failed = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let (mut states, mut logs) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_string_lossy();
        let number = |prefix: &str| name.strip_prefix(prefix)?.parse::<u64>().ok();
        states.extend(number("state-"));
        logs.extend(number("log-"));
    }
    if let Some(newest) = states.into_iter().max() {
        return Ok(Some(newest));
    }
    let used = |n: &u64| {
        std::fs::metadata(path.join(format!("log-{n}"))).is_ok_and(|m| m.len() > FILE_HEAD as u64)
    };
    match logs.into_iter().find(used) {
        Some(orphan) => Err(Error::Missing {
            path: path.join(format!("state-{orphan}")),
        }),
        None => Ok(None),
    }
}

/// Writes an empty log and then the state that gives the generation its being.
pub(super) fn write_generation(folder: &Path, generation: u64, state: &[u8]) -> io::Result<File> {
    let mut bytes = frame::file_head(STATE_MAGIC, generation).to_vec();
    if !frame::push(&mut bytes, generation, FILE_HEAD as u64, &[state]) {
        return Err(io::Error::other("the state is larger than 4 GiB"));
    }
    let make = |path: &Path, bytes: &[u8]| {
        let mut file = private()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok::<_, io::Error>(file)
    };
    let log = make(
        &folder.join(format!("log-{generation}")),
        &frame::file_head(LOG_MAGIC, generation),
    )?;
    let fresh = folder.join(format!("state-{generation}.new"));
    make(&fresh, &bytes)?;
    File::open(folder)?.sync_all()?;
    std::fs::rename(&fresh, folder.join(format!("state-{generation}")))?;
    File::open(folder)?.sync_all()?;
    Ok(log)
}

fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::Missing {
            path: path.to_owned(),
        },
        _ => Error::Io {
            path: path.to_owned(),
            source,
        },
    })
}

fn damaged(path: &Path, offset: usize, why: impl Into<String>) -> Error {
    Error::Damaged {
        path: path.to_owned(),
        offset: offset as u64,
        why: why.into(),
    }
}

pub(super) fn load_state(
    path: &Path,
    generation: u64,
    take: &mut dyn FnMut(Piece<'_>) -> Result<(), String>,
) -> Result<(), Error> {
    let file = read_file(path)?;
    frame::check_file_head(&file, STATE_MAGIC, generation).map_err(|why| damaged(path, 0, why))?;
    let contents = match frame::read(&file, generation, FILE_HEAD) {
        Found::Frame(contents) if contents.len() + FILE_HEAD + FRAME_HEAD == file.len() => contents,
        Found::Frame(contents) => {
            let end = contents.len() + FILE_HEAD + FRAME_HEAD;
            return Err(damaged(path, end, "there is more than one state"));
        }
        Found::Damaged(why) => return Err(damaged(path, FILE_HEAD, why)),
        Found::End | Found::Torn => return Err(damaged(path, FILE_HEAD, "the state is cut off")),
    };
    take(Piece::State(contents)).map_err(|why| damaged(path, FILE_HEAD, why))
}

/// Gives back everything in a log; returns where it ends.
pub(super) fn replay(
    path: &Path,
    generation: u64,
    take: &mut dyn FnMut(Piece<'_>) -> Result<(), String>,
) -> Result<u64, Error> {
    let file = read_file(path)?;
    frame::check_file_head(&file, LOG_MAGIC, generation).map_err(|why| damaged(path, 0, why))?;
    let mut offset = FILE_HEAD;
    loop {
        match frame::read(&file, generation, offset) {
            Found::Frame(contents) => {
                let change = Piece::Change {
                    contents,
                    file: path,
                    offset,
                };
                take(change).map_err(|why| damaged(path, offset, why))?;
                offset += FRAME_HEAD + contents.len();
            }
            Found::End => return Ok(offset as u64),
            Found::Torn => {
                tracing::warn!(
                    file = %path.display(), offset, bytes = file.len() - offset,
                    "the last change was not written to its end, so it was never acknowledged: cut off"
                );
                return Ok(offset as u64);
            }
            Found::Damaged(why) => return Err(damaged(path, offset, why)),
        }
    }
}
