//! The server over real sockets: both protocols on one port, limits, and the end.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::fixture::Fixture;
use super::show::Question;
use super::{Moment, REQUEST_MAX, Server, Transport, respond};

/// Longer than any of these tests takes.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    address: std::net::SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

async fn start() -> Running {
    let address = ([127, 0, 0, 1], 0).into();
    let server = Server::bind(address).await.expect("a free port");
    let (address, shutdown) = (server.local_addr(), CancellationToken::new());
    let fixture = Fixture::new();
    let answer = move |packet: &[u8], transport: Transport| {
        respond(packet, &fixture, transport, &mut Moment::now())
    };
    let until = shutdown.clone();
    let task = tokio::spawn(async move { server.run(answer, until).await });
    Running {
        address,
        shutdown,
        task,
    }
}

async fn over_udp(running: &Running, packet: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    socket
        .send_to(packet, running.address)
        .await
        .expect("it is sent");
    let mut answer = vec![0; 65_536];
    let received = timeout(PATIENCE, socket.recv(&mut answer)).await;
    answer.truncate(received.expect("it comes").expect("an answer"));
    answer
}

async fn say(stream: &mut TcpStream, packet: &[u8]) {
    let length = u16::try_from(packet.len()).expect("it is short");
    stream.write_u16(length).await.expect("it is sent");
    stream.write_all(packet).await.expect("it is sent");
}

async fn hear(stream: &mut TcpStream) -> Vec<u8> {
    let heard = async {
        let length = stream.read_u16().await.expect("an answer");
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await.expect("all of it");
        answer
    };
    timeout(PATIENCE, heard).await.expect("it comes")
}

#[tokio::test]
async fn both_protocols_answer_on_one_port_until_the_end() {
    let running = start().await;
    let question = Question::read("many.service.consul A");
    let answer = question.show(&over_udp(&running, &question.packet()).await);
    assert!(answer.contains("3 × A"), "{answer}");

    // Two questions at once on a stream, then one more.
    let mut stream = TcpStream::connect(running.address)
        .await
        .expect("it listens");
    for count in [2, 1] {
        for _ in 0..count {
            say(&mut stream, &question.packet()).await;
        }
        for _ in 0..count {
            let answer = question.show(&hear(&mut stream).await);
            assert!(answer.contains("10 × A"), "{answer}");
        }
    }

    running.shutdown.cancel();
    timeout(PATIENCE, running.task)
        .await
        .expect("it ends")
        .expect("without a panic");
    let closed = timeout(PATIENCE, stream.read_u16())
        .await
        .expect("it is closed");
    assert!(closed.is_err());
}

#[tokio::test]
async fn a_client_that_misbehaves_disturbs_nobody_else() {
    let running = start().await;
    let mut long = TcpStream::connect(running.address)
        .await
        .expect("it listens");
    let length = u16::try_from(REQUEST_MAX + 1).expect("it is short");
    long.write_u16(length).await.expect("it is sent");
    let closed = timeout(PATIENCE, long.read_u16())
        .await
        .expect("it is closed");
    assert!(closed.is_err(), "a message that is too long");

    let mut half = TcpStream::connect(running.address)
        .await
        .expect("it listens");
    half.write_all(&[0, 40, 1, 2]).await.expect("it is sent");
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    for packet in [&[][..], &[1], &[0xff; REQUEST_MAX + 1]] {
        socket
            .send_to(packet, running.address)
            .await
            .expect("it is sent");
    }
    let question = Question::read("six.service.consul AAAA");
    let answer = question.show(&over_udp(&running, &question.packet()).await);
    assert!(answer.contains("2001:db8::1"), "{answer}");
    drop(half);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let running = start().await;
    let refused = Server::bind(running.address)
        .await
        .expect_err("it is taken");
    let text = refused.to_string();
    assert!(text.contains(&running.address.to_string()), "{text}");
}
