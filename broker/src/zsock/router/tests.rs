//! Connections that leave more than is read at once, or nothing but their end: nobody says so twice.

use std::{
    io::Write,
    net::{Shutdown, TcpStream},
    thread,
    time::Duration,
};

use bytes::BufMut;

use super::{
    connection::tests::{GREETING, READY},
    *,
};

const LIMIT: Duration = Duration::from_secs(30);
/// More than is read at once, so that the rest is read to where it stays.
const LARGE: usize = 3 * SCRATCH;

fn message(length: usize) -> Vec<u8> {
    let mut bytes = vec![2];
    bytes.put_u64(length as u64);
    bytes.resize(9 + length, b'x');
    bytes
}

async fn next(router: &mut Router) -> RouterEvent {
    let event = tokio::time::timeout(LIMIT, router.event()).await;
    event.expect("in time").expect("it lives")
}

/// Bytes of the messages that come before the end of a connection.
async fn told(router: &mut Router) -> Vec<usize> {
    let mut lengths = Vec::new();
    loop {
        match next(router).await {
            RouterEvent::Message(_, frames) => lengths.push(frames[0].len()),
            RouterEvent::Down(_) => return lengths,
            event => panic!("not expected: {event:?}"),
        }
    }
}

#[tokio::test]
async fn whatever_is_left_at_a_socket_is_told_though_nothing_more_happens_there() {
    let addresses = ["tcp://127.0.0.1:0".to_owned()];
    let router = Router::bind(&addresses, 2 * LARGE).await;
    let mut router = router.expect("a free port");
    let address = router.bound()[0].replace("tcp://", "");
    let small = vec![5; SCRATCH / 14 * 3]; // each takes 14 bytes
    for lengths in [
        vec![5],
        small,
        vec![LARGE],
        vec![LARGE, 5, LARGE + 1],
        vec![],
    ] {
        let mut peer = TcpStream::connect(&address).expect("it listens");
        let hello = [&GREETING[..], READY, &message(1)].concat();
        peer.write_all(&hello).expect("it stands");
        assert!(matches!(next(&mut router).await, RouterEvent::Message(..)));
        // From here on this connection is all there is: no newcomer has the others looked at.
        let all: Vec<u8> = lengths.iter().copied().flat_map(message).collect();
        let said = thread::spawn(move || {
            peer.write_all(&all).expect("it is read");
            peer.shutdown(Shutdown::Write).expect("it stands");
            peer // closed now, it could take back what is under way
        });
        assert!(told(&mut router).await == lengths);
        drop(said.join().expect("all was sent"));
    }
    assert_eq!(router.links(), 0);
}

#[tokio::test]
async fn more_connections_than_are_found_at_once_are_all_heard() {
    const PEERS: usize = 600;
    let addresses = ["tcp://127.0.0.1:0".to_owned()];
    let router = Router::bind(&addresses, LARGE).await;
    let mut router = router.expect("a free port");
    let address = router.bound()[0].replace("tcp://", "");
    let connect = |_| {
        let mut peer = TcpStream::connect(&address).expect("it listens");
        let hello = [&GREETING[..], READY, &message(1)].concat();
        peer.write_all(&hello).expect("room");
        peer
    };
    let mut peers: Vec<_> = (0..PEERS).map(connect).collect();
    for _ in 0..PEERS {
        assert!(matches!(next(&mut router).await, RouterEvent::Message(..)));
    }
    for peer in &mut peers {
        peer.write_all(&message(2)).expect("room");
        peer.shutdown(Shutdown::Write).expect("it stands");
    }
    let (mut messages, mut ends) = (0, 0);
    while ends < PEERS {
        match next(&mut router).await {
            RouterEvent::Message(_, frames) if frames[0].len() == 2 => messages += 1,
            RouterEvent::Down(_) => ends += 1,
            event => panic!("not expected: {event:?}"),
        }
    }
    assert_eq!(messages, PEERS);
}
