//! The file: written beside the target, checked, swapped in, and taken back if the command that follows fails.
//!
//! The steps are apart, so that several files can be swapped in before one command is run for all of them.

pub(super) mod command;
mod diff;
mod owner;

use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::TemplateError;

pub(super) use diff::diff;
pub(super) use owner::{group_id, user_id};

/// The mode of a new file that nobody has asked another for.
const NEW_MODE: u32 = 0o644;

/// Where a rendering goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) target: PathBuf,
    /// Run on the candidate before it is swapped in; `{candidate}` stands for its path.
    pub(crate) check: Option<String>,
    /// Run after the swap.
    pub(crate) command: Option<String>,
    /// How long check and command may take.
    pub(crate) command_limit: Duration,
    /// The target's mode; that of the old file if not given.
    pub(crate) mode: Option<u32>,
    /// The target's user and group by number; those of the old file if not given.
    pub(crate) owner: (Option<u32>, Option<u32>),
    /// Whether the old file is kept beside the new one, with `.bak` at the end of its name.
    pub(crate) backup: bool,
    /// Whether folders that are missing are made.
    pub(crate) make_folders: bool,
}

/// What became of a rendering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The file says it already.
    Same,
    /// The file is new.
    Changed,
}

/// A candidate that has passed its check. Dropped, it is removed.
#[derive(Debug)]
pub(super) struct Candidate {
    file: tempfile::NamedTempFile,
    old: Option<Vec<u8>>,
}

/// What stood in the target before, to take back.
#[derive(Debug)]
pub(super) struct Replaced {
    old: Option<Vec<u8>>,
}

impl Output {
    /// A target with nothing asked for besides.
    pub(crate) fn plain(target: impl Into<PathBuf>) -> Self {
        Self {
            target: target.into(),
            check: None,
            command: None,
            command_limit: command::LIMIT,
            mode: None,
            owner: (None, None),
            backup: false,
            make_folders: false,
        }
    }

    /// Brings `text` into the target.
    ///
    /// # Errors
    /// The target is as it was, whatever failed.
    pub(crate) async fn write(&self, text: &str) -> Result<Written, TemplateError> {
        let Some(candidate) = self.prepare(text).await? else {
            return Ok(Written::Same);
        };
        let replaced = self.swap_in(candidate)?;
        let Some(after) = &self.command else {
            return Ok(Written::Changed);
        };
        let Err(reason) = command::run_within(after, self.command_limit).await else {
            return Ok(Written::Changed);
        };
        self.take_back(replaced)?;
        Err(self.command_failed(reason))
    }

    /// Writes a candidate beside the target and has it checked; `None` if the target says `text` already.
    ///
    /// # Errors
    /// It cannot be written, or the check failed.
    pub(super) async fn prepare(&self, text: &str) -> Result<Option<Candidate>, TemplateError> {
        let old = self.present()?;
        if old.as_deref() == Some(text.as_bytes()) {
            self.put_in_order()?;
            return Ok(None);
        }
        if self.make_folders
            && let Some(folder) = self.target.parent()
        {
            std::fs::create_dir_all(folder)
                .map_err(|source| self.failed("make the folder of", source))?;
        }
        let file = self.beside(text.as_bytes())?;
        if let Some(check) = &self.check {
            let path = file.path().display().to_string();
            let check = check.replace("{candidate}", &path);
            command::run_within(&check, self.command_limit)
                .await
                .map_err(|reason| TemplateError::Check {
                    path: self.target.clone(),
                    reason,
                })?;
        }
        Ok(Some(Candidate { file, old }))
    }

    /// Puts the candidate in the target's place.
    ///
    /// # Errors
    /// It cannot be; the target is as it was.
    pub(super) fn swap_in(&self, candidate: Candidate) -> Result<Replaced, TemplateError> {
        if self.backup
            && let Some(old) = &candidate.old
        {
            let mut name = self.real_target().into_os_string();
            name.push(".bak");
            self.beside(old)?
                .persist(&name)
                .map_err(|error| self.failed("back up", error.error))?;
        }
        self.persist(candidate.file)?;
        Ok(Replaced { old: candidate.old })
    }

    /// Brings back what stood there before.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn take_back(&self, replaced: Replaced) -> Result<(), TemplateError> {
        match replaced.old {
            Some(old) => self.beside(&old).and_then(|file| self.persist(file)),
            None => match std::fs::remove_file(&self.target) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    Err(self.failed("remove", error))
                }
                _ => Ok(()),
            },
        }
    }

    /// What the target says now; `None` if it does not exist.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn present(&self) -> Result<Option<Vec<u8>>, TemplateError> {
        match std::fs::read(&self.target) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.failed("read", source)),
        }
    }

    pub(super) fn command_failed(&self, reason: String) -> TemplateError {
        TemplateError::Command {
            path: self.target.clone(),
            reason,
        }
    }

    /// The target itself, where it is a link.
    fn real_target(&self) -> PathBuf {
        self.target
            .canonicalize()
            .unwrap_or_else(|_| self.target.clone())
    }

    /// A file with `bytes` in the target's folder, with the mode and owner the target is to have.
    fn beside(&self, bytes: &[u8]) -> Result<tempfile::NamedTempFile, TemplateError> {
        let target = self.real_target();
        let folder = target
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        // Nobody else reads it before it has the mode it is to have.
        let mut file = tempfile::Builder::new()
            .prefix(".turno-")
            .permissions(PermissionsExt::from_mode(0o600))
            .tempfile_in(folder)
            .map_err(|source| self.failed("write beside", source))?;
        let old = std::fs::metadata(&target).ok();
        let (user, group) = self.owner;
        if user.is_some() || group.is_some() {
            std::os::unix::fs::fchown(file.as_file(), user, group)
                .map_err(|source| self.failed("give to its owner", source))?;
        } else if let Some(old) = &old {
            // Only root may give files away; for others the file is theirs already, or cannot be.
            let _ = std::os::unix::fs::fchown(file.as_file(), Some(old.uid()), Some(old.gid()));
        }
        let mode = self
            .mode
            .or_else(|| old.map(|old| old.permissions().mode()))
            .unwrap_or(NEW_MODE);
        file.as_file()
            .set_permissions(PermissionsExt::from_mode(mode))
            .map_err(|source| self.failed("set the mode of", source))?;
        file.write_all(bytes)
            .and_then(|()| file.as_file().sync_all())
            .map_err(|source| self.failed("write", source))?;
        Ok(file)
    }

    /// A file that says what it should may still have another mode or owner than was asked for.
    fn put_in_order(&self) -> Result<(), TemplateError> {
        let (user, group) = self.owner;
        if user.is_some() || group.is_some() {
            std::os::unix::fs::chown(&self.target, user, group)
                .map_err(|source| self.failed("give to its owner", source))?;
        }
        if let Some(mode) = self.mode {
            std::fs::set_permissions(&self.target, PermissionsExt::from_mode(mode))
                .map_err(|source| self.failed("set the mode of", source))?;
        }
        Ok(())
    }

    fn persist(&self, file: tempfile::NamedTempFile) -> Result<(), TemplateError> {
        file.persist(self.real_target())
            .map_err(|error| self.failed("replace", error.error))?;
        Ok(())
    }

    fn failed(&self, what: &'static str, source: std::io::Error) -> TemplateError {
        TemplateError::File {
            what,
            path: self.target.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(folder: &Path, check: Option<&str>, command: Option<&str>) -> Output {
        Output {
            check: check.map(str::to_owned),
            command: command.map(str::to_owned),
            ..Output::plain(folder.join("out.cfg"))
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("a folder");
        entries
            .map(|e| {
                e.expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect()
    }

    #[tokio::test]
    async fn a_file_is_written_once_and_keeps_its_mode() {
        let folder = tempfile::tempdir().expect("a folder");
        let output = output(folder.path(), None, None);
        assert_eq!(
            output.write("one").await.expect("written"),
            Written::Changed
        );
        std::fs::set_permissions(&output.target, PermissionsExt::from_mode(0o600)).expect("ours");
        assert_eq!(output.write("one").await.expect("written"), Written::Same);
        assert_eq!(
            output.write("two").await.expect("written"),
            Written::Changed
        );
        assert_eq!(
            std::fs::read_to_string(&output.target).expect("a file"),
            "two"
        );
        let mode = std::fs::metadata(&output.target)
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(
            (mode & 0o777, names(folder.path())),
            (0o600, vec!["out.cfg".to_owned()])
        );
    }

    #[tokio::test]
    async fn a_failed_check_leaves_the_old_file_and_no_candidate() {
        let folder = tempfile::tempdir().expect("a folder");
        let output = output(
            folder.path(),
            Some("grep -q good {candidate} || { echo 'no good' >&2; exit 1; }"),
            None,
        );
        output.write("good").await.expect("checked");
        let error = output.write("bad").await.expect_err("refused").to_string();
        assert!(
            error.contains("out.cfg stays as it is") && error.contains("no good"),
            "{error}"
        );
        assert_eq!(
            std::fs::read_to_string(&output.target).expect("a file"),
            "good"
        );
        assert_eq!(names(folder.path()), ["out.cfg"]);
    }

    #[tokio::test]
    async fn a_failed_command_brings_the_old_file_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.cfg");
        let output = output(
            folder.path(),
            None,
            Some(&format!("grep -q good {}", path.display())),
        );
        let error = output.write("bad").await.expect_err("refused").to_string();
        assert!(error.contains("is as it was"), "{error}");
        assert!(!path.exists());
        output.write("good").await.expect("written");
        output.write("worse").await.expect_err("refused");
        assert_eq!(std::fs::read_to_string(&path).expect("a file"), "good");
    }

    #[tokio::test]
    async fn a_target_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let output = Output::plain(folder.path().join("no/such/out.cfg"));
        let error = output.write("x").await.expect_err("no folder").to_string();
        assert!(error.contains("no/such/out.cfg"), "{error}");
        let output = Output {
            make_folders: true,
            ..output
        };
        assert_eq!(output.write("x").await.expect("written"), Written::Changed);
    }

    #[tokio::test]
    async fn mode_backup_and_links() {
        let folder = tempfile::tempdir().expect("a folder");
        let real = folder.path().join("real.cfg");
        let link = folder.path().join("link.cfg");
        std::fs::write(&real, "old").expect("written");
        std::os::unix::fs::symlink(&real, &link).expect("a link");
        let output = Output {
            mode: Some(0o640),
            backup: true,
            ..Output::plain(&link)
        };
        output.write("new").await.expect("written");
        let mode = std::fs::metadata(&real)
            .expect("a file")
            .permissions()
            .mode();
        let text = |path: &Path| std::fs::read_to_string(path).expect("a file");
        assert_eq!((text(&real).as_str(), mode & 0o777), ("new", 0o640));
        assert_eq!(text(&folder.path().join("real.cfg.bak")), "old");
        assert!(link.is_symlink(), "the link is still one");
        std::fs::set_permissions(&real, PermissionsExt::from_mode(0o600)).expect("ours");
        assert_eq!(output.write("new").await.expect("same"), Written::Same);
        let mode = std::fs::metadata(&real)
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(
            mode & 0o777,
            0o640,
            "put in order though the text is the same"
        );
    }
}
