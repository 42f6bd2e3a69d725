//! Many connections at once, and connections that leave more than is read at once: nobody says so twice.

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

/// More than are found at once.
const PEERS: usize = 600;
/// Of some peers: together more than is read at once, and more than is read in place.
const LARGE: usize = 200_000;
const LIMIT: Duration = Duration::from_secs(30);

fn message(number: usize) -> Vec<u8> {
    let length = if number % 100 == 0 { LARGE } else { 5 };
    let mut bytes = vec![2];
    bytes.put_u64(length as u64);
    bytes.resize(9 + length, b'x');
    bytes
}

#[tokio::test]
async fn whatever_is_left_at_a_socket_is_told_though_nothing_more_happens_there() {
    let addresses = ["tcp://127.0.0.1:0".to_owned()];
    let router = Router::bind(&addresses, 2 * LARGE).await;
    let mut router = router.expect("a free port");
    let address = router.bound()[0].replace("tcp://", "");
    let peers = thread::spawn(move || {
        let connect = |number| {
            let mut peer = TcpStream::connect(&address).expect("it listens");
            let (once, twice) = (message(number), message(number));
            let all = [&GREETING[..], READY, &once, &twice].concat();
            peer.write_all(&all).expect("it reads");
            peer.shutdown(Shutdown::Write).expect("it stands");
            peer // closed now, it could take back what is under way
        };
        (0..PEERS).map(connect).collect::<Vec<_>>()
    });
    let (mut messages, mut bytes, mut ends) = (0, 0, 0);
    while ends < PEERS {
        let event = tokio::time::timeout(LIMIT, router.event()).await;
        match event.expect("in time").expect("it lives") {
            RouterEvent::Message(_, frames) => {
                messages += 1;
                bytes += frames[0].len();
            }
            RouterEvent::Down(_) => ends += 1,
            event => panic!("not expected: {event:?}"),
        }
    }
    drop(peers.join().expect("all was sent"));
    let large = PEERS.div_ceil(100);
    assert_eq!(messages, 2 * PEERS);
    assert_eq!(bytes, 2 * (large * LARGE + (PEERS - large) * 5));
    assert_eq!(router.links(), 0);
}
