//! Passing questions on to another DNS server, over the protocol they came by. What it says goes back as it is; if it
//! says nothing, the answer is SERVFAIL. It does not read names.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use daemon::backoff::Backoff;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::server::{IDLE, PAUSES, REQUEST_MAX, Server, streams};

/// Most questions under way at once; more are dropped, and asked again by their resolvers.
const UNDER_WAY: usize = 1024;
/// How long the other server has: less than resolvers wait before they ask again (5 s).
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// Longest datagram that is passed back; what is longer comes over TCP.
const ANSWER_MAX: usize = 65_535;
/// Length of a message's head.
const HEAD: usize = 12;

/// Where questions go; `None` while nobody knows.
type To = watch::Receiver<Option<SocketAddr>>;

impl Server {
    /// Passes every question on until `shutdown`.
    pub async fn relay(self, to: To, shutdown: CancellationToken) {
        let Server { udp, tcp, .. } = self;
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = datagrams(Arc::new(udp), &to) => {}
            () = streams(&tcp, |stream| converse(stream, to.clone())) => {}
        }
    }
}

async fn datagrams(socket: Arc<UdpSocket>, to: &To) {
    let places = Arc::new(Semaphore::new(UNDER_WAY));
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    let mut under_way = JoinSet::new();
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
        while under_way.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        if !(HEAD..=REQUEST_MAX).contains(&length) {
            continue;
        }
        let (question, socket, to) = (packet[..length].to_vec(), Arc::clone(&socket), *to.borrow());
        under_way.spawn(async move {
            let asked = match to {
                Some(to) => timeout(ANSWER_LIMIT, ask(&question, to)).await,
                None => Ok(Err(io::ErrorKind::NotConnected.into())),
            };
            let answer = asked.ok().and_then(Result::ok);
            let answer = answer.unwrap_or_else(|| failure(question));
            if let Err(error) = socket.send_to(&answer, client).await {
                debug!(%client, %error, "an answer was not sent");
            }
            drop(place);
        });
    }
}

async fn ask(question: &[u8], to: SocketAddr) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await?;
    socket.send(question).await?;
    let mut answer = vec![0; ANSWER_MAX];
    loop {
        let length = socket.recv(&mut answer).await?;
        // The answer to something else is not ours.
        if length >= HEAD && answer[..2] == question[..2] {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

/// SERVFAIL to a question that has at least a head.
fn failure(mut question: Vec<u8>) -> Vec<u8> {
    const RESPONSE: u8 = 0x80;
    const SERVFAIL: u8 = 2;
    question[2] |= RESPONSE;
    question[3] = SERVFAIL;
    question
}

/// One question after another, each over a connection of its own to the other server.
async fn converse(mut client: TcpStream, to: To) -> io::Result<()> {
    loop {
        let length = match timeout(IDLE, client.read_u16()).await? {
            Ok(length) if (HEAD..=REQUEST_MAX).contains(&length.into()) => length,
            Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut question = vec![0; length.into()];
        timeout(IDLE, client.read_exact(&mut question)).await??;
        let place = *to.borrow();
        let asked = match place {
            Some(to) => timeout(ANSWER_LIMIT, ask_stream(&question, to)).await,
            None => Ok(Err(io::ErrorKind::NotConnected.into())),
        };
        let answer = asked.ok().and_then(Result::ok);
        let answer = answer.unwrap_or_else(|| failure(question));
        timeout(IDLE, client.write_all(&framed(&answer)?)).await??;
    }
}

async fn ask_stream(question: &[u8], to: SocketAddr) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(to).await?;
    server.write_all(&framed(question)?).await?;
    let mut answer = vec![0; server.read_u16().await?.into()];
    server.read_exact(&mut answer).await?;
    Ok(answer)
}

fn framed(message: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    Ok(framed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: [u8; 14] = [7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 5, 5];

    /// A relay in front of `to`, and its address.
    async fn relay(to: Option<SocketAddr>) -> (SocketAddr, watch::Sender<Option<SocketAddr>>) {
        let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into())
            .await
            .expect("a free port");
        let address = server.local_addr();
        let (known, to) = watch::channel(to);
        tokio::spawn(server.relay(to, CancellationToken::new()));
        (address, known)
    }

    async fn over_udp(to: SocketAddr) -> Vec<u8> {
        ask(&QUESTION, to).await.expect("an answer")
    }

    #[tokio::test]
    async fn questions_and_answers_are_passed_on_over_both_protocols() {
        let other = Server::bind((Ipv4Addr::LOCALHOST, 0).into())
            .await
            .expect("a free port");
        let place = other.local_addr();
        let echo = |packet: &[u8], _| Some([packet, b"answer"].concat());
        tokio::spawn(async move { other.run(echo, CancellationToken::new()).await });
        let (address, _known) = relay(Some(place)).await;
        assert!(over_udp(address).await.ends_with(b"answer"));
        let answer = ask_stream(&QUESTION, address).await.expect("an answer");
        assert!(answer.ends_with(b"answer"));
    }

    #[tokio::test]
    async fn while_nobody_answers_the_answer_is_servfail() {
        let (address, _known) = relay(None).await;
        for answer in [
            over_udp(address).await,
            ask_stream(&QUESTION, address).await.expect("an answer"),
        ] {
            assert_eq!(answer[..2], QUESTION[..2]);
            assert_eq!((answer[2] & 0x80, answer[3] & 0x0f), (0x80, 2));
        }
    }
}
