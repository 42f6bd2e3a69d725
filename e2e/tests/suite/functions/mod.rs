//! `turno faas`: a request that was accepted is answered, whichever part dies; and parts that others wrote stand in for ours.

mod report;
mod system;

use std::thread;

use e2e::http::{self, Connection};
use e2e::registry::Kind;
use e2e::wait;
use serde_json::json;

use self::system::{System, call, calls};

on_both_registries!(the_parts_find_each_other_and_leave_in_order);

fn the_parts_find_each_other_and_leave_in_order(kind: Kind) {
    let mut system = System::start(kind);
    system.queue("a");
    system.worker("w", "echo", "echo");
    let body = json!({"text": "ä", "list": [1, 2.5, null], "large": 9_007_199_254_740_993_u64});
    let answer = system.call("echo", &body);
    assert_eq!((answer.status, answer.text()), (200, body.to_string()));
    let page = http::get(system.http, "/").expect("a page");
    assert!(page.text().contains("<h1>Functions</h1>"));
    for part in ["w", "a", "front", "broker", "coordinator"] {
        let process = system.parts.get_mut(part).expect("it was started");
        assert_eq!(
            process.stop(wait::SOON).code(),
            Some(0),
            "{part}: {}",
            process.output()
        );
    }
    for service in [
        "faas",
        "faas-front",
        "faas-queue",
        "faas-broker",
        "faas-coordinator",
    ] {
        assert_eq!(
            system.registry.passing(service),
            Vec::<String>::new(),
            "{service}"
        );
    }
}

#[test]
fn no_accepted_request_is_lost_whichever_part_is_killed() {
    let mut system = System::start(Kind::Embedded);
    for name in ["a", "b", "c"] {
        system.queue(name);
    }
    for name in ["w1", "w2", "w3", "w4", "w5"] {
        system.worker(name, "sleep:10", "echo");
    }
    let script: [(usize, &str); 9] = [
        (40, "w1"),
        (80, "a"),
        (120, "coordinator"),
        (160, "w2"),
        (200, "b"),
        (240, "w3"),
        (280, "broker"),
        (330, "c"),
        (360, "coordinator"),
    ];
    let mut left = script.iter().peekable();
    let asked = calls(system.http, 8, 40, |answered| {
        if let Some((_, part)) = left.next_if(|(at, _)| answered >= *at) {
            system.kill(part);
            match *part {
                "broker" => system.broker(),
                "coordinator" => system.coordinator(),
                worker if worker.starts_with('w') => {
                    system.start_worker(worker, "sleep:10", "echo");
                }
                queue => system.part(queue, &["queue", "--name", queue]),
            }
        }
        left.peek().is_some()
    });
    crate::say(&format!(
        "{asked} requests, 9 kill -9 (3 workers, 3 queues, 2 coordinators, the broker): {asked} answered"
    ));
}

#[test]
fn special_workers_errors_and_limits() {
    let mut system = System::with(
        Kind::Embedded,
        &["--timeout", "700ms", "--backlog", "2", "--max-body", "1000"],
    );
    system.queue("a");
    system.worker("w1", "upper", "upper");
    system.queue("b");
    system.worker("w2", "fail", "broken");
    for _ in 0..4 {
        let answer = system.call("upper", &json!("abc"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "\"ABC\""));
    }
    assert_eq!(system.call("broken", &json!(1)).status, 500);
    let late = system.call("echo", &json!(1));
    assert_eq!(late.status, 504);
    assert!(
        late.text().contains("no worker has this function"),
        "{}",
        late.text()
    );
    assert_eq!(system.call("upper", &json!("x".repeat(2000))).status, 413);
    assert_eq!(system.call("no/such", &json!(1)).status, 404);
    let mut connection = Connection::open(system.http).expect("it listens");
    let answer = connection
        .request("POST", "/upper", &[], b"{no json")
        .expect("an answer");
    assert_eq!(answer.status, 400);
    assert_eq!(connection.get("/upper").expect("an answer").status, 405);
    // Two wait in vain for a worker of echo; the third is told that it is one too many.
    let http = system.http;
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            thread::spawn(move || {
                // The request that looks whether the backlog is full may be in the way.
                let (status, _) = wait::until("room in the backlog", wait::SOON, || {
                    let status = call(http, "echo", &json!(1)).status;
                    (status != 429).then_some(status)
                });
                status
            })
        })
        .collect();
    let (busy, _) = wait::until("the backlog to be full", wait::SOON, || {
        let answer = call(http, "upper", &json!(1));
        (answer.status == 429).then_some(answer)
    });
    assert_eq!(busy.header("retry-after"), Some("1"));
    for asked in waiting {
        assert_eq!(asked.join().expect("it is answered"), 504);
    }
    let offers = system.functions()["functions"].clone();
    assert_eq!(offers["upper"]["workers"], 1);
    assert_eq!(offers["broken"]["workers"], 1);
}
