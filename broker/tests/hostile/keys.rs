//! Peers with allowed keys that mean harm to each other.

use std::net::SocketAddr;

use broker::zsock::{
    Dealer, DealerEvent,
    curve::{Guard, Keys, Pass},
};
use bytes::Bytes;

use super::{Broker, LIMIT};

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
