//! The thread that writes: takes what is in line, writes it with one `fdatasync`, says how far it is. When the disk
//! refuses, it tries again until it does not. It begins a new generation when the log is long, when too much was
//! dropped to go on with the log, and at a clean stop, so that the next start has nothing to do again.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use journal::Folder;

use super::{LOG_BYTES, Progress, Queue, Record, Shared, Source, restore};

/// How long to wait before a disk that refused is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// A batch is written when it has this many bytes, even if more is in line.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Writer<S> {
    shared: Arc<Shared>,
    folder: Folder,
    source: S,
    /// How long the log may get.
    limit: u64,
}

impl<S: Source> Writer<S> {
    pub(super) fn new(shared: Arc<Shared>, folder: Folder, source: S) -> Writer<S> {
        Writer {
            shared,
            folder,
            source,
            limit: LOG_BYTES,
        }
    }

    /// Until told to stop, or until nothing more can be written after that.
    pub(super) fn run(mut self) {
        loop {
            let mut queue = self.shared.queue();
            while queue.records.is_empty() && !queue.overflown && !queue.stop {
                queue = self
                    .shared
                    .more
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if queue.records.is_empty() && !queue.overflown {
                break;
            }
            let overflown = queue.overflown;
            let batch = take_batch(&mut queue);
            drop(queue);
            let lost = if overflown {
                !self.insist(|writer| writer.begin_anew())
            } else {
                !self.keep(batch)
            };
            if lost {
                return;
            }
            if self.folder.log_bytes() > self.limit {
                self.shorten();
            }
        }
        if !self.folder.is_log_empty() {
            self.shorten();
        }
    }

    /// Writes a batch, however often it takes. `false` if told to stop before that.
    fn keep(&mut self, batch: Vec<Record>) -> bool {
        let Some(last) = batch.last().map(|record| record.number) else {
            return true;
        };
        let mut bytes = Vec::new();
        for record in &batch {
            let parts: [&[u8]; 2] = [&record.head(), &record.command];
            if !self.folder.frame(&mut bytes, &parts) {
                // No request is that large. The whole state holds what the frame cannot.
                return self.insist(|writer| writer.begin_anew());
            }
        }
        self.insist(|writer| {
            if writer.shared.queue().overflown {
                return writer.begin_anew();
            }
            writer.folder.append(&bytes)?;
            writer.say(last);
            Ok(())
        })
    }

    /// Tries until it works; says why it does not. `false` if told to stop before that.
    fn insist(&mut self, mut attempt: impl FnMut(&mut Self) -> io::Result<()>) -> bool {
        let mut failing = false;
        loop {
            let Err(error) = attempt(self) else {
                if failing {
                    tracing::info!(file = %self.folder.log_path().display(), "the disk takes changes again");
                }
                return true;
            };
            let text = format!("cannot write {}: {error}", self.folder.log_path().display());
            if !failing {
                tracing::error!("{text}; writers are refused until it works");
                failing = true;
            }
            self.shared
                .progress
                .send_modify(|progress| progress.failure = Some(text.as_str().into()));
            let queue = self.shared.queue();
            let waited = self
                .shared
                .more
                .wait_timeout_while(queue, RETRY, |queue| !queue.stop);
            let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if queue.stop {
                drop(queue);
                // The last chance.
                if attempt(self).is_ok() {
                    return true;
                }
                tracing::error!("{text}; changes that nobody was promised are lost");
                return false;
            }
        }
    }

    fn say(&self, kept: u64) {
        self.shared.progress.send_modify(|progress| {
            *progress = Progress {
                kept: kept.max(progress.kept),
                failure: None,
            };
        });
    }

    /// A new generation, if possible; the log grows on if not.
    fn shorten(&mut self) {
        if let Err(error) = self.begin_anew() {
            tracing::warn!(%error, "cannot write a new state of the registry; the log stays");
            self.limit = self.folder.log_bytes() + LOG_BYTES;
        } else {
            self.limit = LOG_BYTES;
        }
    }

    /// Writes the whole state and begins an empty log. What is in line and part of the state is done with.
    fn begin_anew(&mut self) -> io::Result<()> {
        let mut covered = 0;
        let mut was_overflown = false;
        let shared = Arc::clone(&self.shared);
        let copy = self.source.copy(&mut || {
            let mut queue = shared.queue();
            covered = queue.last;
            was_overflown = std::mem::take(&mut queue.overflown);
            if was_overflown {
                queue.records.clear();
                queue.bytes = 0;
            }
        });
        let Some((now, catalog)) = copy else {
            // The registry is gone without having been closed; its log is whole.
            return if was_overflown {
                Err(io::Error::other("the registry is gone"))
            } else {
                Ok(())
            };
        };
        let written = restore::encode_state(now, &catalog)
            .and_then(|state| self.folder.next_generation(&state));
        if let Err(error) = written {
            let mut queue = self.shared.queue();
            if was_overflown {
                queue.overflown = true;
                queue.records.clear();
            }
            return Err(error);
        }
        let mut queue = self.shared.queue();
        while queue
            .records
            .front()
            .is_some_and(|record| record.number <= covered)
        {
            let record = queue.records.pop_front();
            queue.bytes -= record.map_or(0, |record| record.command.len());
        }
        drop(queue);
        self.say(covered);
        Ok(())
    }
}

fn take_batch(queue: &mut Queue) -> Vec<Record> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while bytes < BATCH_BYTES {
        let Some(record) = queue.records.pop_front() else {
            break;
        };
        bytes += record.command.len();
        queue.bytes -= record.command.len();
        batch.push(record);
    }
    batch
}
