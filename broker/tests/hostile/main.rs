//! Peers that mean harm or are broken, as raw bytes: the broker goes on serving others, and gives nobody another's answer.
//!
//! The wire format is ZMTP 3.1 (zeromq RFC 37), written here by hand so that it can be wrong on purpose.

#![allow(missing_docs, reason = "a test's name says what it is")]

mod keys;
mod raw;
mod unread;

use std::{
    io::Write,
    net::SocketAddr,
    time::{Duration, Instant},
};

use broker::{
    core::Limits,
    exchange::Manner,
    server::{Config, Server},
    zsock::curve::Guard,
};

use self::raw::Raw;

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
