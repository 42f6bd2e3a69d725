//! Workers that die, hang, fail or lie.

use super::*;

#[test]
fn what_a_lost_worker_had_goes_to_another_at_once() {
    let mut scene = Scene::new();
    scene.ready(11, &["a"], 2);
    for body in ["1", "2", "3"] {
        scene.ask(1, "a", body);
    }
    assert!(scene.gone(11).is_empty());
    // In the order in which they came, before what still waits.
    assert_eq!(
        scene.ready(12, &["a"], 3),
        [
            "worker 12: request 102 for a, try 2: 1",
            "worker 12: request 103 for a, try 2: 2",
            "worker 12: request 104 for a, try 1: 3",
        ]
    );
    assert_eq!(scene.done(12, 102, "X"), ["client 1: X"]);
}

#[test]
fn another_worker_is_preferred_to_one_that_failed() {
    let mut scene = Scene::new();
    scene.ready(11, &["a"], 1);
    scene.ask(1, "a", "x");
    scene.ready(12, &["a"], 1);
    let fail = |worker, delivery| Input::Fail {
        worker: Peer(worker),
        delivery: Delivery(delivery),
        code: 500,
        retryable: true,
        text: Bytes::new(),
    };
    assert_eq!(
        scene.on(fail(11, 100)),
        ["worker 12: request 101 for a, try 2: x"]
    );
    // None is left that has not tried: the one used longest ago.
    assert_eq!(
        scene.on(fail(12, 101)),
        ["worker 11: request 102 for a, try 3: x"]
    );
    assert_eq!(
        scene.on(fail(11, 102)),
        ["client 1: error 502, maybe executed"]
    );
    assert_eq!(scene.broker.counters().dead_letters, 1);
}

#[test]
fn a_failure_that_no_other_can_mend_is_the_answer() {
    let mut scene = Scene::new();
    scene.ready(11, &["a"], 1);
    let new = || Input::Request(with_id("id", request(1, "a", "x")));
    scene.on(new());
    let fail = Input::Fail {
        worker: Peer(11),
        delivery: Delivery(100),
        code: 422,
        retryable: false,
        text: Bytes::new(),
    };
    assert_eq!(scene.on(fail), ["client 1: error 422, maybe executed"]);
    assert_eq!(
        scene.on(new()),
        ["client 1: error 422, maybe executed"],
        "it is kept"
    );
}

#[test]
fn at_most_once_means_an_error_instead_of_a_second_run() {
    let mut scene = Scene::new();
    let never = || NewRequest {
        retry: Retry::Never,
        ..request(1, "a", "x")
    };
    scene.ready(11, &["a"], 1);
    scene.on(Input::Request(never()));
    assert_eq!(scene.gone(11), ["client 1: error 502, maybe executed"]);

    scene.ready(12, &["a"], 1);
    scene.on(Input::Request(NewRequest {
        stream: true,
        ..request(1, "a", "x")
    }));
    scene.on(Input::Partial {
        worker: Peer(12),
        delivery: Delivery(101),
        body: frames("part"),
    });
    assert_eq!(
        scene.gone(12),
        ["client 1: error 502, maybe executed"],
        "its answer has begun"
    );
}

#[test]
fn a_worker_that_hangs_loses_its_request_and_keeps_its_slot() {
    let mut scene = Scene::new();
    scene.ready(11, &["a"], 1);
    scene.ask(1, "a", "x");
    assert!(
        scene.wait(Duration::from_secs(10)).is_empty(),
        "nobody else is there"
    );
    assert_eq!(
        scene.ready(12, &["a"], 1),
        ["worker 12: request 101 for a, try 2: x"]
    );
    assert!(scene.ask(1, "a", "y").is_empty(), "11 still has it");
    // The first answer counts, whoever gives it.
    assert_eq!(
        scene.done(11, 100, "late"),
        ["client 1: late", "worker 11: request 102 for a, try 1: y"]
    );
    assert!(scene.done(12, 101, "second").is_empty());
    assert_eq!(scene.broker.counters().late, 1);
}

#[test]
fn a_lease_lasts_as_long_as_the_worker_says_so() {
    let mut scene = Scene::new();
    scene.ready(11, &["a"], 1);
    scene.ready(12, &["a"], 1);
    scene.ask(1, "a", "x");
    for _ in 0..2 {
        assert!(scene.wait(Duration::from_secs(9)).is_empty());
        let beat = Input::Heartbeat {
            worker: Peer(11),
            running: vec![Delivery(100)],
        };
        assert!(scene.on(beat).is_empty());
    }
    let extend = |worker, delivery| Input::Extend {
        worker: Peer(worker),
        delivery: Delivery(delivery),
        by: Duration::from_secs(15),
    };
    scene.on(extend(12, 100)); // not its own
    scene.on(extend(11, 100));
    // Without the extension the lease would end after 10 s; the client waits for 30 s in all.
    assert!(scene.wait(Duration::from_millis(11_999)).is_empty());
    assert_eq!(scene.broker.counters().requeued, 0);
    assert_eq!(
        scene.wait(Duration::from_millis(1)),
        ["client 1: error 504, maybe executed"]
    );
}

#[test]
fn silence_counts_as_the_worker_said() {
    let silence = |beats| {
        let mut scene = Scene::new();
        let Input::Ready { worker, ready } = ready(11, &["a"], 1) else {
            unreachable!("it is an offer")
        };
        let ready = Ready {
            beats,
            lease: Duration::from_secs(20),
            ..ready
        };
        scene.on(Input::Ready { worker, ready });
        scene.ask(1, "a", "x");
        let busy = scene.wait(Duration::from_secs(4));
        scene.done(11, 100, "X");
        let idle = scene.wait(Duration::from_secs(4));
        (busy.len(), idle.len())
    };
    assert_eq!(silence(Beats::Always), (1, 0), "lost while it was busy");
    assert_eq!(silence(Beats::WhenIdle), (0, 1), "lost when it was idle");
    assert_eq!(silence(Beats::Never), (0, 0));
}

#[test]
fn a_worker_whose_connection_is_full_is_left_alone_for_a_while() {
    let mut scene = Scene::new();
    scene.ready(11, &["a"], 1);
    scene.ask(1, "a", "x");
    assert!(scene.on(Input::Undelivered(Delivery(100))).is_empty());
    assert_eq!(
        scene.wait(Duration::from_secs(1)),
        ["worker 11: request 101 for a, try 1: x"],
        "it was no attempt"
    );
    scene.on(Input::Undelivered(Delivery(101)));
    assert_eq!(
        scene.ready(12, &["a"], 1),
        ["worker 12: request 102 for a, try 1: x"]
    );
    let beat = Input::Heartbeat {
        worker: Peer(11),
        running: Vec::new(),
    };
    scene.on(beat);
    assert_eq!(
        scene.ask(1, "a", "y"),
        ["worker 11: request 103 for a, try 1: y"]
    );
}

#[test]
fn forged_frames_change_nothing() {
    let mut scene = Scene::new();
    scene.ready(11, &["a"], 1);
    scene.ready(12, &["b"], 1);
    scene.ask(1, "a", "x");
    assert_eq!(
        scene.done(99, 100, "forged"),
        ["worker 99: bye"],
        "not a worker"
    );
    assert!(scene.done(12, 100, "forged").is_empty(), "another worker's");
    assert!(scene.done(11, 999, "forged").is_empty(), "no such delivery");
    assert_eq!(scene.done(11, 100, "X"), ["client 1: X"]);
    assert!(scene.done(11, 100, "again").is_empty(), "answered already");
    assert_eq!(scene.broker.counters().strays, 4);
}
