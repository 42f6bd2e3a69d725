//! The folder: `state-N` is everything at one moment, `log-N` what changed since, `lock` keeps a second process out. A new
//! generation is complete on disk before it has its name, and the old one goes after that. It does not know when to begin
//! a new generation.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use crate::{
    Error,
    frame::{self, FILE_HEAD, FRAME_HEAD, Found, LOG_MAGIC, STATE_MAGIC},
};

/// What an opened folder gives back, in the order in which it was written: one state, then the changes.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// The whole state.
    State(&'a [u8]),
    /// One change.
    Change {
        /// What was appended.
        contents: &'a [u8],
        /// The file it stands in …
        file: &'a Path,
        /// … and where.
        offset: usize,
    },
}

/// A folder that this process has to itself, with the log it appends to.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    generation: u64,
    log: File,
    /// Where the next frame goes: everything before is on disk.
    end: u64,
    /// Behind the end there may be the beginning of something that could not be written.
    untidy: bool,
    _lock: File,
}

impl Folder {
    /// Opens a folder, or makes one with the state that `fresh` gives; `take` gets what it holds.
    ///
    /// # Errors
    /// If another process has it, a file is missing or damaged, or `take` says why a piece makes no sense.
    pub fn open(
        path: &Path,
        fresh: impl FnOnce() -> io::Result<Vec<u8>>,
        take: &mut dyn FnMut(Piece<'_>) -> Result<(), String>,
    ) -> Result<Self, Error> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(at(path))?;
        let lock = lock(path)?;
        let generation = match newest(path)? {
            Some(generation) => generation,
            None => {
                let state = fresh().map_err(at(path))?;
                write_generation(path, 1, &state).map_err(at(path))?;
                1
            }
        };
        load_state(&path.join(format!("state-{generation}")), generation, take)?;
        let log_path = path.join(format!("log-{generation}"));
        let end = replay(&log_path, generation, take)?;
        let log = private()
            .write(true)
            .open(&log_path)
            .map_err(at(&log_path))?;
        let mut folder = Self {
            path: path.to_owned(),
            generation,
            log,
            end,
            untidy: true,
            _lock: lock,
        };
        folder.rewind().map_err(at(&log_path))?;
        folder.clean();
        Ok(folder)
    }

    /// The file that is appended to.
    pub fn log_path(&self) -> PathBuf {
        self.path.join(format!("log-{}", self.generation))
    }

    /// Bytes in the log, its head included.
    pub fn log_bytes(&self) -> u64 {
        self.end
    }

    /// Whether nothing was appended since the state was written.
    pub fn is_log_empty(&self) -> bool {
        self.end <= FILE_HEAD as u64
    }

    /// Adds a change of these parts to `batch`, for [`append`](Self::append). `false`, and nothing added, if it has 4 GiB or
    /// more.
    #[must_use]
    pub fn frame(&self, batch: &mut Vec<u8>, parts: &[&[u8]]) -> bool {
        let offset = self.end + batch.len() as u64;
        frame::push(batch, self.generation, offset, parts)
    }

    /// Appends a batch of frames and waits until they are on disk. After an error the end is where it was.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn append(&mut self, batch: &[u8]) -> io::Result<()> {
        self.rewind()?;
        self.untidy = true;
        let written = self
            .log
            .write_all(batch)
            .and_then(|()| self.log.sync_data());
        match written {
            Ok(()) => {
                self.end += batch.len() as u64;
                self.untidy = false;
                Ok(())
            }
            Err(error) => {
                // If it cannot be cut now, the next try does it first, or the next start.
                let _ = self.rewind();
                Err(error)
            }
        }
    }

    /// Cuts whatever is behind the end.
    fn rewind(&mut self) -> io::Result<()> {
        if self.untidy {
            self.log.set_len(self.end)?;
            self.log.seek(SeekFrom::Start(self.end))?;
            self.untidy = false;
        }
        Ok(())
    }

    /// Begins a new generation with this state, and an empty log.
    ///
    /// # Errors
    /// If it cannot be written. The old generation goes on then.
    pub fn next_generation(&mut self, state: &[u8]) -> io::Result<()> {
        let next = self.generation + 1;
        let written = write_generation(&self.path, next, state);
        if let Ok(log) = written {
            self.log = log;
            self.generation = next;
            self.end = FILE_HEAD as u64;
            self.untidy = false;
            self.clean();
            return Ok(());
        }
        self.clean();
        written.map(drop)
    }

    /// Removes what belongs to no generation or an older one. What cannot be removed now is removed another time.
    fn clean(&self) {
        let Ok(entries) = std::fs::read_dir(&self.path) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let ours = name.strip_prefix("state-").or(name.strip_prefix("log-"));
            let stale = ours.is_some_and(|rest| match rest.parse::<u64>() {
                Ok(generation) => generation != self.generation,
                Err(_) => rest.ends_with(".new"),
            });
            if stale {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// Keeps other processes out as long as the file is open.
fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let failed = |source: io::Error| Error::Io {
        path: path.clone(),
        source,
    };
    let lock = private()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::InUse {
            path: folder.to_owned(),
        }),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// Files that only their owner reads: they may hold passwords.
pub fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// The newest generation with a state; `None` in a new folder.
fn newest(path: &Path) -> Result<Option<u64>, Error> {
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
fn write_generation(folder: &Path, generation: u64, state: &[u8]) -> io::Result<File> {
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

fn load_state(
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
fn replay(
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

#[cfg(test)]
mod tests {
    use super::*;

    type Pieces = Vec<Vec<u8>>;

    fn open(path: &Path) -> Result<(Folder, Pieces), Error> {
        let mut pieces = Vec::new();
        let folder = Folder::open(path, || Ok(b"new".to_vec()), &mut |piece| {
            let (Piece::State(contents) | Piece::Change { contents, .. }) = piece;
            pieces.push(contents.to_vec());
            if contents == b"nonsense" {
                return Err("it makes no sense".to_owned());
            }
            Ok(())
        })?;
        Ok((folder, pieces))
    }

    fn append(folder: &mut Folder, changes: &[&[u8]]) {
        let mut batch = Vec::new();
        for change in changes {
            assert!(folder.frame(&mut batch, &[change]));
        }
        folder.append(&batch).expect("the disk takes it");
    }

    #[test]
    fn what_was_appended_comes_back_until_a_new_state_takes_its_place() {
        let place = tempfile::tempdir().expect("a folder");
        let (mut folder, pieces) = open(place.path()).expect("it is new");
        assert_eq!(pieces, [b"new"]);
        append(&mut folder, &[b"a", b"b"]);
        assert!(
            matches!(open(place.path()), Err(Error::InUse { .. })),
            "it is locked"
        );
        drop(folder);
        let (mut folder, pieces) = open(place.path()).expect("it is whole");
        assert_eq!(pieces, [&b"new"[..], b"a", b"b"]);
        folder.next_generation(b"all").expect("the disk takes it");
        assert!(folder.is_log_empty());
        append(&mut folder, &[b"c"]);
        drop(folder);
        assert_eq!(
            open(place.path()).expect("it is whole").1,
            [&b"all"[..], b"c"]
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name_and_place() {
        let place = tempfile::tempdir().expect("a folder");
        let (mut folder, _) = open(place.path()).expect("it is new");
        append(&mut folder, &[b"a", b"nonsense"]);
        let path = folder.log_path();
        drop(folder);
        let error = open(place.path()).expect_err("nonsense").to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert!(error.contains("at byte 37: it makes no sense"), "{error}");
    }
}
