//! Notices that definition files may have changed.
//!
//! Folders are watched, not files: editors and deployment tools replace a file by renaming another one over it. What
//! has changed is found out by reading.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The files are read when nothing has happened for so long: whoever writes them is done then.
const QUIET: Duration = Duration::from_millis(50);

/// They are read after so long in any case, though they keep changing.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// They are read so often without any event: network folders send none, and a folder that was replaced is another one.
const WITHOUT_EVENT: Duration = Duration::from_secs(30);

/// Folders being watched.
#[derive(Debug)]
pub(super) struct Touched {
    events: mpsc::Receiver<()>,
    watcher: RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
    /// Something has happened since files were last read.
    changing: bool,
    /// When the files are read without any event. Kept here, because whoever waits stops waiting long before.
    due: Instant,
}

impl Touched {
    /// Watches the folders, and those the files are in.
    pub(super) fn watch(
        files: &[PathBuf],
        folders: &[PathBuf],
    ) -> Result<Self, (PathBuf, notify::Error)> {
        // One place is enough: a second touch says nothing that the first does not.
        let (sender, events) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error means that events may have been lost: look.
            if event.map_or(true, |event| !event.kind.is_access()) {
                // Full means that somebody is about to look.
                let _ = sender.try_send(());
            }
        });
        let watcher = watcher.map_err(|error| (PathBuf::from("."), error))?;
        let parent = |file: &PathBuf| match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let folders: BTreeSet<PathBuf> = folders
            .iter()
            .cloned()
            .chain(files.iter().map(parent))
            .collect();
        let mut touched = Self {
            events,
            watcher,
            folders,
            changing: false,
            due: Instant::now() + WITHOUT_EVENT,
        };
        for folder in touched.folders.clone() {
            touched.add(&folder).map_err(|error| (folder, error))?;
        }
        Ok(touched)
    }

    fn add(&mut self, folder: &Path) -> notify::Result<()> {
        self.watcher.watch(folder, RecursiveMode::NonRecursive)
    }

    /// Waits until files may have changed and whoever changes them is done. Cancel-safe.
    pub(super) async fn next(&mut self) {
        if !self.changing {
            match tokio::time::timeout_at(self.due, self.events.recv()).await {
                Ok(Some(())) => self.changing = true,
                // The sender lives in the watcher.
                Ok(None) => std::future::pending().await,
                Err(_) => return self.watch_again(),
            }
        }
        let settled = async {
            while tokio::time::timeout(QUIET, self.events.recv())
                .await
                .is_ok()
            {}
        };
        // Still changing after that long: read them as they are now.
        let _ = tokio::time::timeout(LONGEST_WAIT, settled).await;
        self.changing = false;
        self.due = Instant::now() + WITHOUT_EVENT;
    }

    /// A folder may be another one of the same name by now. One that is gone is named when it is read.
    fn watch_again(&mut self) {
        self.due = Instant::now() + WITHOUT_EVENT;
        for folder in self.folders.clone() {
            let _ = self.watcher.unwatch(&folder);
            let _ = self.add(&folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn files_are_read_without_an_event_however_often_the_wait_is_broken_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut touched = Touched::watch(&[], &[folder.path().to_owned()]).expect("watched");
        let begun = Instant::now();
        let patience = WITHOUT_EVENT / 6;
        while tokio::time::timeout(patience, touched.next())
            .await
            .is_err()
        {
            assert!(begun.elapsed() <= WITHOUT_EVENT, "they are not read");
        }
        assert!(begun.elapsed() >= WITHOUT_EVENT, "nothing happened before");
    }
}
