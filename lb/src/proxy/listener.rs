//! Listener sockets: one for each worker on the same address, so that the kernel spreads connections over the cores. Or one
//! that a service manager made and keeps: the workers then share it, and clients wait in it while no balancer runs.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel keeps for us while we are busy. It cuts this to its own limit (net.core.somaxconn).
const BACKLOG: i32 = 4_096;

/// Why nothing can be accepted.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", hint(source))]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

fn hint(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the address is in use; stop who uses it, or choose another port".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        _ => error.to_string(),
    }
}

/// An address that is ours, and, unless a service manager does, not listened on yet: who connects is refused.
#[derive(Debug)]
pub(crate) struct Reserved {
    address: SocketAddr,
    socket: Socket,
    /// It is the manager's, who listens already, and goes on when we end.
    inherited: bool,
}

/// Makes `address` ours. With port 0 a free port is chosen.
pub(crate) fn reserve(address: SocketAddr) -> Result<Reserved, ListenError> {
    let error = |source| ListenError { address, source };
    // SO_REUSEPORT would let a second program of ours share the port unnoticed. So it must be free without it first.
    if address.port() != 0 {
        let alone = bound(address, false).map_err(error)?;
        alone.listen(1).map_err(error)?;
    }
    let socket = bound(address, true).map_err(error)?;
    let local = socket.local_addr().map_err(error)?;
    let address = local
        .as_socket()
        .ok_or_else(|| error(io::ErrorKind::Unsupported.into()))?;
    Ok(Reserved {
        address,
        socket,
        inherited: false,
    })
}

/// Takes over a listening socket that a service manager holds.
pub(crate) fn inherit(listener: TcpListener) -> Result<Reserved, ListenError> {
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    let address = listener.local_addr();
    let error = |source| ListenError {
        address: *address.as_ref().unwrap_or(&unspecified),
        source,
    };
    listener.set_nonblocking(true).map_err(error)?;
    Ok(Reserved {
        address: *address.as_ref().unwrap_or(&unspecified),
        socket: listener.into(),
        inherited: true,
    })
}

impl Reserved {
    /// Whether a service manager goes on listening when we end.
    pub(crate) fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// Listens, with `count` sockets, at least one.
    pub(crate) fn share(self, count: usize) -> Result<Vec<TcpListener>, ListenError> {
        let error = |source| ListenError {
            address: self.address,
            source,
        };
        let mut sockets = Vec::with_capacity(count);
        for _ in 1..count {
            // Nobody can listen beside a socket that was made without SO_REUSEPORT. So all accept from the one queue.
            let another = if self.inherited {
                self.socket.try_clone()
            } else {
                bound(self.address, true)
            };
            sockets.push(another.map_err(error)?);
        }
        sockets.push(self.socket);
        if self.inherited {
            return Ok(sockets.into_iter().map(Into::into).collect());
        }
        sockets
            .into_iter()
            .map(|socket| {
                socket
                    .listen(BACKLOG)
                    .map(|()| socket.into())
                    .map_err(error)
            })
            .collect()
    }
}

fn bound(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_workers_share_a_port_and_strangers_do_not() {
        let reserved = reserve(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = reserved.address;
        assert!(
            std::net::TcpStream::connect(address).is_err(),
            "nobody listens yet"
        );
        let sockets = reserved.share(3).expect("shared");
        assert!(
            address.port() != 0 && sockets.iter().all(|s| s.local_addr().ok() == Some(address))
        );
        let error = reserve(address).expect_err("it is taken").to_string();
        assert_eq!(
            error,
            format!(
                "cannot listen on {address}: the address is in use; stop who uses it, or choose another port"
            )
        );
    }
}
