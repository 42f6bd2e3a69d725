//! What a client is told, and when.

use super::*;

#[test]
fn a_request_is_refused_with_the_reason() {
    let limits = || Limits {
        max_body: 10,
        queue_length: 2,
        requests_per_client: 3,
        requests: 5,
        ..Limits::default()
    };
    let long = "x".repeat(65);
    for (what, new, code) in [
        ("a name with a star", request(1, "a*", "x"), 400),
        ("no name", request(1, "", "x"), 400),
        (
            "an id that is too long",
            with_id(&long, request(1, "a", "x")),
            400,
        ),
        ("an empty id", with_id("", request(1, "a", "x")), 400),
        (
            "a body that is too large",
            request(1, "a", "12345678901"),
            413,
        ),
        (
            "too many frames",
            NewRequest {
                body: vec![Bytes::new(); 257],
                ..request(1, "a", "")
            },
            413,
        ),
    ] {
        let mut scene = Scene::with(limits());
        let out = scene.on(Input::Request(new));
        assert_eq!(out, [format!("client 1: error {code}")], "{what}");
        assert_eq!(scene.broker.census(), Default::default(), "{what}");
    }
    let mut scene = Scene::with(limits());
    for (client, service, code) in [
        (1, "a", None),
        (1, "a", None),
        (1, "a", Some(429)), // the queue is full
        (1, "b", None),
        (1, "b", Some(429)), // the client has three
        (2, "b", None),
        (2, "c", None),
        (2, "c", Some(429)), // the broker has five
    ] {
        let want: Vec<_> = code
            .iter()
            .map(|code| format!("client {client}: error {code}"))
            .collect();
        assert_eq!(scene.ask(client, service, "x"), want);
    }
}

#[test]
fn bytes_are_limited_but_one_request_always_fits() {
    let mut scene = Scene::with(Limits {
        queue_bytes: 1_000,
        bytes: 10_000,
        ..Limits::default()
    });
    let large = "x".repeat(2_000);
    assert!(scene.ask(1, "a", &large).is_empty(), "the queue is empty");
    assert_eq!(scene.ask(1, "a", "x"), ["client 1: error 429"]);
    assert!(scene.ask(1, "b", &large).is_empty());
    assert!(scene.ask(1, "c", &large).is_empty());
    assert!(scene.ask(1, "d", &large).is_empty());
    assert_eq!(scene.ask(1, "e", &large), ["client 1: error 429"]);
}

#[test]
fn nobody_serves_it() {
    let mut scene = Scene::new();
    scene.ask(1, "a", "x");
    let patient = NewRequest {
        patient: true,
        ..request(2, "a", "y")
    };
    scene.on(Input::Request(patient));
    assert!(scene.wait(Duration::from_millis(1_999)).is_empty());
    assert_eq!(
        scene.wait(Duration::from_millis(1)),
        ["client 1: error 404"]
    );
    assert_eq!(scene.wait(Duration::from_secs(28)), ["client 2: error 504"]);

    // One that came while there was a worker waits as long as its client does.
    scene.ready(11, &["a"], 1);
    scene.ask(1, "a", "x");
    scene.ask(1, "a", "y");
    scene.gone(11);
    assert_eq!(scene.wait(Duration::from_secs(30)).len(), 2);
}

#[test]
fn a_deadline_passes_in_the_queue_or_with_a_worker() {
    let mut scene = Scene::new();
    scene.ready(11, &["a"], 1);
    for body in ["x", "y"] {
        let new = NewRequest {
            timeout: Duration::from_millis(400),
            ..request(1, "a", body)
        };
        scene.on(Input::Request(new));
    }
    assert_eq!(
        scene.wait(Duration::from_millis(400)),
        ["client 1: error 504, maybe executed", "client 1: error 504"]
    );
    assert!(
        scene.ask(1, "a", "z").is_empty(),
        "the worker is still busy"
    );
    assert_eq!(
        scene.done(11, 100, "X"),
        ["worker 11: request 101 for a, try 1: z"]
    );
    assert_eq!(scene.broker.counters().late, 1);
}

#[test]
fn a_request_sent_twice_is_run_once() {
    let mut scene = Scene::new();
    scene.ready(11, &["a"], 1);
    let new = |client| Input::Request(with_id("id", request(client, "a", "x")));
    assert_eq!(scene.on(new(1)).len(), 1);
    assert!(scene.on(new(1)).is_empty(), "the same connection");
    assert!(scene.on(new(2)).is_empty(), "another connection");
    assert_eq!(scene.done(11, 100, "X"), ["client 1: X", "client 2: X"]);
    assert_eq!(scene.on(new(3)), ["client 3: X"], "from what was kept");
    let counters = scene.broker.counters();
    assert_eq!(
        (counters.dispatched, counters.duplicates, counters.replayed),
        (1, 2, 1)
    );

    scene.wait(Duration::from_secs(60));
    assert_eq!(
        scene.on(new(3)),
        ["worker 11: request 101 for a, try 1: x"],
        "too old"
    );
}

#[test]
fn an_id_is_not_another_requests() {
    let mut scene = Scene::new();
    scene.ready(11, &["a", "b"], 1);
    scene.on(Input::Request(with_id("id", request(1, "a", "x"))));
    let others = || {
        [
            with_id("id", request(2, "a", "y")),
            with_id("id", request(2, "b", "x")),
        ]
    };
    for other in others() {
        assert_eq!(scene.on(Input::Request(other)), ["client 2: error 400"]);
    }
    scene.done(11, 100, "X");
    for other in others() {
        assert_eq!(scene.on(Input::Request(other)), ["client 2: error 400"]);
    }
}

#[test]
fn an_id_is_one_among_those_of_clients_with_the_same_key() {
    let mut scene = Scene::new();
    scene.ready(11, &["a"], 4);
    let ask = |client, key: u8| {
        let key = Some(ClientKey([key; 32]));
        let request = with_id("id", request(client, "a", "x"));
        Input::Request(NewRequest { key, ..request })
    };
    let given = |delivery| vec![format!("worker 11: request {delivery} for a, try 1: x")];
    assert_eq!(scene.on(ask(1, 7)), given(100));
    assert_eq!(scene.on(ask(2, 8)), given(101), "not joined to another's");
    assert!(scene.on(ask(3, 7)).is_empty(), "but to its own");
    let key = Some(ClientKey([8; 32]));
    let theirs = Input::Cancel {
        client: Peer(1),
        name: RequestName { key, ..name("id") },
    };
    assert!(scene.on(theirs).is_empty(), "nor cancelled");
    assert_eq!(
        scene.done(11, 100, "for 7"),
        ["client 1: for 7", "client 3: for 7"]
    );
    assert_eq!(scene.done(11, 101, "for 8"), ["client 2: for 8"]);
    assert_eq!(scene.on(ask(4, 8)), ["client 4: for 8"]);
    assert_eq!(scene.on(ask(5, 7)), ["client 5: for 7"]);
    assert_eq!(scene.on(ask(6, 9)), given(102), "no answer of others");
    let bare = with_id("id", request(7, "a", "x"));
    assert_eq!(
        scene.on(Input::Request(bare)),
        given(103),
        "nor without a key"
    );
}

#[test]
fn a_request_can_be_cancelled_by_who_asked_for_it() {
    let mut scene = Scene::new();
    scene.ready(11, &["a"], 1);
    let cancel = |client| Input::Cancel {
        client: Peer(client),
        name: name("id"),
    };
    scene.on(Input::Request(with_id("id", request(1, "a", "x"))));
    assert!(scene.on(cancel(2)).is_empty());
    scene.on(Input::Request(with_id("id", request(2, "a", "x"))));
    assert_eq!(scene.on(cancel(2)), ["client 2: error 409, maybe executed"]);
    assert_eq!(scene.on(cancel(1)), ["client 1: error 409, maybe executed"]);
    assert!(scene.done(11, 100, "X").is_empty());
}

#[test]
fn what_a_client_left_behind() {
    let mut scene = Scene::new();
    scene.ready(11, &["a"], 1);
    scene.ask(1, "a", "running");
    scene.ask(1, "a", "queued");
    scene.on(Input::Request(with_id("id", request(1, "a", "with id"))));
    scene.gone(1);
    assert_eq!(
        scene.broker.counters().abandoned,
        1,
        "what is queued and has no id"
    );
    assert_eq!(
        scene.done(11, 100, "X"),
        ["worker 11: request 101 for a, try 1: with id"]
    );
    scene.done(11, 101, "Y");
    let again = with_id("id", request(2, "a", "with id"));
    assert_eq!(scene.on(Input::Request(again)), ["client 2: Y"]);
}

#[test]
fn parts_and_notices_go_to_who_wants_them() {
    let mut scene = Scene::new();
    scene.ready(11, &["a"], 1);
    let part = |delivery| Input::Partial {
        worker: Peer(11),
        delivery: Delivery(delivery),
        body: frames("part"),
    };
    let new = NewRequest {
        ack: true,
        stream: true,
        ..with_id("id", request(1, "a", "x"))
    };
    assert_eq!(
        scene.on(Input::Request(new)),
        [
            "client 1: accepted",
            "worker 11: request 100 for a, try 1: x"
        ]
    );
    assert_eq!(scene.on(part(100)), ["client 1: part part"]);
    scene.done(11, 100, "X");
    scene.ask(1, "a", "y");
    assert!(scene.on(part(101)).is_empty(), "it takes an answer whole");
    assert!(scene.on(part(100)).is_empty(), "it has ended");
    assert_eq!(scene.broker.counters().strays, 1);
    assert_eq!(scene.done(11, 101, "Y"), ["client 1: part|Y"]);
}
