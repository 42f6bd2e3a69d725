//! A logger: takes lines from pushers and appends them to a file.
//!
//! Lines are collected and written together, flushed when they have waited for a moment or the source pauses. The file is
//! opened anew on request, for whoever moves it away, and moved away by itself when it is large. What a line says is not
//! its business.

mod file;
mod line;

use std::{io, path::PathBuf, time::Duration};

use bytes::Bytes;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use self::{file::LogFile, line::Format};
use crate::zsock::{self, Pull};

/// Longest line taken, in bytes; a longer one ends its sender's connection.
pub const MAX_LINE: usize = 64 * 1024;
/// A line waits no longer than this before it is written.
const FLUSH: Duration = Duration::from_millis(100);
/// Bytes collected before they are written: few system calls, little memory.
const BATCH: usize = 64 * 1024;

/// Why a logger ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its socket.
    #[error(transparent)]
    Socket(#[from] zsock::Error),
    /// Its file.
    #[error("cannot write the log file {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes lines until `stop` is cancelled. Each message on `reopen` opens the file anew.
///
/// A disk that fails while it runs does not end it: lines are counted as lost and said to be so in the file, when it
/// can be written again.
///
/// # Errors
/// If its socket ends.
pub async fn run(
    pull: Pull,
    mut file: LogFile,
    format: Format,
    mut reopen: mpsc::Receiver<()>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let mut due: Option<Instant> = None;
    loop {
        let flush_at = due.unwrap_or_else(|| Instant::now() + FLUSH);
        tokio::select! {
            message = pull.receive() => {
                file.add(&line::render(line(&message?), format));
                if file.pending() >= BATCH {
                    write(&mut file);
                    due = None;
                } else {
                    due.get_or_insert_with(|| Instant::now() + FLUSH);
                }
            }
            () = tokio::time::sleep_until(flush_at), if due.is_some() => {
                write(&mut file);
                due = None;
            }
            Some(()) = reopen.recv() => {
                write(&mut file);
                match file.reopen() {
                    Ok(()) => info!(file = %file.path().display(), "opened the log file anew"),
                    Err(error) => warn!(%error, "cannot open the log file anew: going on with the old one"),
                }
            }
            () = stop.cancelled() => break,
        }
    }
    write(&mut file);
    pull.close().await;
    Ok(())
}

fn write(file: &mut LogFile) {
    if let Err(error) = file.write() {
        warn!(%error, lost = file.lost(), "lines are lost");
    }
}

/// A message as one line: its frames with spaces between them, and no line break inside.
fn line(frames: &[Bytes]) -> Vec<u8> {
    let mut line = frames.join(&b' ');
    for byte in &mut line {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line
}
