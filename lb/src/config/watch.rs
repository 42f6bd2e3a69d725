//! Files that are read again when they change.
//!
//! The folder is watched, not the file: editors and deployment tools replace a file by renaming another one over it, and
//! a watch on the file itself would go away with the old one. If the file is a link, what it leads to may change by
//! whatever else happens in the folder: Kubernetes changes the link `..data` there and nothing else.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Config, ConfigError};

/// The file is read when nothing has happened to it for so long: whoever writes it is done then.
const QUIET: Duration = Duration::from_millis(50);

/// It is read after so long in any case, though it keeps changing.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// A file whose contents are wanted whenever they change.
#[derive(Debug)]
pub(crate) struct WatchedFile {
    path: PathBuf,
    text: Option<String>,
    touched: mpsc::Receiver<()>,
    /// When it was touched first and last since it was read.
    unread: Option<(Instant, Instant)>,
    _watcher: notify::RecommendedWatcher,
}

impl WatchedFile {
    /// Watches the file at `path`, whose present contents are taken as known.
    pub(crate) fn watch(path: PathBuf) -> notify::Result<Self> {
        let folder = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let name: OsString = path.file_name().unwrap_or_default().to_owned();
        // One place is enough: a second touch says nothing that the first does not.
        let (sender, touched) = mpsc::channel(1);
        let file = path.clone();
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                let ours = match event {
                    Ok(event) => {
                        let named = |p: &PathBuf| p.file_name() == Some(&name);
                        !event.kind.is_access()
                            && (event.paths.iter().any(named) || file.is_symlink())
                    }
                    // Events may have been lost: look.
                    Err(_) => true,
                };
                if ours {
                    // Full means that somebody is about to look.
                    let _ = sender.try_send(());
                }
            })?;
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        let text = std::fs::read_to_string(&path).ok();
        Ok(Self {
            path,
            text,
            touched,
            unread: None,
            _watcher: watcher,
        })
    }

    /// Watches the file at `path`, of which `known` was read before: what has changed since then is a change.
    pub(crate) fn watch_since(path: PathBuf, known: &str) -> notify::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            text: Some(known.to_owned()),
            unread: Some((now, now)),
            ..Self::watch(path)?
        })
    }

    /// What is in the file as far as is known; `None` if it cannot be read.
    pub(crate) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// Reads the file now.
    pub(crate) fn reread(&mut self) {
        self.text = std::fs::read_to_string(&self.path).ok();
    }

    /// Waits until the file's contents differ. Cancel-safe: a touch is remembered until the file has been read.
    pub(crate) async fn changed(&mut self) {
        loop {
            let Some((first, last)) = self.unread else {
                if self.touched.recv().await.is_none() {
                    // The watcher lives in self, and with it the sender.
                    std::future::pending::<()>().await;
                }
                let now = Instant::now();
                self.unread = Some((now, now));
                continue;
            };
            // Still changing after that long: read it as it is now.
            let settled = (last + QUIET).min(first + LONGEST_WAIT);
            tokio::select! {
                Some(()) = self.touched.recv() => self.unread = Some((first, Instant::now())),
                () = tokio::time::sleep_until(settled) => {
                    self.unread = None;
                    let text = std::fs::read_to_string(&self.path).ok();
                    if text != self.text {
                        self.text = text;
                        return;
                    }
                }
            }
        }
    }
}

/// A file of which somebody wants to know that it has changed, and reads it himself.
#[derive(Debug)]
pub struct TouchedFile {
    file: WatchedFile,
}

impl TouchedFile {
    /// Watches the file at `path`, whose present contents are taken as known.
    ///
    /// # Errors
    /// [`ConfigError::Watch`]: its folder does not exist or cannot be watched.
    pub fn watch(path: PathBuf) -> Result<Self, ConfigError> {
        match WatchedFile::watch(path.clone()) {
            Ok(file) => Ok(Self { file }),
            Err(source) => Err(ConfigError::Watch { path, source }),
        }
    }

    /// Waits until the file's contents differ. Cancel-safe.
    pub async fn changed(&mut self) {
        self.file.changed().await;
    }
}

/// A configuration file being watched.
#[derive(Debug)]
pub struct ConfigFile {
    file: WatchedFile,
}

impl ConfigFile {
    /// Watches the file at `path`, whose present contents are taken as known.
    ///
    /// # Errors
    /// [`ConfigError::Watch`]: its folder does not exist or cannot be watched.
    pub fn watch(path: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        let path = path.into();
        match WatchedFile::watch(path.clone()) {
            Ok(file) => Ok(Self { file }),
            Err(source) => Err(ConfigError::Watch { path, source }),
        }
    }

    /// Reads the file now, whether it has changed or not.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn reread(&mut self) -> Result<Config, ConfigError> {
        self.file.reread();
        Config::load(&self.file.path)
    }

    /// Waits until the file's contents differ, and reads them. Cancel-safe.
    ///
    /// # Errors
    /// As [`Config::load`]: the new contents are no configuration, or the file is gone. What was in use stays in use.
    pub async fn changed(&mut self) -> Result<Config, ConfigError> {
        self.file.changed().await;
        Config::load(&self.file.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(service: &str) -> String {
        format!("[[route]]\npath = \"/\"\nservice = \"{service}\"\n")
    }

    #[tokio::test]
    async fn who_stops_to_wait_loses_no_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let mut file = WatchedFile::watch(path.clone()).expect("watched");
        std::fs::write(&path, "text").expect("written");
        let impatient = async {
            // Shorter than the file is waited for to settle.
            while tokio::time::timeout(QUIET / 5, file.changed())
                .await
                .is_err()
            {}
        };
        let noticed = tokio::time::timeout(Duration::from_secs(10), impatient).await;
        assert!(noticed.is_ok(), "the change is lost");
    }

    #[tokio::test]
    async fn a_file_behind_a_link_that_is_turned_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, at(name)).expect("linked");
        for (version, text) in [("..1", "old"), ("..2", "new")] {
            std::fs::create_dir(at(version)).expect("made");
            std::fs::write(at(version).join("lb.toml"), text).expect("written");
        }
        link("..1", "..data");
        link("..data/lb.toml", "lb.toml");
        let mut file = WatchedFile::watch(at("lb.toml")).expect("watched");
        assert_eq!(file.text(), Some("old"));
        link("..2", "..tmp");
        std::fs::rename(at("..tmp"), at("..data")).expect("turned");
        let noticed = tokio::time::timeout(Duration::from_secs(10), file.changed()).await;
        assert!(noticed.is_ok(), "the change is lost");
        assert_eq!(file.text(), Some("new"));
    }

    #[tokio::test]
    async fn what_changed_before_it_was_watched_is_a_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "new").expect("written");
        let mut file = WatchedFile::watch_since(path.clone(), "old").expect("watched");
        let noticed = tokio::time::timeout(Duration::from_secs(10), file.changed()).await;
        assert!(noticed.is_ok(), "the change is lost");
        assert_eq!(file.text(), Some("new"));
        let mut file = WatchedFile::watch_since(path, "new").expect("watched");
        let noticed = tokio::time::timeout(QUIET * 3, file.changed()).await;
        assert!(noticed.is_err(), "nothing has changed");
    }

    #[tokio::test]
    async fn a_file_written_replaced_broken_or_removed_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lb.toml");
        std::fs::write(&path, text("one")).expect("written");
        let mut file = ConfigFile::watch(&path).expect("watched");
        let mut next = async || {
            let changed = tokio::time::timeout(Duration::from_secs(10), file.changed()).await;
            changed
                .expect("it is noticed")
                .map(|config| config.routes[0].service.clone())
        };
        std::fs::write(&path, text("two")).expect("written");
        assert_eq!(next().await.expect("a good file"), "two");
        let other = folder.path().join("lb.toml.new");
        std::fs::write(&other, text("three")).expect("written");
        std::fs::rename(&other, &path).expect("renamed");
        assert_eq!(next().await.expect("a good file"), "three");
        std::fs::write(&path, "[[route]]\nwrong = 1\n").expect("written");
        assert!(
            next()
                .await
                .expect_err("a broken file")
                .to_string()
                .contains("line 2")
        );
        std::fs::remove_file(&path).expect("removed");
        assert!(
            next()
                .await
                .expect_err("no file")
                .to_string()
                .contains("cannot read")
        );
        std::fs::write(&path, text("four")).expect("written");
        assert_eq!(next().await.expect("a good file"), "four");
    }
}
