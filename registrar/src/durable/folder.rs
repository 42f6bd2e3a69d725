//! The folder of a durable registry: `state-N` is everything at one moment, `log-N` what changed since, `lock` keeps a
//! second registry out. A new generation is complete on disk before it has its name, and the old one goes after that.
//! It does not know when to begin a new generation.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::frame::{self, FILE_HEAD, FRAME_HEAD, Found, LOG_MAGIC, STATE_MAGIC};
use super::{DurableError, Record};
use crate::catalog::{Catalog, Command};

/// A folder that this process has to itself, with the log it appends to.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    pub(super) generation: u64,
    log: File,
    /// Where the next frame goes: everything before is on disk.
    pub(super) end: u64,
    _lock: File,
}

/// What was found in a folder: the catalog with everything in the log done again, and the time of the last of it.
#[derive(Debug)]
pub(super) struct Restored {
    pub(super) catalog: Catalog,
    pub(super) now: Duration,
}

/// Opens or makes a folder; `fresh` gives the state to begin with.
pub(super) fn open(
    path: &Path,
    fresh: impl FnOnce() -> (Duration, Catalog),
) -> Result<(Folder, Restored), DurableError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| DurableError::Io { path, source }
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(at(path))?;
    let lock_path = path.join("lock");
    let lock = private()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&lock_path);
    let lock = lock.map_err(at(&lock_path))?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|errno| match errno {
        rustix::io::Errno::WOULDBLOCK => DurableError::InUse {
            path: path.to_owned(),
        },
        errno => DurableError::Io {
            path: lock_path.clone(),
            source: errno.into(),
        },
    })?;
    let (states, logs) = generations(path).map_err(at(path))?;
    let Some(generation) = states.last().copied() else {
        let used = |n: &u64| {
            std::fs::metadata(path.join(format!("log-{n}")))
                .is_ok_and(|m| m.len() > FILE_HEAD as u64)
        };
        if let Some(orphan) = logs.iter().copied().find(used) {
            return Err(DurableError::Missing {
                path: path.join(format!("state-{orphan}")),
            });
        }
        let (now, catalog) = fresh();
        let log = write_generation(path, 1, now, &catalog).map_err(at(path))?;
        let folder = Folder {
            path: path.to_owned(),
            generation: 1,
            log,
            end: FILE_HEAD as u64,
            _lock: lock,
        };
        return Ok((folder, Restored { catalog, now }));
    };
    let (now, catalog) = load_state(&path.join(format!("state-{generation}")), generation)?;
    let log_path = path.join(format!("log-{generation}"));
    let mut found = Restored { catalog, now };
    let end = replay(&log_path, generation, &mut found)?;
    let log = private()
        .write(true)
        .open(&log_path)
        .map_err(at(&log_path))?;
    let mut folder = Folder {
        path: path.to_owned(),
        generation,
        log,
        end,
        _lock: lock,
    };
    folder.rewind().map_err(at(&log_path))?;
    folder.clean();
    Ok((folder, found))
}

impl Folder {
    /// The file that is appended to.
    pub(super) fn log_path(&self) -> PathBuf {
        self.path.join(format!("log-{}", self.generation))
    }

    /// Appends bytes at the end and waits until they are on disk. After an error the end is where it was.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self
            .log
            .write_all(bytes)
            .and_then(|()| self.log.sync_data());
        match written {
            Ok(()) => {
                self.end += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                // What was written of it is overwritten by the next try, or cut by the next start.
                let _ = self.rewind();
                Err(error)
            }
        }
    }

    /// Cuts whatever is behind the end.
    fn rewind(&mut self) -> io::Result<()> {
        self.log.set_len(self.end)?;
        self.log.seek(SeekFrom::Start(self.end))?;
        Ok(())
    }

    /// Begins a new generation with the whole state, and an empty log.
    pub(super) fn next_generation(&mut self, now: Duration, catalog: &Catalog) -> io::Result<()> {
        let next = self.generation + 1;
        match write_generation(&self.path, next, now, catalog) {
            Ok(log) => {
                self.log = log;
                self.generation = next;
                self.end = FILE_HEAD as u64;
                self.clean();
                Ok(())
            }
            Err(error) => {
                self.clean();
                Err(error)
            }
        }
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

/// Files that only their owner reads: checks may hold passwords.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// The generations there are states and logs of, oldest first.
fn generations(path: &Path) -> io::Result<(Vec<u64>, Vec<u64>)> {
    let (mut states, mut logs) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let number = |prefix: &str| name.strip_prefix(prefix)?.parse::<u64>().ok();
        states.extend(number("state-"));
        logs.extend(number("log-"));
    }
    states.sort_unstable();
    Ok((states, logs))
}

/// Writes an empty log and then the state that gives the generation its being.
fn write_generation(
    folder: &Path,
    generation: u64,
    now: Duration,
    catalog: &Catalog,
) -> io::Result<File> {
    let state = rmp_serde::to_vec_named(&(now, catalog)).map_err(io::Error::other)?;
    let mut bytes = frame::file_head(STATE_MAGIC, generation).to_vec();
    if !frame::push(&mut bytes, generation, FILE_HEAD as u64, &[&state]) {
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

fn read_file(path: &Path) -> Result<Vec<u8>, DurableError> {
    std::fs::read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => DurableError::Missing {
            path: path.to_owned(),
        },
        _ => DurableError::Io {
            path: path.to_owned(),
            source,
        },
    })
}

fn damaged(path: &Path, offset: usize, why: impl Into<String>) -> DurableError {
    DurableError::Damaged {
        path: path.to_owned(),
        offset: offset as u64,
        why: why.into(),
    }
}

fn load_state(path: &Path, generation: u64) -> Result<(Duration, Catalog), DurableError> {
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
    let (now, catalog): (Duration, Catalog) = rmp_serde::from_slice(contents)
        .map_err(|error| damaged(path, FILE_HEAD, error.to_string()))?;
    if !catalog.is_whole() {
        return Err(damaged(path, FILE_HEAD, "the state lacks its own node"));
    }
    Ok((now, catalog))
}

/// Does everything in a log again; returns where it ends.
fn replay(path: &Path, generation: u64, found: &mut Restored) -> Result<u64, DurableError> {
    let file = read_file(path)?;
    frame::check_file_head(&file, LOG_MAGIC, generation).map_err(|why| damaged(path, 0, why))?;
    let mut offset = FILE_HEAD;
    loop {
        match frame::read(&file, generation, offset) {
            Found::Frame(contents) => {
                let (now, index, command): (Duration, u64, Command) =
                    Record::decode(contents).map_err(|why| damaged(path, offset, why))?;
                found.now = found.now.max(now);
                if let Err(error) = found.catalog.apply(now, command) {
                    tracing::warn!(file = %path.display(), offset, %error, "a kept change is refused now and left out");
                }
                if found.catalog.index() != index {
                    tracing::warn!(
                        file = %path.display(), offset, then = index, now = found.catalog.index(),
                        "a kept change led to another index than now; it was written by another version"
                    );
                    found.catalog.index_at_least(index);
                }
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
