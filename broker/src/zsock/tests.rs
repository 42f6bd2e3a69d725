//! The seam between our own sockets; that it holds against libzmq is shown by the conformance tests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::timeout;

use super::{
    curve::{Guard, Keys, Pass, PublicKey},
    *,
};

/// No test waits longer for anything.
const LIMIT: Duration = Duration::from_secs(10);
const MAX_BODY: usize = 1024 * 1024;

async fn router() -> Router {
    let addresses = ["tcp://127.0.0.1:0".to_owned()];
    Router::bind(&addresses, MAX_BODY)
        .await
        .expect("a free port")
}

async fn dealer(router: &Router) -> Dealer {
    Dealer::connect(&router.bound()[0], MAX_BODY)
        .await
        .expect("an address")
}

async fn next(router: &mut Router) -> RouterEvent {
    let event = timeout(LIMIT, router.event()).await.expect("in time");
    event.expect("the socket lives")
}

/// What happens next at the dealer, while the router has nothing to tell.
async fn next_of(dealer: &mut Dealer, router: &mut Router) -> DealerEvent {
    let event = timeout(LIMIT, while_serving(router, dealer.event())).await;
    event.expect("in time").expect("the socket lives")
}

/// A ROUTER does nothing unless it is asked what happens.
async fn while_serving<T>(router: &mut Router, other: impl Future<Output = T>) -> T {
    tokio::select! {
        done = other => done,
        event = router.event() => panic!("the router has something to tell: {event:?}"),
    }
}

fn one(text: &'static str) -> Frames {
    vec![Bytes::from_static(text.as_bytes())]
}

#[tokio::test]
async fn a_message_there_and_back_and_the_end_of_a_connection() {
    let mut router = router().await;
    let mut dealer = dealer(&router).await;
    assert_eq!(dealer.try_send(one("early")), Err(SendError::Gone));
    assert_eq!(next_of(&mut dealer, &mut router).await, DealerEvent::Up);
    dealer
        .try_send(vec![Bytes::new(), Bytes::from_static(b"hello")])
        .expect("room");
    let RouterEvent::Message(link, frames) = next(&mut router).await else {
        panic!("a message comes first")
    };
    assert_eq!(frames, [Bytes::new(), Bytes::from_static(b"hello")]);
    router.try_send(link, one("world")).expect("room");
    assert_eq!(
        next_of(&mut dealer, &mut router).await,
        DealerEvent::Message(one("world"))
    );

    // Everything it sent comes before the news of its end.
    for _ in 0..200 {
        dealer.try_send(one("x")).expect("room");
    }
    let told = async {
        let mut told = Vec::new();
        for _ in 0..200 {
            told.push(next(&mut router).await);
        }
        told
    };
    let (told, ()) = tokio::join!(told, dealer.close());
    assert_eq!(told, vec![RouterEvent::Message(link, one("x")); 200]);
    assert_eq!(next(&mut router).await, RouterEvent::Down(link));
    assert_eq!(router.try_send(link, one("late")), Err(SendError::Gone));
    assert_eq!(router.links(), 0);
}

#[tokio::test]
async fn a_dealer_comes_back_to_a_router_that_was_restarted() {
    let mut first = router().await;
    let address = first.bound()[0].clone();
    let mut dealer = dealer(&first).await;
    assert_eq!(next_of(&mut dealer, &mut first).await, DealerEvent::Up);
    dealer.try_send(one("1")).expect("room");
    assert!(matches!(next(&mut first).await, RouterEvent::Message(..)));
    first.close().await;
    let down = timeout(LIMIT, dealer.event()).await.expect("in time");
    assert_eq!(down.expect("the socket lives"), DealerEvent::Down);

    let mut second = Router::bind(&[address], MAX_BODY)
        .await
        .expect("the port is free again");
    assert_eq!(next_of(&mut dealer, &mut second).await, DealerEvent::Up);
    dealer.try_send(one("2")).expect("room");
    assert!(
        matches!(next(&mut second).await, RouterEvent::Message(_, frames) if frames == one("2"))
    );
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_full_at_some_time() {
    let mut router = router().await;
    let mut dealer = dealer(&router).await;
    assert_eq!(next_of(&mut dealer, &mut router).await, DealerEvent::Up);
    dealer.try_send(one("hello")).expect("room");
    let RouterEvent::Message(link, _) = next(&mut router).await else {
        panic!("a message comes first")
    };
    let large = Bytes::from(vec![0; 100_000]);
    let mut sent = 0;
    // In the same thread as the dealer's receiving end, so let it run from time to time.
    let full = loop {
        match router.try_send(link, vec![large.clone()]) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 20_000, "there is a limit");
        if sent % 100 == 0 {
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(full, SendError::Full);
}

#[tokio::test]
async fn a_logger_gets_what_was_pushed_before_it_was_there() {
    let probe = Pull::bind("tcp://127.0.0.1:0", MAX_BODY)
        .await
        .expect("a free port");
    let address = probe.bound().to_owned();
    probe.close().await;
    let mut push = Push::connect(&address, MAX_BODY).await.expect("an address");
    push.try_send(one("early")).expect("some are kept");
    let pull = Pull::bind(&address, MAX_BODY)
        .await
        .expect("the port is free again");
    let line = timeout(LIMIT, pull.receive()).await.expect("in time");
    assert_eq!(line.expect("the socket lives"), one("early"));
    push.close().await;
}

#[tokio::test]
async fn addresses_that_make_no_sense_are_refused() {
    for address in [
        "",
        "127.0.0.1:1",
        "inproc://x",
        "tcp://",
        "tcp://h:x",
        "udp://127.0.0.1:1",
    ] {
        assert!(check_address(address).is_err(), "{address:?}");
        let bound = Router::bind(&[address.to_owned()], MAX_BODY).await;
        assert!(matches!(bound, Err(Error::Address { .. })), "{address:?}");
    }
    let router = router().await;
    let again = Router::bind(router.bound(), MAX_BODY).await;
    assert!(matches!(again, Err(Error::Bind { .. })));
}

/// A DEALER of another library's user: it may say whatever it likes about itself.
async fn stranger(address: &str, pass: &Pass, identity: &'static str) -> omq_tokio::Socket {
    let options = Pass::apply(Some(pass), options(MAX_BODY)).identity(identity);
    let socket =
        omq_tokio::Socket::try_new(omq_tokio::SocketType::Dealer, options).expect("a socket");
    let target = endpoint(address).expect("an address");
    socket.connect(target).await.expect("it tries");
    socket
}

/// The first message of somebody with a key: whose it is, is told before.
async fn first_word(router: &mut Router) -> (Link, PublicKey, Frames) {
    let RouterEvent::Authenticated(link, key) = next(router).await else {
        panic!("a key");
    };
    match next(router).await {
        RouterEvent::Message(from, frames) => {
            assert_eq!(from, link);
            (link, key, frames)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn only_allowed_keys_get_in_and_nobody_takes_an_identity_over() {
    let (ours, friend, other, enemy) = (
        Keys::generate(),
        Keys::generate(),
        Keys::generate(),
        Keys::generate(),
    );
    let server = ours.public();
    let allowed = [friend.public(), other.public()];
    let guard = Guard::new(ours, move |key| allowed.contains(&key));
    let addresses = ["tcp://127.0.0.1:0".to_owned()];
    let mut router = Router::bind_with(&addresses, MAX_BODY, Some(&guard))
        .await
        .expect("free");
    let address = router.bound()[0].clone();
    // With the wrong key, and without any: nothing comes of it.
    let enemy = stranger(&address, &Pass::new(enemy, server), "e").await;
    let plain = omq_tokio::Socket::new(omq_tokio::SocketType::Dealer, options(MAX_BODY));
    plain
        .connect(endpoint(&address).expect("one"))
        .await
        .expect("it tries");
    for socket in [&enemy, &plain] {
        // It waits for a connection, if it does not fail at once.
        let _ = socket.try_send(Message::single("let me in"));
    }
    let mine = stranger(&address, &Pass::new(friend.clone(), server), "w1").await;
    let (sent, (link, key, frames)) =
        tokio::join!(mine.send(Message::single("first")), first_word(&mut router));
    sent.expect("it is sent");
    assert_eq!(
        (key, &frames[..]),
        (friend.public(), &[Bytes::from("first")][..])
    );
    // Another allowed key claims the identity, and a third one comes with a name of its own.
    let thief = stranger(&address, &Pass::new(other.clone(), server), "w1").await;
    let _ = thief.try_send(Message::single("I am w1"));
    let theirs = other.public();
    let third = stranger(&address, &Pass::new(other, server), "w2").await;
    let (sent, (_, key, frames)) = tokio::join!(
        third.send(Message::single("third")),
        first_word(&mut router)
    );
    sent.expect("it is sent");
    assert_eq!(key, theirs);
    assert_eq!(frames, ["third"], "nothing of the others");
    router
        .try_send(link, vec!["yours".into()])
        .expect("it is there");
    let got = timeout(LIMIT, while_serving(&mut router, mine.recv())).await;
    let got = got.expect("in time").expect("a message");
    assert_eq!(frames_of(&got), ["yours"]);
    // With its own key it may come back.
    drop(mine);
    let again = stranger(&address, &Pass::new(friend, server), "w1").await;
    let frames = async {
        loop {
            match next(&mut router).await {
                RouterEvent::Authenticated(..) => {}
                RouterEvent::Down(down) => assert_eq!(down, link),
                RouterEvent::Message(_, frames) => break frames,
            }
        }
    };
    let (sent, frames) = tokio::join!(again.send(Message::single("again")), frames);
    sent.expect("it is sent");
    assert_eq!(frames, ["again"]);
}

#[tokio::test]
async fn who_was_refused_comes_in_when_the_list_has_it() {
    let (ours, theirs) = (Keys::generate(), Keys::generate());
    let pass = Pass::new(theirs.clone(), ours.public());
    let listed = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let guard = {
        let (listed, asked) = (Arc::clone(&listed), Arc::clone(&asked));
        Guard::new(ours, move |_| {
            asked.fetch_add(1, Ordering::Relaxed);
            listed.load(Ordering::Relaxed)
        })
    };
    let any = "tcp://127.0.0.1:0";
    let mut router = Router::bind_with(&[any.to_owned()], MAX_BODY, Some(&guard))
        .await
        .expect("free");
    let mut publisher = Pipe::publish_newest_with(any, MAX_BODY, 1, Some(&guard))
        .await
        .expect("free");
    let pull = Pull::bind_with(any, MAX_BODY, Some(&guard))
        .await
        .expect("free");
    let pass = Some(&pass);
    let mut dealer = Dealer::connect_with(&router.bound()[0], MAX_BODY, pass)
        .await
        .expect("an address");
    let mut ear = Pipe::subscribe_with(publisher.bound(), MAX_BODY, "", pass)
        .await
        .expect("an address");
    let mut push = Push::connect_with(pull.bound(), MAX_BODY, pass)
        .await
        .expect("an address");
    let up = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        let (mut dealer_up, mut ear_up) = (false, false);
        while !(dealer_up && ear_up) {
            tokio::select! {
                event = dealer.event() => dealer_up |= event.expect("it lives") == DealerEvent::Up,
                event = ear.event() => ear_up |= matches!(event.expect("it lives"), PipeEvent::Up(_)),
                event = router.event() => panic!("nobody says anything: {event:?}"),
                event = publisher.event() => drop(event.expect("the socket lives")),
                // Each has been refused more than once.
                _ = ticks.tick() => {
                    let _ = push.try_send(vec!["line".into()]);
                    listed.store(asked.load(Ordering::Relaxed) > 8, Ordering::Relaxed);
                }
            }
        }
    };
    timeout(LIMIT, up).await.expect("in time");
    let line = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        loop {
            tokio::select! {
                line = pull.receive() => return line.expect("the socket lives"),
                _ = ticks.tick() => drop(push.try_send(vec!["line".into()])),
            }
        }
    };
    assert_eq!(timeout(LIMIT, line).await.expect("in time"), ["line"]);
}
