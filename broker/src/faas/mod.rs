//! Functions as a service: an HTTP front end, a broker, queues, a coordinator and workers, each a program of its own.
//!
//! They speak the sockets and messages of an existing system of that shape, so that each of its parts can stand in for one
//! of these and the other way round. What that system loses is not lost here: every part keeps what it has handed on until
//! it knows that it was answered. The decisions stand in the `state` of each part, without socket or clock; a part must
//! know neither a registry nor a command line.

pub mod broker;
pub mod coordinator;
pub mod front;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod message;
pub mod queue;
mod recent;
#[cfg(test)]
mod tests;
pub mod worker;

use std::time::Duration;

use tokio::sync::watch;

use crate::zsock;

/// The function of whoever names none: the only one there was in the system whose messages these are.
pub const DEFAULT_FUNCTION: &str = "echo";

/// Longest name of a function or a queue, in bytes: with room for a prefix it fits into a short ZMTP frame.
const MAX_NAME: usize = 100;

/// How long an idle loop sleeps at most before it looks after itself.
const TICK: Duration = Duration::from_millis(100);

/// Where another part is, as far as is known at the moment.
pub type Address = watch::Receiver<Option<String>>;

/// Where the two sockets of another part are.
pub type Addresses = watch::Receiver<Option<(String, String)>>;

/// Why a part does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket.
    #[error(transparent)]
    Socket(#[from] zsock::Error),
    /// A name that cannot be one.
    #[error(
        "{0:?} is no name for a function or a queue: use 1 to {MAX_NAME} letters, digits, '.', '_' and '-'"
    )]
    Name(String),
}

/// Whether it may be the name of a function or a queue.
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(plain)
}

/// A name for a queue that nobody else has.
pub fn chance_name() -> String {
    format!("q{:08x}", fastrand::u32(..))
}

/// Fails as a part would that is given this name.
///
/// # Errors
/// If it cannot be the name of a function or a queue.
pub fn check_name(text: &str) -> Result<(), Error> {
    if is_name(text) {
        Ok(())
    } else {
        Err(Error::Name(text.to_owned()))
    }
}

/// The next value of what is watched, once it has changed; for ever if nobody will change it any more.
async fn moved<T>(watched: &mut watch::Receiver<T>) {
    if watched.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
