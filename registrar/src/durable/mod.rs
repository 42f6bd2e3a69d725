//! Durability: every change of the catalog is appended to a log in a folder and is on disk before its writer is
//! answered; at start the changes are done again, by the same functions, on the last whole state.
//!
//! One thread writes. Whoever waits at the same moment shares one `fdatasync`. When the disk does not take it, waiting
//! writers are told so and new ones are refused, while the thread tries again; what was done in memory is kept until it
//! can be written, so nothing that was acknowledged, nor what was built on it, is lost. Readers may see a change a
//! moment before it is on disk: to hide it until then would take a second catalog, and a registry that comes back
//! without it answers whoever waits at once (see `Catalog::resume`).
//!
//! It does not know HTTP, nor what commands do.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod moved;
mod restore;
pub mod snapshot;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use journal::Folder;

pub(crate) use self::moved::Moved;
use self::restore::Restored;
use crate::catalog::{Catalog, Command, LocalNode};

/// Most bytes of changes in memory that the disk has not taken. Beyond that they are dropped, and what is written when
/// the disk takes something again is the whole state instead.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// A log longer than this gives way to a new state, so that a start reads at most this much again.
const LOG_BYTES: u64 = 64 * 1024 * 1024;

/// Why a folder cannot be used. The registry does not start then: it would forget what the folder holds.
#[derive(Debug, thiserror::Error)]
pub enum DurableError {
    /// The folder.
    #[error(transparent)]
    Folder(#[from] journal::Error),
    /// It belongs to a registry of another name.
    #[error(
        "{path} belongs to the node {node:?} of datacenter {datacenter:?}; say so with --node and --datacenter, or name \
         another folder"
    )]
    OtherNode {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        node: String,
        /// Whose it is.
        datacenter: String,
    },
}

/// A change that was made and is not known to be on disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the write is not on disk: {0}. No write is accepted until the disk takes it")]
pub(crate) struct NotKept(Arc<str>);

/// Gives a copy of the whole state for a new generation of files.
pub(crate) trait Source: Send + 'static {
    /// A copy, and its time. `cover` is called while no change can happen. `None` if there is nothing any more.
    fn copy(&self, cover: &mut dyn FnMut()) -> Option<(Duration, Catalog)>;
}

/// A change on its way to the disk: its time, the index it led to, and the encoded command.
#[derive(Debug)]
struct Record {
    number: u64,
    now: Duration,
    index: u64,
    command: Vec<u8>,
}

impl Record {
    /// Time and index in front of the encoded command.
    fn head(&self) -> [u8; 20] {
        let mut head = [0; 20];
        head[..8].copy_from_slice(&self.now.as_secs().to_le_bytes());
        head[8..12].copy_from_slice(&self.now.subsec_nanos().to_le_bytes());
        head[12..].copy_from_slice(&self.index.to_le_bytes());
        head
    }

    fn decode(contents: &[u8]) -> Result<(Duration, u64, Command), String> {
        let short = || "a change is too short".to_owned();
        let (seconds, rest) = contents.split_first_chunk::<8>().ok_or_else(short)?;
        let (nanoseconds, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let (index, command) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        let now = Duration::from_secs(u64::from_le_bytes(*seconds)).saturating_add(
            Duration::from_nanos(u32::from_le_bytes(*nanoseconds).into()),
        );
        let command = rmp_serde::from_slice(command).map_err(|error| error.to_string())?;
        Ok((now, u64::from_le_bytes(*index), command))
    }
}

/// How far the disk is.
#[derive(Debug, Clone, Default)]
struct Progress {
    /// The number of the last change on disk.
    kept: u64,
    /// What keeps the next one from it.
    failure: Option<Arc<str>>,
}

/// What waits for the writer.
#[derive(Debug, Default)]
struct Queue {
    records: VecDeque<Record>,
    bytes: usize,
    /// The number of the last change.
    last: u64,
    /// There were more than the limit: only a whole state can bring the disk up to date.
    overflown: bool,
    stop: bool,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
    progress: watch::Sender<Progress>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to the disk. Ends its thread when dropped; [`Journal::close`] waits for that.
#[derive(Debug)]
pub(crate) struct Journal {
    shared: Arc<Shared>,
    folder: Mutex<Option<Folder>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A folder that was read: how the registry goes on.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) journal: Journal,
    pub(crate) catalog: Catalog,
    /// The time to go on at; never before any that was written down.
    pub(crate) now: Duration,
}

impl Journal {
    /// Reads a folder, or makes one for `local`.
    pub(crate) fn open(path: &Path, local: &LocalNode) -> Result<Opened, DurableError> {
        let wall = || {
            SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()
        };
        let mut restored = Restored::default();
        let fresh = || restore::encode_state(wall(), &Catalog::new(local));
        let folder = Folder::open(path, fresh, &mut |piece| restored.take(piece))?;
        let (now, catalog) = restored.whole(path)?;
        let node = catalog.local_node();
        if node.name.to_lowercase() != local.name.to_lowercase()
            || **catalog.datacenter() != *local.datacenter
        {
            return Err(DurableError::OtherNode {
                path: path.to_owned(),
                node: node.name.to_string(),
                datacenter: catalog.datacenter().to_string(),
            });
        }
        let journal = Journal {
            shared: Arc::new(Shared {
                queue: Mutex::default(),
                more: Condvar::new(),
                progress: watch::Sender::default(),
            }),
            folder: Mutex::new(Some(folder)),
            thread: Mutex::new(None),
        };
        Ok(Opened {
            journal,
            catalog,
            now: wall().max(now),
        })
    }

    /// Starts the thread that writes. Changes may have been appended before.
    pub(crate) fn start(&self, source: impl Source) -> io::Result<()> {
        let folder = self
            .folder
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(folder) = folder else {
            return Ok(());
        };
        let writer = writer::Writer::new(Arc::clone(&self.shared), folder, source);
        let thread = std::thread::Builder::new()
            .name("registry-log".to_owned())
            .spawn(move || writer.run())?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Encodes a command, before it is known whether it will change anything.
    pub(crate) fn encode(command: &Command) -> Result<Vec<u8>, NotKept> {
        rmp_serde::to_vec_named(command).map_err(|error| NotKept(error.to_string().into()))
    }

    /// Whether writes are taken at the moment.
    pub(crate) fn ready(&self) -> Result<(), NotKept> {
        match &self.shared.progress.borrow().failure {
            Some(failure) => Err(NotKept(Arc::clone(failure))),
            None => Ok(()),
        }
    }

    /// Puts a change in line; call in the order of the changes. Returns its number. No I/O happens here.
    pub(crate) fn append(&self, now: Duration, index: u64, command: Vec<u8>) -> u64 {
        let mut queue = self.shared.queue();
        queue.last += 1;
        let number = queue.last;
        queue.bytes += command.len();
        if queue.bytes > QUEUE_BYTES {
            queue.overflown = true;
            queue.records.clear();
        }
        if !queue.overflown {
            queue.records.push_back(Record {
                number,
                now,
                index,
                command,
            });
        }
        drop(queue);
        self.shared.more.notify_one();
        number
    }

    /// The number of the last change put in line.
    pub(crate) fn last(&self) -> u64 {
        self.shared.queue().last
    }

    /// Waits until the change of that number is on disk.
    pub(crate) async fn kept(&self, number: u64) -> Result<(), NotKept> {
        let mut progress = self.shared.progress.subscribe();
        let done = progress
            .wait_for(|progress| progress.kept >= number || progress.failure.is_some())
            .await;
        match done {
            Ok(progress) if progress.kept >= number => Ok(()),
            Ok(progress) => Err(NotKept(
                progress.failure.clone().unwrap_or_else(|| "unknown".into()),
            )),
            Err(_) => Err(NotKept("the registry is stopping".into())),
        }
    }

    fn signal_stop(&self) {
        self.shared.queue().stop = true;
        self.shared.more.notify_one();
    }

    /// Writes what is left and gives the folder up. Blocks.
    pub(crate) fn close(&self) {
        self.signal_stop();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread that keeps the registry's changes has failed");
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.signal_stop();
    }
}
