//! The thread that writes: takes what is in line, writes it with one `fdatasync`, says what became of it.
//!
//! It begins a new state when the log is long, when something that has ended could not be appended, and at a clean stop.

use std::{io, sync::Arc, sync::PoisonError, time::Duration};

use bytes::Bytes;
use journal::Folder;
use tokio::sync::mpsc::Sender;

use super::{
    Outcome, Shared,
    record::{AnswerLimits, Change, Kept},
};

/// A batch is written when it has this many changes, even if more is in line.
const BATCH: usize = 4096;
/// … or this many bytes.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// A log longer than this, and than twice the last state, gives way to a new state: a start reads at most that much again.
const LOG_BYTES: u64 = 64 * 1024 * 1024;
/// How long to wait before a disk that refused is tried again by itself.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    folder: Folder,
    kept: Kept,
    answers: AnswerLimits,
    tell: Sender<Outcome>,
    /// How long the log may get.
    limit: u64,
    /// Something has ended that the log does not know: only a whole state brings the disk up to date.
    behind: bool,
    /// The disk refused the last time.
    failing: bool,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        folder: Folder,
        (kept, answers): (Kept, AnswerLimits),
        tell: Sender<Outcome>,
    ) -> Self {
        Self {
            shared,
            folder,
            kept,
            answers,
            tell,
            limit: LOG_BYTES,
            behind: false,
            failing: false,
        }
    }

    /// Until told to stop.
    pub(super) fn run(mut self) {
        loop {
            let (batch, stop) = self.next_batch();
            if batch.is_empty() {
                if stop {
                    break;
                }
                if self.behind {
                    let result = self.begin_anew();
                    self.note(result.as_ref().err());
                }
                continue;
            }
            self.write(batch);
            if self.folder.log_bytes() > self.limit && self.begin_anew().is_err() {
                // The log does it as well; later again.
                self.limit = self.folder.log_bytes() + LOG_BYTES;
            }
        }
        if (self.behind || !self.folder.is_log_empty())
            && let Err(error) = self.begin_anew()
        {
            tracing::warn!(%error, "cannot write a new state of the kept requests; the log stays");
        }
    }

    /// Waits for something to write, or to try again.
    fn next_batch(&self) -> (Vec<Change>, bool) {
        let mut queue = self.shared.queue();
        while queue.changes.is_empty() && !queue.stop {
            if self.behind {
                let waited = self.shared.more.wait_timeout(queue, RETRY);
                queue = waited.unwrap_or_else(PoisonError::into_inner).0;
                break;
            }
            let waited = self.shared.more.wait(queue);
            queue = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let number = queue.changes.len().min(BATCH);
        let batch = queue.changes.drain(..number).collect();
        if queue.changes.is_empty() {
            queue.answer_bytes = 0;
        }
        (batch, queue.stop)
    }

    fn write(&mut self, batch: Vec<Change>) {
        let mut rest = batch.into_iter().peekable();
        while rest.peek().is_some() {
            let (mut part, mut bytes) = (Vec::new(), Vec::new());
            let mut result = Ok(());
            while bytes.len() < BATCH_BYTES
                && let Some(change) = rest.next()
            {
                if result.is_ok() {
                    result = self.frame(&mut bytes, &change);
                }
                part.push(change);
            }
            if result.is_ok() && self.behind {
                result = self.begin_anew().and_then(|()| {
                    bytes.clear();
                    part.iter().try_for_each(|it| self.frame(&mut bytes, it))
                });
            }
            let result = result.and_then(|()| self.folder.append(&bytes));
            self.note(result.as_ref().err());
            self.settle(part, result.err());
        }
    }

    fn frame(&self, bytes: &mut Vec<u8>, change: &Change) -> io::Result<()> {
        let encoded = rmp_serde::to_vec(change).map_err(io::Error::other)?;
        if self.folder.frame(bytes, &[&encoded]) {
            return Ok(());
        }
        Err(io::Error::other("a request is larger than 4 GiB"))
    }

    /// Brings what is kept in line with what was written, and tells.
    fn settle(&mut self, part: Vec<Change>, error: Option<io::Error>) {
        let mut numbers = Vec::new();
        for change in part {
            match &change {
                Change::Keep(request) => {
                    numbers.push(request.number);
                    if error.is_none() {
                        self.kept.apply(change, self.answers);
                    }
                }
                Change::Release(..) => {
                    self.behind |= error.is_some();
                    self.kept.apply(change, self.answers);
                }
            }
        }
        if !numbers.is_empty() {
            let error = error.map(|error| {
                let path = self.folder.log_path();
                Bytes::from(format!("cannot be kept: {}: {error}", path.display()))
            });
            // Nobody listens once the broker has ended.
            let _ = self.tell.blocking_send(Outcome { numbers, error });
        }
    }

    /// Says in the log when the disk begins to refuse, and when it no longer does.
    fn note(&mut self, error: Option<&io::Error>) {
        match error {
            Some(error) if !self.failing => {
                let file = self.folder.log_path();
                tracing::error!(file = %file.display(), %error, "the disk does not take it: requests that ask to be kept are refused");
            }
            None if self.failing => tracing::info!("the disk takes requests again"),
            _ => {}
        }
        self.failing = error.is_some();
    }

    /// Writes everything as a new state, and begins an empty log.
    fn begin_anew(&mut self) -> io::Result<()> {
        let state = self.kept.encode().map_err(io::Error::other)?;
        self.folder.next_generation(&state)?;
        self.limit = LOG_BYTES.max(2 * state.len() as u64);
        self.behind = false;
        Ok(())
    }
}
