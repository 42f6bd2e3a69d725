//! Which files hold definitions, and their texts.
//!
//! As Consul does it: the files of a folder in the order of their names, sub-folders not entered, other extensions
//! skipped with a warning. What the texts mean is not known here.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::{FILE_LIMIT, Format};

/// A definition file as it was found.
#[derive(Debug)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// How it is written.
    pub format: Format,
    /// Its text, or why it cannot be read.
    pub text: Result<String, String>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The files, in order.
    pub files: Vec<File>,
    /// What was passed over, for a warning.
    pub skipped: Vec<PathBuf>,
    /// Folders that cannot be listed, and why.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// The format that a file's name tells.
#[must_use]
pub fn format_of(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "json" => Some(Format::Json),
        "hcl" => Some(Format::Hcl),
        _ => None,
    }
}

/// Reads all `files`, then those of each of the `folders`.
#[must_use]
pub fn read(files: &[PathBuf], folders: &[PathBuf]) -> Found {
    let mut found = Found::default();
    for path in files {
        found.add(path.clone());
    }
    for folder in folders {
        match list(folder) {
            Ok(paths) => paths.into_iter().for_each(|path| found.add(path)),
            Err(error) => found.unreadable.push((folder.clone(), error.to_string())),
        }
    }
    found
}

fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

impl Found {
    fn add(&mut self, path: PathBuf) {
        if self.files.iter().any(|file| file.path == path) {
            return;
        }
        match format_of(&path) {
            Some(format) => {
                let text = text(&path);
                self.files.push(File { path, format, text });
            }
            None => self.skipped.push(path),
        }
    }
}

/// At most one byte more than a file may have is read, so that a wrong path (a disk, a log) costs little.
fn text(path: &Path) -> Result<String, String> {
    let read = || {
        let mut text = String::new();
        let limit = u64::try_from(FILE_LIMIT + 1).unwrap_or(u64::MAX);
        std::fs::File::open(path)?
            .take(limit)
            .read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|error: std::io::Error| format!("cannot read it: {error}"))
}
