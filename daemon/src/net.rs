//! Opens a listening TCP socket, and says in plain words why it could not.
//!
//! It knows addresses and the operating system's refusals, nothing of what is served.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// Connections the kernel may hold for us before they are accepted. Enough for a burst of clients
/// that all reconnect at once; Linux lowers it to `net.core.somaxconn` by itself.
const BACKLOG: u32 = 1024;

/// Why an address could not be listened on. The text says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another socket has the address.
    #[error(
        "cannot listen on {0}: address already in use (another program has the port: stop it, or choose another port; 0 takes a free one)"
    )]
    InUse(SocketAddr),
    /// The operating system forbids it, mostly for ports below 1024.
    #[error(
        "cannot listen on {0}: permission denied (ports below 1024 need the right to bind them: choose a higher port, or grant CAP_NET_BIND_SERVICE)"
    )]
    Denied(SocketAddr),
    /// The address belongs to no interface of this machine.
    #[error(
        "cannot listen on {0}: the address is not one of this machine's (use 127.0.0.1, 0.0.0.0, or an address that an interface has)"
    )]
    NotLocal(SocketAddr),
    /// Anything else the operating system said.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// Where we wanted to listen.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

impl ListenError {
    fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(address),
            io::ErrorKind::PermissionDenied => Self::Denied(address),
            io::ErrorKind::AddrNotAvailable => Self::NotLocal(address),
            _ => Self::Other { address, source },
        }
    }
}

/// Listens on `address`; port 0 takes a free one. Call it inside a tokio runtime.
///
/// # Errors
///
/// When the operating system refuses; the error says why and what to do.
pub fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    bind(address).map_err(|source| ListenError::new(address, source))
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Without it, a restart would be refused while connections of the last run are in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_says_what_and_what_to_do() {
        let address: SocketAddr = "127.0.0.1:80".parse().expect("a literal");
        let cases = [
            (io::ErrorKind::AddrInUse, "already in use"),
            (io::ErrorKind::PermissionDenied, "below 1024"),
            (io::ErrorKind::AddrNotAvailable, "not one of this machine's"),
            (io::ErrorKind::OutOfMemory, "out of memory"),
        ];
        for (kind, part) in cases {
            let text = ListenError::new(address, kind.into()).to_string();
            assert!(
                text.starts_with("cannot listen on 127.0.0.1:80: "),
                "{text}"
            );
            assert!(text.contains(part), "{text}");
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let first = listen("127.0.0.1:0".parse().expect("a literal")).expect("a free port");
        let taken = first.local_addr().expect("it listens");
        assert!(matches!(listen(taken), Err(ListenError::InUse(a)) if a == taken));
    }

    #[tokio::test]
    async fn an_address_of_no_interface_is_named() {
        // 192.0.2.0/24 is kept for documentation (RFC 5737).
        let foreign = "192.0.2.1:0".parse().expect("a literal");
        assert!(matches!(listen(foreign), Err(ListenError::NotLocal(_))));
    }
}
