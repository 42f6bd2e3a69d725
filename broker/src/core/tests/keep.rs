//! Requests on disk: nothing is acknowledged or served before it is there, and what is there comes back.

use super::*;
use crate::core::keep::{KeptAnswer, KeptRequest};

fn with_disk() -> Scene {
    let mut scene = Scene::new();
    scene.broker.keeps_on_disk();
    scene
}

fn to_keep(id: &str) -> Input {
    Input::Request(NewRequest {
        ack: true,
        ..with_id(id, request(1, "up", id))
    })
}

fn again(client: u64, id: &str) -> Input {
    Input::Request(with_id(id, request(client, "up", id)))
}

fn kept(number: u64, id: &str, now: Instant) -> KeptRequest {
    KeptRequest {
        number,
        name: name(id),
        service: "up".into(),
        deadline: now + Duration::from_secs(60),
        retry: Retry::Safe,
        trace: None,
        body: frames(id),
    }
}

#[test]
fn a_request_is_acknowledged_and_served_once_it_is_on_disk() {
    let mut scene = with_disk();
    scene.ready(11, &["up"], 4);
    assert_eq!(scene.on(to_keep("a")), ["keep 0"], "first of all");
    assert_eq!(
        scene.on(Input::Kept(0)),
        [
            "client 1: accepted",
            "worker 11: request 100 for up, try 1: a"
        ]
    );
    assert_eq!(
        scene.done(11, 100, "A"),
        ["release 0 with its answer", "client 1: A"]
    );
    assert_eq!(
        scene.on(again(2, "b")),
        ["worker 11: request 101 for up, try 1: b"],
        "who does not ask for it does not wait for the disk"
    );
    let told = scene.on(Input::Request(NewRequest {
        ack: true,
        ..with_id("b", request(3, "up", "b"))
    }));
    assert_eq!(told, ["keep 1"], "another connection does");
    assert_eq!(scene.on(Input::Kept(1)), ["client 3: accepted"]);
}

#[test]
fn what_the_disk_does_not_take_is_an_error() {
    let mut scene = with_disk();
    scene.ready(11, &["up"], 4);
    scene.on(to_keep("a"));
    let full = Input::NotKept(0, Bytes::from_static(b"no space left"));
    assert_eq!(scene.on(full), ["client 1: error 507"]);
    assert_eq!(scene.broker.counters().not_kept, 1);
    // Cancelled, or too late, before it is on disk.
    scene.on(to_keep("b"));
    let cancel = Input::Cancel {
        client: Peer(1),
        name: name("b"),
    };
    assert_eq!(scene.on(cancel), ["release 1", "client 1: error 409"]);
    assert!(scene.on(Input::Kept(1)).is_empty());
    scene.on(to_keep("c"));
    let late = scene.wait(Duration::from_secs(30));
    assert_eq!(late, ["release 2", "client 1: error 504"]);
}

#[test]
fn an_acknowledged_request_outlives_its_client_and_comes_back_from_disk() {
    let mut scene = with_disk();
    scene.on(to_keep("a"));
    scene.on(Input::Kept(0));
    scene.gone(1);
    assert!(scene.wait(Duration::from_secs(1)).is_empty());
    scene.ready(11, &["up"], 1);
    assert_eq!(scene.done(11, 100, "A"), ["release 0 with its answer"]);
    assert_eq!(scene.on(again(2, "a")), ["client 2: A"]);

    let mut next = with_disk();
    let now = next.now;
    let done = KeptAnswer {
        name: name("d"),
        check_sum: crate::core::dedup::check_sum(b"up", &frames("d")),
        result: Ok(frames("D")),
        at: now,
    };
    let never = KeptRequest {
        retry: Retry::Never,
        ..kept(5, "n", now)
    };
    let requests = vec![kept(7, "b", now), never, kept(6, "a", now)];
    let out = next.broker.restore(requests, vec![done], now);
    next.broker.check();
    let out: Vec<_> = out.iter().filter_map(line).collect();
    assert_eq!(out, ["release 5 with its answer"], "it may not run again");
    // No 404 in spite of there being no worker yet.
    assert!(next.wait(Duration::from_secs(10)).is_empty());
    assert_eq!(next.on(again(2, "d")), ["client 2: D"], "answers come back");
    assert_eq!(
        next.on(again(2, "n")),
        ["client 2: error 502, maybe executed"]
    );
    next.on(again(2, "b"));
    let given = next.ready(11, &["up"], 2);
    let expected = [
        "request 100 for up, try 1: a",
        "request 101 for up, try 1: b",
    ];
    assert_eq!(given, expected.map(|it| format!("worker 11: {it}")));
    assert_eq!(
        next.done(11, 101, "B"),
        ["release 7 with its answer", "client 2: B"]
    );
    assert_eq!(next.on(to_keep("new")), ["keep 8"], "numbers go on");
}

#[test]
fn a_drain_leaves_on_disk_what_nobody_waits_for_at_the_moment() {
    let mut scene = with_disk();
    scene.on(to_keep("a"));
    scene.on(Input::Kept(0));
    scene.gone(1);
    scene.on(to_keep("b"));
    scene.on(Input::Kept(1));
    let until = scene.now + Duration::from_secs(5);
    scene.on(Input::Drain { until });
    let ended = scene.wait(Duration::from_secs(5));
    assert_eq!(ended, ["release 1", "client 1: error 503", "drained"]);
}
