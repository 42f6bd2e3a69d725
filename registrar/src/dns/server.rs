//! The sockets: one for datagrams, one for streams, on the same port.
//!
//! Knows nothing of names: bytes go in, bytes come out of a function it is given. Every wait and every number has a
//! limit, because anybody who reaches the port may send anything.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use daemon::backoff::Backoff;
use daemon::net::ListenError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Transport;

/// Most connections at once; others wait in the kernel's queue. Resolvers use TCP only for what does not fit a datagram.
pub const TCP_CONNECTIONS: usize = 256;
/// Longest message that is read. A question has some 300 bytes; this leaves room for what extends it.
pub const REQUEST_MAX: usize = 4096;
/// How long a connection may be idle, or take to say or hear one message (Consul waits as long as its library: 8 s).
pub const IDLE: Duration = Duration::from_secs(8);
/// How often a free port is tried that both protocols have free, before giving up.
const PORT_TRIES: usize = 16;
/// Pauses after an error of a socket, so that a lasting one does not take the processor.
pub(super) const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Why DNS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The stream socket.
    #[error("DNS over TCP: {0}")]
    Tcp(#[from] ListenError),
    /// The datagram socket.
    #[error(
        "DNS over UDP: cannot listen on {address}: {source}; stop what has the port, or choose another"
    )]
    Udp {
        /// Where we wanted to listen.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Sockets that are bound and wait to be served.
#[derive(Debug)]
pub struct Server {
    pub(super) udp: UdpSocket,
    pub(super) tcp: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Binds both sockets to `address`; port 0 takes one that is free for both.
    ///
    /// # Errors
    /// The address is taken, not this machine's, or not ours to bind.
    pub async fn bind(address: SocketAddr) -> Result<Server, DnsError> {
        let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
        loop {
            tries -= 1;
            let tcp = daemon::net::listen(address)?;
            let bound = tcp
                .local_addr()
                .map_err(|source| DnsError::Udp { address, source })?;
            match UdpSocket::bind(bound).await {
                Ok(udp) => {
                    let address = bound;
                    return Ok(Server { udp, tcp, address });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
                Err(source) => {
                    let address = bound;
                    return Err(DnsError::Udp { address, source });
                }
            }
        }
    }

    /// Where it listens, with the port it got.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`. `respond` turns a packet into its answer and must not wait; `None` means silence.
    pub async fn run<F>(&self, respond: F, shutdown: CancellationToken)
    where
        F: Fn(&[u8], Transport) -> Option<Vec<u8>> + Send + Sync + 'static,
    {
        info!(address = %self.address, "DNS listens");
        let respond = Arc::new(respond);
        let conversation = |stream| {
            let respond = Arc::clone(&respond);
            async move { converse(stream, &*respond).await }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = datagrams(&self.udp, &*respond) => {}
            () = streams(&self.tcp, conversation) => {}
        }
    }
}

async fn datagrams(socket: &UdpSocket, respond: &impl Fn(&[u8], Transport) -> Option<Vec<u8>>) {
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    // A byte more than is read, so that a longer message is seen to be one.
    let mut packet = [0; REQUEST_MAX + 1];
    loop {
        let (length, client) = match socket.recv_from(&mut packet).await {
            Ok(received) => received,
            Err(error) => {
                debug!(%error, "a datagram was not received");
                tokio::time::sleep(backoff.next_delay()).await;
                continue;
            }
        };
        backoff.reset();
        if length > REQUEST_MAX {
            continue;
        }
        if let Some(answer) = respond(&packet[..length], Transport::Udp)
            && let Err(error) = socket.send_to(&answer, client).await
        {
            debug!(%client, %error, "an answer was not sent");
        }
    }
}

/// Accepts connections, so many at once, and has each conversed with. They end when this is given up.
pub(super) async fn streams<F>(listener: &TcpListener, converse: impl Fn(TcpStream) -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(TCP_CONNECTIONS));
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    let mut connections = JoinSet::new();
    loop {
        // Never closed, so waiting cannot fail.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, client)) => {
                backoff.reset();
                let conversation = converse(stream);
                connections.spawn(async move {
                    if let Err(error) = conversation.await {
                        debug!(%client, %error, "a DNS connection ended");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "a DNS connection was not accepted");
                tokio::time::sleep(backoff.next_delay()).await;
            }
        }
    }
}

/// One question after another, each before a length of two bytes, until the client has no more.
async fn converse(
    mut stream: TcpStream,
    respond: &impl Fn(&[u8], Transport) -> Option<Vec<u8>>,
) -> io::Result<()> {
    let mut packet = Vec::new();
    loop {
        match timeout(IDLE, stream.read_u16()).await? {
            Ok(length) if usize::from(length) > REQUEST_MAX => {
                return Err(io::Error::other("a message is too long for a question"));
            }
            Ok(length) => packet.resize(usize::from(length), 0),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        timeout(IDLE, stream.read_exact(&mut packet)).await??;
        let Some(answer) = respond(&packet, Transport::Tcp) else {
            return Ok(());
        };
        let length = u16::try_from(answer.len())
            .map_err(|_| io::Error::other("an answer is too long for a stream"))?;
        let mut framed = Vec::with_capacity(answer.len() + 2);
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(&answer);
        timeout(IDLE, stream.write_all(&framed)).await??;
    }
}
