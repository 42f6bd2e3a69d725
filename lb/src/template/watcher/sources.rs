//! The templates' own files: a new version is told of, whether an editor wrote it or put another file in its place.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::job::Job;
use crate::config::WatchedFile;
use crate::template::spec::Source;

/// Edited templates waiting to be taken in: one for each file is enough.
const MAX_EDITS: usize = 64;

/// The templates' files, watched.
#[derive(Debug)]
pub(super) struct Sources {
    tasks: JoinSet<()>,
    sender: mpsc::Sender<(PathBuf, Option<String>)>,
    edits: mpsc::Receiver<(PathBuf, Option<String>)>,
}

impl Sources {
    pub(super) fn new() -> Self {
        let (sender, edits) = mpsc::channel(MAX_EDITS);
        Self {
            tasks: JoinSet::new(),
            sender,
            edits,
        }
    }

    /// Watches the sources of `jobs` from now on, and no others. What was written to one after it was read is told of, too.
    pub(super) fn watch<'a>(&mut self, jobs: impl Iterator<Item = &'a Job>) {
        self.tasks = JoinSet::new();
        let files: BTreeMap<&PathBuf, &str> = jobs
            .filter_map(|job| match &job.spec.source {
                Source::File(path) => Some((path, job.source.as_str())),
                Source::Contents { .. } => None,
            })
            .collect();
        for (path, known) in files {
            let mut file = match WatchedFile::watch_since(path.clone(), known) {
                Ok(file) => file,
                Err(error) => {
                    tracing::warn!("cannot watch {}: {error}", path.display());
                    continue;
                }
            };
            let (path, sender) = (path.clone(), self.sender.clone());
            self.tasks.spawn(async move {
                loop {
                    file.changed().await;
                    let text = file.text().map(str::to_owned);
                    if sender.send((path.clone(), text)).await.is_err() {
                        return;
                    }
                }
            });
        }
    }

    /// The next edit: which file, and its text if it can be read. Cancel-safe.
    pub(super) async fn next(&mut self) -> (PathBuf, Option<String>) {
        match self.edits.recv().await {
            Some(edit) => edit,
            // A sender lives in self.
            None => std::future::pending().await,
        }
    }
}
