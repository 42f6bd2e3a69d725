//! An HAProxy that follows the registry: what changes at run time is told over its socket, and only what cannot be is a
//! reload.
//!
//! The flow: `config` (what a person wants) and a snapshot → `slots` (who stands in which server) → `plan` (wanted and
//! `observed` → commands, or a reason for a reload) → `socket`. `render` makes the file, `store` remembers the slots,
//! `process` starts, reloads and stops HAProxy, `driver` is the
//! loop, `reload` what it does when a file is to be loaded, `status` tells how it goes. It uses the discovery of
//! the balancer, with its memory of what a registry has forgotten, and knows nothing of pools and pickers.

mod command;
mod config;
mod driver;
mod observed;
mod plan;
mod process;
mod reload;
mod render;
#[cfg(test)]
mod shipped;
mod slots;
mod socket;
mod start;
mod status;
mod store;
mod word;

use std::path::PathBuf;

pub use command::Refused;
pub use config::{Config, FOLDER};
pub use socket::SocketError;
pub use start::Haproxy;
pub use status::Pages;

use crate::template::TemplateError;

/// Why HAProxy could not be brought to what is wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HaproxyError {
    /// The template, the check of the file, or the file.
    #[error(transparent)]
    File(#[from] TemplateError),
    /// HAProxy does not answer.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// HAProxy answered that it will not.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The program cannot be run.
    #[error("cannot start {}: {source}; give its path with --program", program.display())]
    Program {
        /// What was tried.
        program: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Somebody else has a port that HAProxy is to have.
    #[error(transparent)]
    Listen(#[from] daemon::net::ListenError),
    /// It ended instead of serving.
    #[error("HAProxy ended ({0}) while it started; its log, above, says why")]
    Ended(String),
    /// It did not take the file.
    #[error("HAProxy has not loaded the new file: {0}")]
    NotLoaded(String),
    /// Nobody answers where HAProxy should be running already.
    #[error(
        "no HAProxy to attach to: {0}; start it with `haproxy -W -S MASTER_SOCKET -f FILE`, or leave out --attach"
    )]
    NotThere(SocketError),
    /// It was told to stop before HAProxy served.
    #[error("stopped before the registry answered")]
    Stopped,
}
