//! Requests handed over to other brokers, and those that others hand over, by tables.

use super::*;

/// A request as another broker hands it over.
fn handed(client: u64, service: &str, body: &str) -> Input {
    Input::Request(NewRequest {
        handed: Some(Bytes::from_static(b"id at home")),
        ..request(client, service, body)
    })
}

fn remote(worker: u64, service: &str, free: impl Into<Option<u16>>) -> Input {
    Input::Remote {
        worker: Peer(worker),
        service: Bytes::copy_from_slice(service.as_bytes()),
        free: free.into(),
    }
}

fn refused(worker: u64, delivery: u64) -> Input {
    Input::Refused {
        worker: Peer(worker),
        delivery: Delivery(delivery),
    }
}

fn lost_there(worker: u64, delivery: u64) -> Input {
    Input::Fail {
        worker: Peer(worker),
        delivery: Delivery(delivery),
        code: 502,
        retryable: true,
        text: Bytes::new(),
    }
}

/// Plays each event and compares what is said.
fn plays(scene: &mut Scene, story: Vec<(Input, &[&str])>) {
    for (at, (input, want)) in story.into_iter().enumerate() {
        let text = format!("{input:?}");
        assert_eq!(scene.on(input), want, "step {at}: {text}");
    }
}

fn ask(client: u64, service: &str, body: &str) -> Input {
    Input::Request(request(client, service, body))
}

#[test]
fn who_is_here_comes_first_and_who_is_elsewhere_takes_what_it_has_room_for() {
    let mut scene = Scene::new();
    plays(
        &mut scene,
        vec![
            (remote(90, "a", 2), &[]),
            (ready(11, &["a"], 1), &[]),
            (
                ask(1, "a", "x"),
                &["worker 11: request 100 for a, try 1: x"],
            ),
            (
                ask(1, "a", "y"),
                &["worker 90: request 101 for a, try 1: y"],
            ),
            (
                ask(1, "a", "z"),
                &["worker 90: request 102 for a, try 1: z"],
            ),
            (ask(1, "a", "w"), &[]),
            // It says how much besides what it has from here: still nothing …
            (remote(90, "a", 0), &[]),
            // … and then one more.
            (
                remote(90, "a", 1),
                &["worker 90: request 103 for a, try 1: w"],
            ),
            (ask(1, "a", "v"), &[]),
        ],
    );
    assert_eq!(
        scene.done(11, 100, "X"),
        ["client 1: X", "worker 11: request 104 for a, try 1: v"]
    );
    assert_eq!(scene.done(90, 101, "Y"), ["client 1: Y"]);
    let counters = scene.broker.counters();
    assert_eq!((counters.handed_over, counters.dispatched), (3, 2));
    assert_eq!(scene.broker.census().workers, 1);
}

#[test]
fn brokers_take_turns_and_saying_the_same_again_changes_nothing() {
    let mut scene = Scene::new();
    plays(
        &mut scene,
        vec![
            (remote(90, "a", 9), &[]),
            (remote(91, "a", 9), &[]),
            (remote(90, "a", 9), &[]),
            (
                ask(1, "a", "1"),
                &["worker 90: request 100 for a, try 1: 1"],
            ),
            (remote(91, "a", 9), &[]),
            (
                ask(1, "a", "2"),
                &["worker 91: request 101 for a, try 1: 2"],
            ),
            (
                ask(1, "a", "3"),
                &["worker 90: request 102 for a, try 1: 3"],
            ),
        ],
    );
}

#[test]
fn a_broker_that_is_lost_costs_nothing_but_time() {
    let mut scene = Scene::new();
    plays(
        &mut scene,
        vec![
            (remote(90, "a", 2), &[]),
            (
                ask(1, "a", "x"),
                &["worker 90: request 100 for a, try 1: x"],
            ),
            (
                ask(1, "a", "y"),
                &["worker 90: request 101 for a, try 1: y"],
            ),
            (Input::Gone(Peer(90)), &[]),
            (
                ready(11, &["a"], 1),
                &["worker 11: request 102 for a, try 2: x"],
            ),
        ],
    );
    assert_eq!(scene.broker.queued(b"a"), 1);
}

#[test]
fn what_another_broker_gives_back_waits_here_in_its_old_place() {
    let mut scene = Scene::new();
    plays(
        &mut scene,
        vec![
            (remote(90, "a", 1), &[]),
            (
                ask(1, "a", "x"),
                &["worker 90: request 100 for a, try 1: x"],
            ),
            (ask(1, "a", "y"), &[]),
            // Somebody else's word about it counts for nothing.
            (refused(91, 100), &[]),
            (refused(90, 100), &[]),
            // Nobody has run it: this is the first try again, of the first request.
            (
                remote(90, "a", 1),
                &["worker 90: request 101 for a, try 1: x"],
            ),
            // Now it may have been run.
            (
                lost_there(90, 101),
                &["worker 90: request 102 for a, try 2: x"],
            ),
        ],
    );
}

#[test]
fn a_broker_that_gave_something_back_is_left_alone_for_a_while() {
    let mut scene = Scene::new();
    plays(
        &mut scene,
        vec![
            (remote(90, "a", 1), &[]),
            (
                ask(1, "a", "x"),
                &["worker 90: request 100 for a, try 1: x"],
            ),
            (refused(90, 100), &[]),
        ],
    );
    let stall = Limits::default().stall;
    assert_eq!(scene.wait(stall / 2), Vec::<String>::new());
    assert_eq!(
        scene.wait(stall),
        ["worker 90: request 101 for a, try 1: x"]
    );
}

#[test]
fn what_is_handed_over_is_served_at_once_or_given_back() {
    let mut scene = Scene::new();
    plays(
        &mut scene,
        vec![
            // Nobody serves it; somebody elsewhere does, but nothing goes on twice.
            (handed(8, "a", "1"), &["client 8: error 429"]),
            (remote(90, "a", 5), &[]),
            (handed(8, "a", "2"), &["client 8: error 429"]),
            (ready(11, &["a"], 1), &[]),
            (
                handed(8, "a", "3"),
                &["worker 11: request 100 for a, try 1: 3"],
            ),
            (handed(8, "a", "4"), &["client 8: error 429"]),
            // Its worker is lost: what becomes of it is decided where it is kept.
            (
                Input::Gone(Peer(11)),
                &["client 8: error 502, maybe executed"],
            ),
        ],
    );
    let counters = scene.broker.counters();
    assert_eq!((counters.taken_over, counters.given_back), (1, 4));
    assert_eq!((counters.refused, counters.failed), (0, 0));
    assert_eq!(scene.broker.census().requests, 0);
}

#[test]
fn who_got_something_back_hears_of_room_that_is_again_what_it_was() {
    let mut scene = Scene::new();
    scene.ready(11, &["a"], 1);
    let told = scene.broker.spare();
    scene.on(handed(8, "a", "1"));
    scene.done(11, 100, "r");
    assert_eq!(scene.broker.spare(), told, "nobody need hear of that");
    scene.on(handed(8, "a", "2"));
    assert_eq!(scene.on(handed(8, "a", "3")), ["client 8: error 429"]);
    scene.done(11, 101, "r");
    let now = scene.broker.spare();
    assert_eq!(now["a"].free, told["a"].free);
    assert_ne!(now, told);
}

#[test]
fn the_worker_of_a_request_handed_over_sees_its_id() {
    let mut scene = Scene::new();
    scene.ready(11, &["a"], 1);
    let out = scene.broker.on(handed(8, "a", "1"), scene.now);
    let seen = out.iter().find_map(|it| match it {
        Output::Worker(_, ToWorker::Request { id, .. }) => Some(id.clone()),
        _ => None,
    });
    assert_eq!(seen.as_deref(), Some(&b"id at home"[..]));
}

#[test]
fn the_id_of_a_request_handed_over_is_no_longer_than_others() {
    let mut scene = Scene::new();
    scene.ready(11, &["a"], 2);
    for (length, answered) in [(0, 0), (64, 0), (65, 1)] {
        let new = NewRequest {
            handed: Some(Bytes::from(vec![b'i'; length])),
            ..request(8, "a", "1")
        };
        let out = scene.on(Input::Request(new));
        let refusals = out.iter().filter(|it| *it == "client 8: error 400");
        assert_eq!(refusals.count(), answered, "{length}: {out:?}");
    }
}

#[test]
fn a_request_undeliverable_here_goes_back_to_who_handed_it_over() {
    let mut scene = Scene::new();
    plays(
        &mut scene,
        vec![
            (ready(11, &["a"], 1), &[]),
            (
                handed(8, "a", "1"),
                &["worker 11: request 100 for a, try 1: 1"],
            ),
            (Input::Undelivered(Delivery(100)), &["client 8: error 429"]),
        ],
    );
}

#[test]
fn a_service_that_only_others_serve_is_found() {
    let mut scene = Scene::new();
    scene.on(remote(90, "img.*", 0));
    assert_eq!(scene.ask(1, "img.x", "1"), Vec::<String>::new());
    assert_eq!(
        scene.wait(Limits::default().grace * 2),
        Vec::<String>::new()
    );
    assert_eq!(
        scene.on(remote(90, "img.*", 1)),
        ["worker 90: request 100 for img.x, try 1: 1"]
    );
    // It no longer serves it, and finishes what it has.
    assert_eq!(scene.on(remote(90, "img.*", None)), Vec::<String>::new());
    assert_eq!(scene.done(90, 100, "X"), ["client 1: X"]);
    assert!(!scene.broker.is_served(b"img.x"));
}

#[test]
fn what_can_be_spared_is_what_workers_here_have_room_for() {
    let mut scene = Scene::new();
    scene.ready(11, &["a", "img.*"], 3);
    scene.ready(12, &["a"], 2);
    scene.on(remote(90, "b", 7));
    scene.ask(1, "a", "x");
    let spare = |scene: &Scene| {
        let spare = scene.broker.spare().into_iter();
        let spare = spare.map(|(name, it)| format!("{name}={}", it.free));
        spare.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(spare(&scene), "a=4 img.*=2");
    // One that leaves has nothing to spare, but finishes what it has.
    let until = scene.now + Duration::from_secs(9);
    scene.on(Input::Drain { until });
    assert_eq!(spare(&scene), "a=0 img.*=0");
}

#[test]
fn a_broker_that_leaves_hands_over_what_waits() {
    let mut scene = Scene::new();
    scene.ready(11, &["a"], 1);
    scene.ask(1, "a", "x");
    scene.ask(1, "a", "y");
    let until = scene.now + Duration::from_secs(9);
    assert_eq!(scene.on(Input::Drain { until }), ["worker 11: drain"]);
    assert_eq!(
        scene.on(remote(90, "a", 1)),
        ["worker 90: request 101 for a, try 1: y"]
    );
    assert_eq!(scene.done(11, 100, "X"), ["client 1: X"]);
    assert_eq!(
        scene.done(90, 101, "Y"),
        ["client 1: Y", "worker 11: bye", "drained"]
    );
}
