//! Listening sockets, of TCP and of Unix.

use std::{
    fs,
    io::{Error as IoError, Result as IoResult},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr as UnixAddress, UnixListener},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use omq_proto::{Endpoint, IpcPath, endpoint::Host};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    io::{Errno, Result},
    net::{SocketFlags, accept_with, getpeername, listen, sockopt},
};

/// Connections that wait in the kernel until they are accepted.
const BACKLOG: i32 = 4096;
/// A connection that is silent for so long is asked by the kernel whether the other machine is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// One listening socket.
#[derive(Debug)]
pub(super) struct Listener {
    socket: OwnedFd,
    /// Removed when it closes.
    path: Option<PathBuf>,
    tcp: bool,
}

impl Listener {
    /// Listens; says where, with the port chosen. A Unix socket that is left there is replaced, as ZeroMQ does.
    pub(super) async fn bind(endpoint: &Endpoint) -> IoResult<(Self, String)> {
        match endpoint {
            Endpoint::Tcp { host, port } => {
                let listener = TcpListener::bind(address(host, *port).await?)?;
                let bound = format!("tcp://{}", listener.local_addr()?);
                listener.set_nonblocking(true)?;
                Ok((Self::new(listener.into(), None, true)?, bound))
            }
            Endpoint::Ipc(IpcPath::Filesystem(path)) => {
                remove_left_over(path)?;
                let listener = UnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                let this = Self::new(listener.into(), Some(path.clone()), false)?;
                Ok((this, endpoint.to_string()))
            }
            Endpoint::Ipc(IpcPath::Abstract(name)) => {
                let name = UnixAddress::from_abstract_name(name)?;
                let listener = UnixListener::bind_addr(&name)?;
                listener.set_nonblocking(true)?;
                let this = Self::new(listener.into(), None, false)?;
                Ok((this, endpoint.to_string()))
            }
            _ => Err(IoError::other("neither tcp:// nor ipc://")),
        }
    }

    fn new(socket: OwnedFd, path: Option<PathBuf>, tcp: bool) -> IoResult<Self> {
        listen(&socket, BACKLOG)?; // more than the standard library's backlog
        Ok(Self { socket, path, tcp })
    }

    /// The next connection, and where it comes from, if there is one.
    pub(super) fn accept(&self, stuck: Duration) -> Result<(OwnedFd, Option<String>)> {
        let socket = accept_with(&self.socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
        if !self.tcp {
            return Ok((socket, None));
        }
        sockopt::set_tcp_nodelay(&socket, true)?;
        let stuck = u32::try_from(stuck.as_millis()).map_err(|_| Errno::INVAL)?;
        sockopt::set_tcp_user_timeout(&socket, stuck)?;
        // For peers that know no pings.
        sockopt::set_socket_keepalive(&socket, true)?;
        sockopt::set_tcp_keepidle(&socket, KEEPALIVE)?;
        let from = getpeername(&socket)?.and_then(|it| SocketAddr::try_from(it).ok());
        Ok((socket, from.map(|it| it.to_string())))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Somebody may have removed it, or the folder: then there is nothing to do.
            let _ = fs::remove_file(path);
        }
    }
}

async fn address(host: &Host, port: u16) -> IoResult<SocketAddr> {
    match host {
        Host::Wildcard => Ok((Ipv4Addr::UNSPECIFIED, port).into()),
        Host::Ip(address) => Ok((*address, port).into()),
        Host::Name(name) => {
            let mut found = tokio::net::lookup_host((name.as_str(), port)).await?;
            found
                .next()
                .ok_or_else(|| IoError::other("the name has no address"))
        }
        _ => Err(IoError::other("no host")),
    }
}

/// Only a socket is in the way by mistake; anything else somebody wants to keep.
fn remove_left_over(path: &Path) -> IoResult<()> {
    use std::os::unix::fs::FileTypeExt;
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path),
        _ => Ok(()),
    }
}
