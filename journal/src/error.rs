//! Why a folder cannot be used. Whoever wanted it does not start then: it would forget what the folder holds.

use std::{io, path::PathBuf};

/// What is wrong with a folder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused something.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it.
    #[error("{path} is in use by another process; stop that one, or name another folder")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A file is not there whose companion is.
    #[error(
        "{path} is missing; put it back from a copy, or move the whole folder away to begin anew"
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file does not hold what was written to it.
    #[error(
        "{path} is damaged at byte {offset}: {why}. Nothing was read from it; put it back from a copy, or move the \
         whole folder away to begin anew"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        why: String,
    },
}
