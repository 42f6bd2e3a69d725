//! Takes over a listening socket that the service manager holds (socket activation, sd_listen_fds(3)).
//!
//! The manager goes on holding it while no program of ours runs: clients who connect then wait in its queue.

use std::{io, net::TcpListener};

use listenfd::ListenFd;

/// Why an inherited socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// There is more than one, and nothing says which is for what.
    #[error(
        "{0} sockets were inherited (LISTEN_FDS), expected one: a .socket unit of one ListenStream="
    )]
    TooMany(usize),
    /// It is of another kind.
    #[error(
        "the inherited socket (LISTEN_FDS) cannot be used: {0}; expected ListenStream= with a TCP address"
    )]
    Unusable(#[source] io::Error),
}

/// The listening TCP socket that the manager passed to this process, if it did. It can be taken once. To be called before
/// any thread is started: it changes the environment, so that children do not take the socket for theirs.
///
/// # Errors
/// It is no TCP socket, or there is more than one.
pub fn inherited() -> Result<Option<TcpListener>, InheritError> {
    let mut sockets = ListenFd::from_env();
    if sockets.len() > 1 {
        return Err(InheritError::TooMany(sockets.len()));
    }
    sockets.take_tcp_listener(0).map_err(InheritError::Unusable)
}
