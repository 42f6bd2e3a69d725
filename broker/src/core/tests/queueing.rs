//! Who is served when, and by whom.

use super::*;

#[test]
fn requests_wait_in_order_and_the_worker_used_longest_ago_comes_first() {
    let mut scene = Scene::new();
    for body in ["a", "b", "c"] {
        assert!(scene.ask(1, "echo", body).is_empty());
    }
    assert_eq!(
        scene.ready(11, &["echo"], 1),
        ["worker 11: request 100 for echo, try 1: a"]
    );
    assert_eq!(
        scene.ready(12, &["echo"], 1),
        ["worker 12: request 101 for echo, try 1: b"]
    );
    assert_eq!(
        scene.done(12, 101, "B"),
        ["client 1: B", "worker 12: request 102 for echo, try 1: c"]
    );
    assert_eq!(scene.done(11, 100, "A"), ["client 1: A"]);
    assert_eq!(scene.done(12, 102, "C"), ["client 1: C"]);
    // 11 has been free for longer.
    assert_eq!(
        scene.ask(1, "echo", "d"),
        ["worker 11: request 103 for echo, try 1: d"]
    );
    assert_eq!(
        scene.ask(1, "echo", "e"),
        ["worker 12: request 104 for echo, try 1: e"]
    );
}

#[test]
fn services_take_turns_at_a_worker_that_serves_several() {
    let mut scene = Scene::new();
    for (service, body) in [
        ("a", "1"),
        ("a", "2"),
        ("a", "3"),
        ("b", "1"),
        ("img.x", "1"),
    ] {
        scene.ask(1, service, body);
    }
    let mut order = scene.ready(11, &["a", "b", "img.*"], 1);
    for delivery in 100..104 {
        order.extend(scene.done(11, delivery, ""));
    }
    order.retain(|line| line.starts_with("worker"));
    let services: Vec<_> = order
        .iter()
        .map(|line| line.split(' ').nth(5).expect("a request"))
        .collect();
    assert_eq!(services, ["a,", "b,", "img.x,", "a,", "a,"]);
}

#[test]
fn a_worker_gets_what_it_serves_and_as_much_as_it_takes() {
    let mut scene = Scene::new();
    scene.ready(11, &["img.*", "echo"], 2);
    assert!(scene.ask(1, "video", "x").is_empty());
    assert!(scene.ask(1, "im", "x").is_empty());
    assert_eq!(scene.ask(1, "img.resize", "1").len(), 1);
    assert_eq!(scene.ask(1, "echo", "2").len(), 1);
    assert!(scene.ask(1, "echo", "3").is_empty(), "it takes two");
    assert_eq!(
        scene.done(11, 100, "done"),
        [
            "client 1: done",
            "worker 11: request 102 for echo, try 1: 3"
        ]
    );
    assert!(scene.broker.is_served(b"img.anything") && !scene.broker.is_served(b"video"));
}

#[test]
fn a_second_offer_replaces_the_first() {
    let mut scene = Scene::new();
    scene.ready(11, &["a"], 1);
    scene.ask(1, "a", "x");
    scene.ask(1, "b", "y");
    // It started anew, so what it had goes back.
    assert_eq!(
        scene.ready(11, &["b"], 1),
        ["worker 11: request 101 for b, try 1: y"]
    );
    assert_eq!(
        scene.ready(12, &["a"], 1),
        ["worker 12: request 102 for a, try 2: x"]
    );
}

#[test]
fn offers_that_are_malformed_or_too_many_are_refused() {
    let mut scene = Scene::with(Limits {
        workers: 2,
        lanes: 3,
        prefixes: 1,
        ..Limits::default()
    });
    let bye = |worker: u64| vec![format!("worker {worker}: bye")];
    assert_eq!(scene.ready(1, &[], 1), bye(1));
    assert_eq!(scene.ready(1, &["a*b"], 1), bye(1));
    assert_eq!(scene.ready(1, &["a*", "b*"], 1), bye(1), "one prefix");
    assert_eq!(
        scene.ready(1, &["a", "b", "c", "d"], 1),
        bye(1),
        "three lanes"
    );
    assert!(scene.ready(1, &["a", "a", "b"], 1).is_empty());
    assert!(scene.ready(2, &["a"], 1).is_empty());
    assert_eq!(scene.ready(3, &["a"], 1), bye(3), "two workers");
    assert_eq!(scene.broker.counters().workers_refused, 5);
    scene.gone(1);
    assert!(scene.ready(3, &["c"], 1).is_empty());
}

#[test]
fn a_worker_that_drains_finishes_and_is_let_go() {
    let mut scene = Scene::new();
    scene.ready(11, &["echo"], 2);
    scene.ask(1, "echo", "x");
    assert!(scene.on(Input::WorkerDrain(Peer(11))).is_empty());
    assert!(scene.ask(1, "echo", "y").is_empty(), "it gets no more");
    assert_eq!(scene.done(11, 100, "X"), ["worker 11: bye", "client 1: X"]);
    assert_eq!(
        scene.ready(12, &["echo"], 1),
        ["worker 12: request 101 for echo, try 1: y"]
    );
}

#[test]
fn a_broker_that_drains_refuses_what_is_new_and_finishes_the_rest() {
    let mut scene = Scene::new();
    scene.ready(11, &["echo"], 1);
    scene.ask(1, "echo", "x");
    scene.ask(1, "echo", "y");
    let until = scene.now + Duration::from_secs(5);
    assert_eq!(scene.on(Input::Drain { until }), ["worker 11: drain"]);
    assert_eq!(scene.ask(2, "echo", "z"), ["client 2: error 503"]);
    scene.done(11, 100, "X");
    assert_eq!(
        scene.done(11, 101, "Y"),
        ["client 1: Y", "worker 11: bye", "drained"]
    );
}

#[test]
fn a_drain_ends_in_time() {
    let mut scene = Scene::new();
    scene.ready(11, &["echo"], 1);
    scene.ask(1, "echo", "x");
    scene.ask(1, "echo", "y");
    let until = scene.now + Duration::from_secs(5);
    scene.on(Input::Drain { until });
    assert_eq!(
        scene.wait(Duration::from_secs(5)),
        [
            "client 1: error 503, maybe executed",
            "client 1: error 503",
            "worker 11: bye",
            "drained"
        ]
    );
}
