//! The broker's disk: requests that were acknowledged, and the answers to them, in a folder that a killed broker goes on from.
//!
//! One thread writes; what waits at the same moment shares one `fdatasync`. When the disk refuses, those who wait are told
//! so and not acknowledged; what has ended meanwhile is written when it takes something again. It must not know queues,
//! workers or sockets.

mod record;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::VecDeque,
    io,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use bytes::Bytes;
use journal::{Folder, Piece};
use tokio::sync::mpsc;

use self::{
    record::{AnswerLimits, Change, Clocks, Kept},
    writer::Writer,
};
use crate::core::{
    Limits,
    keep::{KeptAnswer, KeptRequest},
};

/// Bytes of answers in line for a disk that does not keep up; beyond that, answers are let go: whoever comes back for one
/// has its request run again.
const ANSWER_QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// Outcomes not yet taken by the broker's loop: the writer waits for it then.
const OUTCOMES: usize = 1024;

/// What became of requests that were to be kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// Their numbers.
    pub numbers: Vec<u64>,
    /// Why they are not kept; `None` if they are.
    pub error: Option<Bytes>,
}

/// What a folder held.
#[derive(Debug, Default)]
pub struct Found {
    /// Requests that have not ended.
    pub requests: Vec<KeptRequest>,
    /// Answers to those that have.
    pub answers: Vec<KeptAnswer>,
}

#[derive(Debug, Default)]
struct Queue {
    changes: VecDeque<Change>,
    /// Bytes of the answers among them.
    answer_bytes: usize,
    stop: bool,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to the disk.
#[derive(Debug)]
pub struct Disk {
    shared: Arc<Shared>,
    outcomes: mpsc::Receiver<Outcome>,
    thread: Option<JoinHandle<()>>,
}

impl Disk {
    /// Opens a folder, or makes one, and starts the thread that writes.
    ///
    /// # Errors
    /// If another process has it, or something in it is not as it was written; then nothing of it may be used.
    pub fn open(path: &Path, limits: &Limits) -> Result<(Self, Found), journal::Error> {
        let answers = AnswerLimits {
            number: limits.answers,
            bytes: limits.answer_bytes,
        };
        let mut kept = Kept::default();
        let fresh = || Kept::default().encode().map_err(io::Error::other);
        let folder = Folder::open(path, fresh, &mut |piece| {
            match piece {
                Piece::State(state) => kept = Kept::decode(state)?,
                Piece::Change { contents, .. } => {
                    let change: Change =
                        rmp_serde::from_slice(contents).map_err(|error| error.to_string())?;
                    kept.apply(change, answers);
                }
            }
            Ok(())
        })?;
        let (requests, kept_answers) = kept.restore(Clocks::now());
        let shared = Arc::new(Shared::default());
        let (tell, outcomes) = mpsc::channel(OUTCOMES);
        let writer = Writer::new(Arc::clone(&shared), folder, (kept, answers), tell);
        let thread = std::thread::Builder::new()
            .name("mq-disk".to_owned())
            .spawn(move || writer.run());
        let thread = thread.map_err(|source| journal::Error::Io {
            path: path.to_owned(),
            source,
        })?;
        let disk = Self {
            shared,
            outcomes,
            thread: Some(thread),
        };
        let found = Found {
            requests,
            answers: kept_answers,
        };
        Ok((disk, found))
    }

    /// Puts a request in line. What became of it comes as an [`Outcome`].
    pub fn keep(&self, request: KeptRequest) {
        let change = Change::Keep(record::Request::of(request, Clocks::now()));
        self.shared.queue().changes.push_back(change);
        self.shared.more.notify_one();
    }

    /// Notes that a request has ended. Nobody waits for that: if it is lost, the request runs again.
    pub fn release(&self, number: u64, answer: Option<KeptAnswer>) {
        let answer = answer.map(|answer| record::Answer::of(answer, Clocks::now()));
        let size = answer.as_ref().map_or(0, record::Answer::size);
        let mut queue = self.shared.queue();
        let fits = queue.answer_bytes + size <= ANSWER_QUEUE_BYTES;
        if fits {
            queue.answer_bytes += size;
        }
        let change = Change::Release(number, answer.filter(|_| fits));
        queue.changes.push_back(change);
        drop(queue);
        self.shared.more.notify_one();
    }

    /// What became of requests in line. Cancel-safe. Waits for ever once the thread has ended.
    pub async fn outcome(&mut self) -> Outcome {
        match self.outcomes.recv().await {
            Some(outcome) => outcome,
            None => std::future::pending().await,
        }
    }

    /// Writes what is in line and gives the folder up. Blocks.
    pub fn close(mut self) {
        self.outcomes.close();
        self.signal_stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that keeps requests has failed");
        }
    }

    fn signal_stop(&self) {
        self.shared.queue().stop = true;
        self.shared.more.notify_one();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.signal_stop();
    }
}
