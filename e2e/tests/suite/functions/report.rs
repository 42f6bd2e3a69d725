//! The four tests of the report that came with the system whose messages `turno faas` speaks.

use std::collections::BTreeMap;
use std::thread;

use e2e::registry::Kind;
use e2e::wait;
use serde_json::json;

use super::system::{System, call};

#[test]
fn report_1_an_answer_comes_through_each_of_three_queues() {
    let mut system = System::start(Kind::Embedded);
    for name in ["a", "b", "c"] {
        system.queue(name);
    }
    for name in ["w1", "w2", "w3"] {
        system.worker(name, "echo", "echo");
    }
    let joined: Vec<String> = ["w1", "w2", "w3"].map(|it| system.queue_of(it)).into();
    crate::say(&format!(
        "3 queues, 3 workers, each at a queue of its own: {joined:?}"
    ));
    for number in 1..=6 {
        let body = json!({ "number": number });
        let answer = system.call("echo", &body);
        assert_eq!((answer.status, answer.text()), (200, body.to_string()));
    }
    crate::say("6 requests, two for each queue: 6 answered");
}

#[test]
fn report_2_a_request_waits_for_the_first_worker() {
    let mut system = System::start(Kind::Embedded);
    system.queue("a");
    let http = system.http;
    let asking = thread::spawn(move || call(http, "echo", &json!("hello")));
    // It is asked before there is anybody: the worker is started after.
    wait::until_true("the request to be at the front end", wait::SOON, || {
        !asking.is_finished()
    });
    system.start_worker("w", "echo", "echo");
    let answer = asking.join().expect("it is answered");
    assert_eq!((answer.status, answer.text().as_str()), (200, "\"hello\""));
    crate::say("asked before there was a worker, answered by the first one");
}

#[test]
fn report_3_another_queue_takes_over_when_the_own_worker_dies() {
    let mut system = System::start(Kind::Embedded);
    system.queue("a");
    system.worker("w1", "sleep:300", "echo");
    system.queue("b");
    system.worker("w2", "sleep:1", "echo");
    let (one, other) = (system.queue_of("w1"), system.queue_of("w2"));
    assert_ne!(one, other, "each has a queue of its own");
    let http = system.http;
    // Two requests: the queues take turns, so one of them is with the worker that dies.
    let asking: Vec<_> = (1..=2)
        .map(|number| thread::spawn(move || call(http, "echo", &json!(number))))
        .collect();
    let busy = || system.functions()["functions"]["echo"]["free"].as_u64() < Some(2);
    wait::until_true("a worker to be busy", wait::SOON, busy);
    system.kill("w1");
    for (asked, number) in asking.into_iter().zip(1..) {
        let answer = asked.join().expect("it is answered");
        assert_eq!((answer.status, answer.text()), (200, number.to_string()));
    }
    // And from now on, whichever queue it comes to.
    for number in 3..=8 {
        let answer = system.call("echo", &json!(number));
        assert_eq!((answer.status, answer.text()), (200, number.to_string()));
    }
    crate::say(
        "a queue lost its only worker in the middle of a job: 8 of 8 answered by way of the other",
    );
}

#[test]
fn report_4_workers_and_requests_take_turns() {
    let mut system = System::start(Kind::Embedded);
    for name in ["a", "b", "c"] {
        system.queue(name);
    }
    for name in ["w1", "w2", "w3", "w4", "w5", "w6"] {
        system.worker(name, "sleep:500", "echo");
    }
    let mut joined: BTreeMap<String, usize> = BTreeMap::new();
    for name in ["w1", "w2", "w3", "w4", "w5", "w6"] {
        let line = system.queue_of(name);
        let queue = line.split("queue=").nth(1).unwrap_or(&line);
        *joined.entry(queue.to_owned()).or_default() += 1;
    }
    crate::say(&format!("6 workers joined 3 queues: {joined:?}"));
    assert_eq!(joined.values().copied().collect::<Vec<_>>(), [2, 2, 2]);
    // Six requests at once, two for each queue: all workers are busy, none has two.
    let http = system.http;
    let asking: Vec<_> = (1..=6)
        .map(|number| thread::spawn(move || call(http, "echo", &json!(number))))
        .collect();
    wait::until_true("all six workers to be busy at once", wait::SOON, || {
        system.functions()["functions"]["echo"] == json!({"workers": 6, "free": 0})
    });
    for (asked, number) in asking.into_iter().zip(1..) {
        let answer = asked.join().expect("it is answered");
        assert_eq!((answer.status, answer.text()), (200, number.to_string()));
    }
    crate::say("6 requests at once were with 6 workers at once");
}
