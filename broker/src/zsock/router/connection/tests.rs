//! One connection at one end of a pair of sockets; at the other end are bytes. No time passes but what a test says.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

use omq_proto::MechanismSetup;

use super::*;

const MAX: usize = 100_000;
/// Signature, version 3.1, NULL, no server.
pub(in super::super) const GREETING: [u8; 64] = {
    let mut greeting = [0; 64];
    (greeting[0], greeting[9], greeting[10], greeting[11]) = (0xFF, 0x7F, 3, 1);
    (greeting[12], greeting[13], greeting[14], greeting[15]) = (b'N', b'U', b'L', b'L');
    greeting
};
pub(in super::super) const READY: &[u8] = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03REQ";
const HELLO: &[u8] = b"\x01\0\0\x05hello";

struct Pair {
    ours: Connection,
    theirs: UnixStream,
    now: Instant,
    ready: bool,
    messages: Vec<Frames>,
}

fn pair() -> Pair {
    pair_of(SocketType::Router)
}

fn pair_of(kind: SocketType) -> Pair {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    ours.set_nonblocking(true).expect("a socket");
    theirs.set_nonblocking(true).expect("a socket");
    let now = Instant::now();
    let setup = Setup {
        kind,
        max: MAX,
        mechanism: MechanismSetup::Null,
    };
    Pair {
        ours: Connection::accepted(ours.into(), None, setup, now),
        theirs,
        now,
        ready: false,
        messages: Vec::new(),
    }
}

impl Pair {
    fn greeted() -> Self {
        Self::greeted_by(pair(), READY)
    }

    fn greeted_by(mut this: Self, ready: &[u8]) -> Self {
        this.says(&GREETING).expect("a greeting");
        this.says(ready).expect("it is ready");
        assert!(this.ready);
        this.hears();
        this
    }

    fn says(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        self.theirs.write_all(bytes).expect("room");
        let (ready, messages) = (&mut self.ready, &mut self.messages);
        let mut scratch = [0; 1000];
        for _ in 0..bytes.len().div_ceil(scratch.len()) + 1 {
            self.ours
                .read(&mut scratch, self.now, &mut |heard| match heard {
                    Heard::Ready(_) => *ready = true,
                    Heard::Message(frames) => messages.push(frames),
                })?;
        }
        Ok(())
    }

    fn hears(&mut self) -> Vec<u8> {
        self.ours.flush(self.now).expect("it stands");
        let mut bytes = vec![0; 1000];
        let count = self.theirs.read(&mut bytes).unwrap_or(0); // 0: it would wait
        bytes.truncate(count);
        bytes
    }

    fn after(&mut self, millis: u64) -> Result<bool, Ended> {
        self.ours.tick(self.now + Duration::from_millis(millis))
    }
}

#[test]
fn a_handshake_comes_byte_by_byte_and_a_message_right_behind_it() {
    let all = [&GREETING[..], READY, HELLO].concat();
    for piece in [1, 2, 63, 64, 65, 90, 1000] {
        let mut pair = pair();
        for bytes in all.chunks(piece) {
            pair.says(bytes).expect("all is well");
        }
        let want: [Frames; 1] = [vec![Bytes::new(), "hello".into()]];
        assert_eq!(pair.messages, want, "{piece} bytes at once");
        let heard = pair.hears();
        assert_eq!(
            heard.get(..12),
            Some(&b"\xff\0\0\0\0\0\0\0\0\x7f\x03\x01"[..])
        );
        let ready = heard.windows(6).filter(|it| it == b"ROUTER").count();
        assert_eq!(ready, 1, "it said who it is, once");
    }
}

#[test]
fn a_peer_that_cannot_be_one_is_refused() {
    let mut publisher = READY.to_vec();
    let end = publisher.len() - 3;
    publisher[end..].copy_from_slice(b"PUB");
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: a\r\nAccept: everything that there is on earth\r\n\r\n"[..],
        &[0; 64],
    ] {
        assert!(pair().says(bytes).is_err(), "{bytes:?}");
    }
    for bytes in [
        &publisher[..],
        HELLO,                       // no handshake
        b"\x06\0\0\0\0\0\x01\0\0\0", // a command of 16 MiB
    ] {
        let mut pair = pair();
        pair.says(&GREETING).expect("a greeting");
        assert!(pair.says(bytes).is_err(), "{bytes:?}");
        assert!(!pair.ready);
    }
}

#[test]
fn a_ping_gets_what_it_carries_back() {
    let mut pair = Pair::greeted();
    pair.says(b"\x04\x09\x04PING\0\x0aab").expect("a ping");
    assert_eq!(pair.hears(), b"\x04\x07\x04PONGab");
    assert!(pair.after(900).is_ok());
    // It wanted to be given up after a second.
    assert!(matches!(pair.after(1000), Err(Ended::Silent)));
    pair.says(HELLO).expect("a message");
    assert!(pair.after(1000).is_ok(), "it has said something");
}

#[test]
fn who_is_silent_is_pinged_and_then_given_up() {
    let mut pair = Pair::greeted();
    assert!(matches!(pair.after(1999), Ok(false)));
    assert!(matches!(pair.after(2000), Ok(true)));
    assert_eq!(pair.hears(), b"\x04\x07\x04PING\0\x3c");
    assert!(matches!(pair.after(2500), Ok(false)), "once");
    assert!(matches!(pair.after(4000), Ok(true)));
    assert!(matches!(pair.after(6000), Err(Ended::Silent)));
    // One of ZMTP 3.0 knows no pings.
    let mut older = self::pair();
    let mut greeting = GREETING;
    greeting[11] = 0;
    older.says(&greeting).expect("a greeting");
    older.says(READY).expect("it is ready");
    assert!(matches!(older.after(60_000), Ok(false)));
}

#[test]
fn who_does_not_finish_the_handshake_is_late_however_much_it_says() {
    let mut pair = pair();
    pair.says(&GREETING[..40]).expect("a beginning");
    assert!(matches!(pair.after(1999), Ok(false)));
    pair.now += Duration::from_millis(1900);
    pair.says(&GREETING[40..60]).expect("more of it");
    assert!(matches!(pair.after(100), Err(Ended::Late)));
}

#[test]
fn who_does_not_read_is_full_then_stuck() {
    let mut pair = Pair::greeted();
    let large = Bytes::from(vec![7; 1_000_000]);
    let mut sent = 0;
    while pair.ours.send(vec![large.clone()]).is_ok() {
        assert!(
            matches!(pair.ours.flush(pair.now), Ok(true)),
            "nobody reads"
        );
        sent += 1;
        assert!(sent < 100, "there is a limit");
    }
    assert_eq!(pair.ours.send(vec!["more".into()]), Err(SendError::Full));
    // It lives, and reads nothing.
    pair.now += Duration::from_secs(29);
    pair.says(HELLO).expect("a message");
    assert!(pair.after(0).is_ok());
    assert!(matches!(pair.after(1000), Err(Ended::Stuck)));
    // What it reads after all is in order.
    let mut all = Vec::new();
    let mut buffer = vec![0; 1_000_000];
    while let Ok(count @ 1..) = pair.theirs.read(&mut buffer) {
        all.extend_from_slice(&buffer[..count]);
        pair.ours.flush(pair.now).expect("it stands");
    }
    assert_eq!(all.len(), sent * (9 + large.len()));
    assert!(
        all.chunks(9 + large.len())
            .all(|it| it[0] == 2 && it[9..].iter().all(|&it| it == 7))
    );
    assert!(pair.after(1000).is_ok(), "nothing waits any more");
}

#[test]
fn pings_without_end_whose_answers_nobody_reads_are_too_much() {
    let mut pair = Pair::greeted();
    let ping = b"\x04\x07\x04PING\0\0";
    let mut given_up = false;
    for _ in 0..100 {
        pair.ours.flush(pair.now).expect("it stands");
        given_up = matches!(pair.says(&ping.repeat(1000)), Err(Ended::Stuck));
        if given_up {
            break;
        }
    }
    assert!(given_up);
}

#[test]
fn subscriptions_are_messages_however_they_come_but_only_to_who_publishes() {
    const SUB: &[u8] = b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB";
    let wishes = [
        (&b"\x00\x03\x01ab"[..], &b"\x01ab"[..]),
        (b"\x04\x0c\x09SUBSCRIBEab", b"\x01ab"),
        (b"\x04\x0a\x09SUBSCRIBE", b"\x01"),
        (b"\x04\x09\x06CANCELab", b"\0ab"),
    ];
    let mut this = Pair::greeted_by(pair_of(SocketType::Pub), SUB);
    for (said, heard) in wishes {
        this.says(said).expect("it may");
        assert_eq!(this.messages.pop(), Some(vec![Bytes::from_static(heard)]));
    }
    this.says(b"\x04\x08\x07UNKNOWN").expect("it may");
    this.says(b"\x04\x06\x06CANCE").expect("it may");
    assert!(this.messages.is_empty());

    let mut router = Pair::greeted();
    router.says(wishes[1].0).expect("it may");
    assert!(router.messages.is_empty());
}
