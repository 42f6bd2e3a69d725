//! Peers that mean harm or are broken, as raw bytes: the broker goes on serving others, and gives nobody another's answer.
//!
//! The wire format is ZMTP 3.1 (zeromq RFC 37), written here by hand so that it can be wrong on purpose.

#![allow(missing_docs, reason = "a test's name says what it is")]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use broker::{
    core::Limits,
    exchange::Manner,
    server::{Config, Server},
    zsock::{
        Dealer, DealerEvent,
        curve::{Guard, Keys, Pass},
    },
};
use bytes::Bytes;

/// No test waits longer for anything.
const LIMIT: Duration = Duration::from_secs(30);
/// Silent connections; the environment may ask for more.
const SILENT: usize = 300;

struct Broker {
    runtime: tokio::runtime::Runtime,
    server: Server,
    address: SocketAddr,
}

impl Broker {
    fn start() -> Self {
        Self::guarded(None)
    }

    fn guarded(guard: Option<Guard>) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let config = Config {
            front: vec!["tcp://127.0.0.1:0".to_owned()],
            back: Vec::new(),
            limits: Limits {
                max_body: 1024 * 1024,
                ..Limits::default()
            },
            manner: Manner::default(),
            drain: Duration::from_secs(1),
            logger: None,
            federation: None,
            data_dir: None,
            guard,
            logger_pass: None,
        };
        let server = runtime.block_on(Server::start(config)).expect("it starts");
        let address = server.front()[0]
            .trim_start_matches("tcp://")
            .parse()
            .expect("an address");
        Self {
            runtime,
            server,
            address,
        }
    }

    /// One request and its answer, through a worker of its own.
    fn assert_serves(&self) {
        let mut worker = Raw::peer(self.address, "DEALER", b"");
        worker.send(&[b"", b"READY"]);
        let mut client = Raw::peer(self.address, "DEALER", b"");
        client.send(&[b"", b"hello"]);
        let request = worker.receive();
        assert_eq!(request[3], b"hello");
        worker.send(&[b"", &request[1], b"", b"world"]);
        assert_eq!(client.receive(), [&b""[..], b"world"]);
    }
}

/// A connection that says what it is told to.
struct Raw(TcpStream);

impl Raw {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the broker listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream.set_write_timeout(Some(LIMIT)).expect("a limit");
        Self(stream)
    }

    /// Through the handshake, as a socket of this type with this identity.
    fn peer(address: SocketAddr, kind: &str, identity: &[u8]) -> Self {
        let mut raw = Self::connect(address);
        raw.handshake(kind, identity);
        raw.frame(); // the broker's READY
        raw
    }

    fn handshake(&mut self, kind: &str, identity: &[u8]) {
        let mut greeting = [0; 64];
        greeting[0] = 0xff;
        greeting[9] = 0x7f;
        greeting[10] = 3;
        greeting[12..16].copy_from_slice(b"NULL");
        self.write(&greeting);
        self.read(64);
        let mut ready = b"\x05READY".to_vec();
        for (name, value) in [("Socket-Type", kind.as_bytes()), ("Identity", identity)] {
            ready.push(u8::try_from(name.len()).expect("short"));
            ready.extend(name.as_bytes());
            ready.extend(u32::try_from(value.len()).expect("short").to_be_bytes());
            ready.extend(value);
        }
        self.write(&[4, u8::try_from(ready.len()).expect("short")]);
        self.write(&ready);
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the broker reads");
    }

    fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).expect("the broker writes");
        bytes
    }

    fn send(&mut self, frames: &[&[u8]]) {
        self.write(&message(frames));
    }

    /// Flags and body of one frame.
    fn frame(&mut self) -> (u8, Vec<u8>) {
        let flags = self.read(1)[0];
        let length = if flags & 2 == 0 {
            usize::from(self.read(1)[0])
        } else {
            let bytes = self.read(8).try_into().expect("eight");
            usize::try_from(u64::from_be_bytes(bytes)).expect("it fits")
        };
        (flags, self.read(length))
    }

    /// The next message; commands such as PING are passed over.
    fn receive(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        loop {
            let (flags, body) = self.frame();
            if flags & 4 != 0 {
                continue;
            }
            frames.push(body);
            if flags & 1 == 0 {
                return frames;
            }
        }
    }

    /// Waits until the broker has hung up.
    fn assert_dropped(mut self) {
        let mut bytes = [0; 1024];
        loop {
            match self.0.read(&mut bytes) {
                Ok(0) => return,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
                Err(error) => panic!("still connected: {error}"),
                Ok(_) => {}
            }
        }
    }
}

fn message(frames: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, frame) in frames.iter().enumerate() {
        let more = u8::from(at + 1 < frames.len());
        match u8::try_from(frame.len()) {
            Ok(short) => bytes.extend([more, short]),
            Err(_) => {
                bytes.push(more | 2);
                bytes.extend((frame.len() as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(frame);
    }
    bytes
}

#[test]
fn frames_that_announce_more_than_there_can_be() {
    let broker = Broker::start();
    for bits in [33, 40, 46, 62, 63] {
        let mut raw = Raw::peer(broker.address, "DEALER", b"");
        raw.write(&[2]);
        raw.write(&(1_u64 << bits).to_be_bytes());
        raw.assert_dropped();
    }
    // Before the handshake as well.
    let mut raw = Raw::connect(broker.address);
    raw.write(&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0]);
    raw.write(&[0; 52]);
    drop(raw);
    broker.assert_serves();
}

#[test]
fn garbage_and_wrong_socket_types() {
    let broker = Broker::start();
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 200],
        &[0; 200],
        b"\x16\x03\x01\x02\x00\x01",
    ] {
        let mut raw = Raw::connect(broker.address);
        // It may hang up in the middle of it.
        let _ = raw.0.write_all(bytes);
    }
    for kind in ["SUB", "PUSH", "XPUB", "NONSENSE", ""] {
        let mut raw = Raw::connect(broker.address);
        raw.handshake(kind, b"");
    }
    // A command that nobody knows, and a broken one.
    let mut raw = Raw::peer(broker.address, "DEALER", b"");
    raw.write(b"\x04\x04\x03XYZ");
    let _ = raw.0.write_all(b"\x04\x02\xffX");
    broker.assert_serves();
}

#[test]
fn silent_connections_keep_nobody_out() {
    let broker = Broker::start();
    let count = std::env::var("TURNO_SILENT")
        .ok()
        .and_then(|it| it.parse().ok())
        .unwrap_or(SILENT);
    let silent: Vec<_> = (0..count).map(|_| Raw::connect(broker.address)).collect();
    broker.assert_serves();
    drop(silent);
    broker.assert_serves();
}

#[test]
fn a_client_that_never_reads_stops_nobody() {
    let broker = Broker::start();
    let mut worker = Raw::peer(broker.address, "DEALER", b"");
    worker.send(&[b"", b"READY"]);
    let mut stuck = Raw::peer(broker.address, "DEALER", b"");
    let body = vec![7; 200_000];
    let mut other = Raw::peer(broker.address, "DEALER", b"");
    for _ in 0..100 {
        stuck.send(&[b"", &body]);
        let request = worker.receive();
        worker.send(&[b"", &request[1], b"", &request[3]]);
    }
    other.send(&[b"", b"hello"]);
    let request = worker.receive();
    worker.send(&[b"", &request[1], b"", b"world"]);
    assert_eq!(other.receive()[1], b"world");
    // It goes with answers unread, which is a reset, while more are on their way to it.
    stuck.send(&[b"", &body]);
    let request = worker.receive();
    drop(stuck);
    worker.send(&[b"", &request[1], b"", &request[3]]);
    drop(worker);
    broker.assert_serves();
}

#[test]
fn a_worker_that_resets_with_a_request_in_hand() {
    let broker = Broker::start();
    let mut client = Raw::peer(broker.address, "DEALER", b"");
    client.send(&[b"", b"hello"]);
    for _ in 0..2 {
        let mut worker = Raw::peer(broker.address, "DEALER", b"");
        worker.send(&[b"", b"READY"]);
        // Unread, so this is a reset.
        let mut peeked = [0; 1];
        worker.0.peek(&mut peeked).expect("the request is there");
    }
    let mut worker = Raw::peer(broker.address, "DEALER", b"");
    worker.send(&[b"", b"READY"]);
    let request = worker.receive();
    worker.send(&[b"", &request[1], b"", b"world"]);
    assert_eq!(client.receive()[1], b"world");
}

#[test]
fn forged_frames_and_identities_get_nobody_anothers_answer() {
    let broker = Broker::start();
    let mut worker = Raw::peer(broker.address, "DEALER", b"w");
    worker.send(&[b"", b"READY"]);
    let mut victim = Raw::peer(broker.address, "DEALER", b"victim");
    victim.send(&[b"", b"secret"]);
    let request = worker.receive();

    // Answers to a delivery that is not the sender's, in every dialect.
    let mut forger = Raw::peer(broker.address, "DEALER", b"");
    let number =
        u64::from_str_radix(std::str::from_utf8(&request[1]).expect("digits"), 16).expect("digits");
    forger.send(&[b"ZWW1", &[4], &number.to_be_bytes(), b"forged"]);
    forger.send(&[b"", b"MDPW01", &[3], &request[1], b"", b"forged"]);
    forger.send(&[b"", b"READY"]);
    forger.send(&[b"", &request[1], b"", b"forged"]);
    // The victim's name: the connection that asked loses it, and the newcomer gets nothing.
    let mut thief = Raw::peer(broker.address, "DEALER", b"victim");
    thief.send(&[
        b"ZWC1",
        &[1],
        b"nobody",
        b"id",
        b"{\"timeout_ms\":1000,\"ack\":true}",
    ]);
    assert_eq!(thief.receive()[1], [5], "the broker knows the newcomer");
    worker.send(&[b"", &request[1], b"", b"for the victim only"]);
    let next = thief.receive();
    assert_eq!(
        (&next[0][..], &next[1][..]),
        (&b"ZWC1"[..], &[4][..]),
        "its own error, and nothing else"
    );

    let status = broker.server.status();
    let until = Instant::now() + LIMIT;
    while status.borrow().counters.strays < 2 {
        assert!(Instant::now() < until, "{:?}", status.borrow());
        std::thread::sleep(Duration::from_millis(5));
    }
    drop((worker, forger));
    broker.assert_serves();
    broker
        .runtime
        .block_on(broker.server.stop())
        .expect("a clean end");
}

/// A peer with a key of its own, connected.
struct Keyed(Dealer);

impl Keyed {
    async fn connect(address: SocketAddr, pass: &Pass) -> Self {
        let address = format!("tcp://{address}");
        let dealer = Dealer::connect_with(&address, 1024 * 1024, Some(pass)).await;
        let mut keyed = Self(dealer.expect("an address"));
        assert!(matches!(keyed.event().await, DealerEvent::Up));
        keyed
    }

    async fn event(&mut self) -> DealerEvent {
        let event = tokio::time::timeout(LIMIT, self.0.event()).await;
        event.expect("in time").expect("an event")
    }

    fn send(&self, frames: &[&[u8]]) {
        let frames = frames.iter().map(|it| Bytes::copy_from_slice(it));
        self.0.try_send(frames.collect()).expect("it is connected");
    }

    /// The next message that is no heartbeat.
    async fn receive(&mut self) -> Vec<Bytes> {
        loop {
            match self.event().await {
                DealerEvent::Message(frames) if frames[..2] != [&b"ZWW1"[..], &[6]] => {
                    return frames;
                }
                DealerEvent::Message(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// A request with this id; or it is cancelled.
    fn ask(&self, id: &[u8], body: &[u8]) {
        self.send(&[b"ZWC1", &[1], b"vault", id, b"", body]);
    }

    fn cancel(&self, id: &[u8]) {
        self.send(&[b"ZWC1", &[6], id]);
    }
}

#[test]
fn who_knows_or_guesses_anothers_request_id_gets_nothing_of_it() {
    let ours = Keys::generate();
    let server = ours.public();
    let broker = Broker::guarded(Some(Guard::new(ours, |_| true)));
    let address = broker.address;
    broker.runtime.block_on(async {
        let pass = || Pass::new(Keys::generate(), server);
        let (alice, mallory) = (pass(), pass());
        let mut worker = Keyed::connect(address, &pass()).await;
        worker.send(&[b"ZWW1", &[1], &[4], b"vault"]);
        assert_eq!(worker.receive().await[1], [0x0a][..], "WELCOME");
        let mut client = Keyed::connect(address, &alice).await;
        let mut thief = Keyed::connect(address, &mallory).await;

        // While it is with a worker: neither joined nor cancelled, nor told that the id is in use.
        client.ask(b"id", b"open");
        let first = worker.receive().await;
        thief.cancel(b"id");
        thief.ask(b"id", b"open");
        let second = worker.receive().await;
        assert_ne!(first[2], second[2], "a delivery of its own");
        worker.send(&[b"ZWW1", &[4], &first[2], b"for alice"]);
        assert_eq!(client.receive().await[5], "for alice");
        worker.send(&[b"ZWW1", &[4], &second[2], b"for mallory"]);
        assert_eq!(thief.receive().await[5], "for mallory");

        // And when its answer is kept: who comes with another key is a stranger.
        let mut other = Keyed::connect(address, &pass()).await;
        other.ask(b"id", b"open");
        let third = worker.receive().await;
        worker.send(&[b"ZWW1", &[4], &third[2], b"for the other"]);
        assert_eq!(other.receive().await[5], "for the other");
        // Its own client comes back for it by another connection.
        let mut again = Keyed::connect(address, &alice).await;
        again.ask(b"id", b"open");
        assert_eq!(again.receive().await[5], "for alice");
    });
    broker
        .runtime
        .block_on(broker.server.stop())
        .expect("a clean end");
}
