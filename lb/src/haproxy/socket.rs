//! HAProxy's command line behind a Unix socket: one connection for each line of commands, within limits.
//!
//! It knows no command. A worker's socket and the master's are spoken to alike.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// How long a line of commands may take to be answered. It takes less than a millisecond; a worker that is busy with a
/// thousand new connections may take some tens.
const LIMIT: Duration = Duration::from_secs(5);

/// The most that is read of an answer: some 200,000 servers.
const ANSWER_LIMIT: u64 = 32 * 1024 * 1024;

/// Where commands are sent.
#[derive(Clone, Debug)]
pub(super) struct Socket {
    path: PathBuf,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer from HAProxy's socket {}: {source}", path.display())]
pub struct SocketError {
    path: PathBuf,
    source: io::Error,
}

impl Socket {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Sends one line, and returns all that comes back until HAProxy closes the connection.
    pub(super) async fn ask(&self, line: &str) -> Result<String, SocketError> {
        let asked = async {
            let mut stream = UnixStream::connect(&self.path).await?;
            stream.write_all(format!("{line}\n").as_bytes()).await?;
            // The master keeps a connection open for further commands; this says that there are none.
            stream.shutdown().await?;
            let mut answer = Vec::new();
            stream.take(ANSWER_LIMIT).read_to_end(&mut answer).await?;
            Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let answer = tokio::time::timeout(LIMIT, asked).await;
        answer
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|source| SocketError {
                path: self.path.clone(),
                source,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    #[tokio::test]
    async fn a_line_is_answered_until_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).expect("it is bound");
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut asked = String::new();
            stream.read_to_string(&mut asked).await.expect("a line");
            stream.write_all(b"one\n\n\n").await.expect("answered");
            asked
        });
        let answer = Socket::new(&path).ask("a;b").await.expect("an answer");
        assert_eq!(answer, "one\n\n\n");
        assert_eq!(served.await.expect("it served"), "a;b\n");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_there_and_nobody_answering_are_errors() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let error = Socket::new(&path).ask("x").await.expect_err("no socket");
        assert!(error.to_string().contains(&path.display().to_string()));
        let _silent = UnixListener::bind(&path).expect("it is bound");
        let error = Socket::new(&path).ask("x").await.expect_err("no answer");
        assert!(error.to_string().contains("timed out"), "{error}");
    }
}
