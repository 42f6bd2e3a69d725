//! The file: written beside the target, checked, swapped in, and taken back if the command that follows fails.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{TemplateError, command};

/// Where a rendering goes.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) target: PathBuf,
    /// Run on the candidate before it is swapped in; `{candidate}` stands for its path.
    pub(crate) check: Option<String>,
    /// Run after the swap.
    pub(crate) command: Option<String>,
}

/// What became of a rendering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The file says it already.
    Same,
    /// The file is new.
    Changed,
}

impl Output {
    /// A file that is only written.
    pub(crate) fn plain(target: PathBuf) -> Self {
        Self {
            target,
            check: None,
            command: None,
        }
    }

    /// Brings `text` into the target.
    ///
    /// # Errors
    /// The target is as it was, whatever failed.
    pub(crate) async fn write(&self, text: &str) -> Result<Written, TemplateError> {
        let old = match std::fs::read(&self.target) {
            Ok(old) if old == text.as_bytes() => return Ok(Written::Same),
            Ok(old) => Some(old),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => return Err(self.failed("read", source)),
        };
        let candidate = self.beside(text.as_bytes())?;
        if let Some(check) = &self.check {
            let path = candidate.path().display().to_string();
            command::run(&check.replace("{candidate}", &path))
                .await
                .map_err(|reason| TemplateError::Check {
                    path: self.target.clone(),
                    reason,
                })?;
        }
        self.swap_in(candidate)?;
        let Some(after) = &self.command else {
            return Ok(Written::Changed);
        };
        let Err(reason) = command::run(after).await else {
            return Ok(Written::Changed);
        };
        self.take_back(old.as_deref())?;
        Err(TemplateError::Command {
            path: self.target.clone(),
            reason,
        })
    }

    /// A file with `bytes` in the target's folder, with the target's mode and owner.
    fn beside(&self, bytes: &[u8]) -> Result<tempfile::NamedTempFile, TemplateError> {
        let folder = self
            .target
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new()
            .prefix(".turno-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(folder)
            .map_err(|source| self.failed("write beside", source))?;
        if let Ok(old) = std::fs::metadata(&self.target) {
            file.as_file()
                .set_permissions(old.permissions())
                .map_err(|source| self.failed("set the mode of", source))?;
            // Only root may give files away; for others the file is theirs already, or cannot be.
            let _ = std::os::unix::fs::fchown(file.as_file(), Some(old.uid()), Some(old.gid()));
        }
        file.write_all(bytes)
            .map_err(|source| self.failed("write", source))?;
        file.as_file()
            .sync_all()
            .map_err(|source| self.failed("write", source))?;
        Ok(file)
    }

    fn swap_in(&self, candidate: tempfile::NamedTempFile) -> Result<(), TemplateError> {
        candidate
            .persist(&self.target)
            .map_err(|error| self.failed("replace", error.error))?;
        Ok(())
    }

    fn take_back(&self, old: Option<&[u8]>) -> Result<(), TemplateError> {
        match old {
            Some(old) => self.beside(old).and_then(|file| self.swap_in(file)),
            None => {
                std::fs::remove_file(&self.target).map_err(|source| self.failed("remove", source))
            }
        }
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
    use std::os::unix::fs::PermissionsExt;

    fn output(folder: &Path, check: Option<&str>, command: Option<&str>) -> Output {
        Output {
            target: folder.join("out.cfg"),
            check: check.map(str::to_owned),
            command: command.map(str::to_owned),
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
        let output = Output {
            target: folder.path().join("no/such/out.cfg"),
            check: None,
            command: None,
        };
        let error = output.write("x").await.expect_err("no folder").to_string();
        assert!(error.contains("no/such/out.cfg"), "{error}");
    }
}
