//! `turno faas`: a request that was accepted is answered, whichever part dies; and parts that others wrote stand in for ours.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use e2e::http::{self, Answer, Connection};
use e2e::ports;
use e2e::process::Process;
use e2e::registry::{Kind, Registry};
use e2e::turno;
use e2e::wait;
use serde_json::{Value, json};

on_both_registries!(the_parts_find_each_other_and_leave_in_order);

const ANY: &str = "tcp://127.0.0.1:0";

/// A system whose parts find each other through a registry.
struct System {
    registry: Registry,
    parts: BTreeMap<String, Process>,
    http: SocketAddr,
}

impl System {
    /// A front end, a broker and a coordinator.
    fn start(kind: Kind) -> Self {
        Self::with(kind, &[])
    }

    fn with(kind: Kind, front: &[&str]) -> Self {
        let http = ports::free_address();
        let mut system = Self {
            registry: Registry::start(kind),
            parts: BTreeMap::new(),
            http,
        };
        system.broker();
        system.coordinator();
        let listen = http.to_string();
        let line = ["front", "--listen", &listen, "--answers", ANY];
        system.part("front", &[&line, front].concat());
        system.passing("faas-broker", 1);
        system.passing("faas-coordinator", 1);
        system.passing("faas-front", 1);
        system
    }

    fn part(&mut self, name: &str, arguments: &[&str]) {
        let consul = format!("http://{}", self.registry.address);
        let mut command = turno::command(&["faas"]);
        command.args(arguments).args(["--consul", &consul]);
        let process = Process::start(name, command);
        self.parts.insert(name.to_owned(), process);
    }

    fn broker(&mut self) {
        let line = [
            "broker",
            "--requests",
            ANY,
            "--answers",
            ANY,
            "--jobs",
            ANY,
            "--workers",
            ANY,
        ];
        self.part("broker", &line);
    }

    fn coordinator(&mut self) {
        self.part("coordinator", &["coordinator", "--in", ANY, "--out", ANY]);
    }

    fn queue(&mut self, name: &str) {
        self.part(name, &["queue", "--name", name]);
        self.says(name, "listening");
        let queues = |system: &Self| system.functions()["queues"].clone();
        wait::until_true(format!("{name} to be known"), wait::SOON, || {
            queues(self)
                .as_array()
                .is_some_and(|it| it.contains(&json!(name)))
        });
    }

    /// A worker that takes this long for a job, once it is known.
    fn worker(&mut self, name: &str, builtin: &str, function: &str) {
        let before = self.workers(function);
        self.start_worker(name, builtin, function);
        wait::until_true(format!("{name} to be known"), wait::SOON, || {
            self.workers(function) > before
        });
    }

    fn start_worker(&mut self, name: &str, builtin: &str, function: &str) {
        self.part(
            name,
            &["worker", "--function", function, "--builtin", builtin],
        );
    }

    fn workers(&self, function: &str) -> u64 {
        self.functions()["functions"][function]["workers"]
            .as_u64()
            .unwrap_or(0)
    }

    fn functions(&self) -> Value {
        let (answer, _) = wait::until("the front end", wait::SOON, || {
            http::get(self.http, "/functions").ok()
        });
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    fn passing(&self, service: &str, count: usize) {
        wait::until_true(format!("{count} of {service}"), wait::SOON, || {
            self.registry.passing(service).len() == count
        });
    }

    fn says(&mut self, part: &str, words: &str) {
        wait::until_true(format!("{part} to say {words:?}"), wait::SOON, || {
            let process = self.parts.get_mut(part).expect("it was started");
            process.assert_running();
            process.output().contains(words)
        });
    }

    /// `kill -9`.
    fn kill(&mut self, part: &str) {
        self.parts.get_mut(part).expect("it was started").kill();
    }

    /// The line in which a worker says which queue it joined.
    fn queue_of(&self, worker: &str) -> String {
        let output = self.parts[worker].output();
        let joined = output
            .lines()
            .rfind(|line| line.contains("joining the queue"));
        joined.unwrap_or_default().to_owned()
    }

    fn call(&self, function: &str, body: &Value) -> Answer {
        call(self.http, function, body)
    }
}

fn call(http: SocketAddr, function: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let mut connection = Connection::open(http).expect("the front end listens");
    let answer = connection.request("POST", &format!("/{function}"), &[], body.as_bytes());
    answer.expect("an answer")
}

/// Asks so many times, from so many clients at once, and checks each answer.
fn calls(http: SocketAddr, count: usize, at_once: usize, mut meanwhile: impl FnMut(usize)) {
    let (next, done, failed) = (Mutex::new(0), Mutex::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let number = {
                        let mut next = next.lock().expect("nobody panics holding it");
                        *next += 1;
                        *next
                    };
                    if number > count {
                        return;
                    }
                    let body = json!({ "number": number });
                    let answer = call(http, "echo", &body);
                    if (answer.status, answer.text()) != (200, body.to_string()) {
                        let failure = format!("{number}: {} {}", answer.status, answer.text());
                        failed
                            .lock()
                            .expect("nobody panics holding it")
                            .push(failure);
                    }
                    *done.lock().expect("nobody panics holding it") += 1;
                }
            });
        }
        // What kills parts, at a known number of answers.
        loop {
            let answered = *done.lock().expect("nobody panics holding it");
            meanwhile(answered);
            if answered >= count {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    });
    let failed = failed.into_inner().expect("nobody panics holding it");
    assert_eq!(
        failed,
        Vec::<String>::new(),
        "not answered, or by another's answer"
    );
}

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

// The four tests of the report that came with the system these messages are of.

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
    let mut killed = 0;
    calls(system.http, 400, 8, |answered| {
        let Some((_, part)) = script.get(killed).filter(|(at, _)| answered >= *at) else {
            return;
        };
        killed += 1;
        system.kill(part);
        match *part {
            "broker" => system.broker(),
            "coordinator" => system.coordinator(),
            worker if worker.starts_with('w') => system.start_worker(worker, "sleep:10", "echo"),
            queue => system.part(queue, &["queue", "--name", queue]),
        }
    });
    assert_eq!(
        killed,
        script.len(),
        "all were killed while requests were on their way"
    );
    crate::say(
        "400 requests, 9 kill -9 (3 workers, 3 queues, 2 coordinators, the broker): 400 answered",
    );
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
                loop {
                    let status = call(http, "echo", &json!(1)).status;
                    if status != 429 {
                        return status;
                    }
                }
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
