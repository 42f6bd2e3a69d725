//! The folder: `state-N` is everything at one moment, `log-N` what changed since, `lock` keeps a second process out. A new
//! generation is complete on disk before it has its name, and the old one goes after that. It does not know when to begin
//! a new generation.

mod files;

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use self::files::{load_state, newest, replay, write_generation};
use crate::{
    Error,
    frame::{self, FILE_HEAD},
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

#[cfg(test)]
mod tests;
