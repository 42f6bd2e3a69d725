//! A queue's decisions, as statements.

mod lending;

use std::time::{Duration, Instant};

use super::state::{Act, Limits, State};
use crate::{core::message::Peer, faas::message::Note};

struct Scene {
    state: State,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        Self {
            state: State::new("q".to_owned(), Limits::default(), 1),
            now: Instant::now(),
        }
    }

    fn said(&mut self) -> Vec<String> {
        let line = |act: Act| {
            let (to, note) = match act {
                Act::Worker(peer, note) => (format!("worker {}", peer.0), note),
                Act::Broker(note) => ("broker".to_owned(), note),
                Act::Coordinator(note) => (note.queue_to.clone().unwrap_or_default(), note),
            };
            let id = note.id.clone().unwrap_or_default();
            let code = note.code.map_or(String::new(), |code| format!(" {code}"));
            let back = if note.back.is_some() { " back" } else { "" };
            format!("{to}: {} {id}{code}{back}", note.kind())
                .trim_end()
                .to_owned()
        };
        self.state.take().into_iter().map(line).collect()
    }

    fn note(line: &str) -> Note {
        Note::read(line.as_bytes()).expect("a message")
    }

    /// From our broker, which keeps it.
    fn job(&mut self, id: &str, function: &str) -> Vec<String> {
        let line = format!(r#"{{"id":"{id}","message":1,"function":"{function}","kept":true}}"#);
        self.state.broker_said(Self::note(&line), self.now);
        self.said()
    }

    fn worker(&mut self, peer: u64, line: &str) -> Vec<String> {
        self.state
            .worker_said(Peer(peer), Self::note(line), self.now);
        self.said()
    }

    fn new_worker(&mut self, peer: u64, functions: &str) -> Vec<String> {
        self.worker(
            peer,
            &format!(r#"{{"type":"new","functions":[{functions}]}}"#),
        )
    }

    fn done(&mut self, peer: u64, id: &str) -> Vec<String> {
        self.worker(
            peer,
            &format!(r#"{{"type":"response","id":"{id}","message":2}}"#),
        )
    }

    fn gone(&mut self, peer: u64) -> Vec<String> {
        self.state.worker_gone(Peer(peer), self.now);
        self.said()
    }

    fn coordinator(&mut self, line: &str) -> Vec<String> {
        self.state.coordinator_said(Self::note(line), self.now);
        self.said()
    }

    /// The other queue `o` says so many workers of echo, so many free.
    fn other(&mut self, workers: usize, free: usize) -> Vec<String> {
        self.state
            .coordinator_said(Self::others(workers, free), self.now);
        self.said()
    }

    fn others(workers: usize, free: usize) -> Note {
        let offers = format!(r#"{{"echo":{{"workers":{workers},"free":{free}}}}}"#);
        Self::note(&format!(
            r#"{{"type":"queue_status","queues":[{{"queue_name":"q"}},{{"queue_name":"o","num_workers":{workers},"run":9,"offers":{offers}}}]}}"#
        ))
    }

    /// What is to be lent finds no way.
    fn not_lent(&mut self) {
        let acts = self.state.take();
        assert_eq!(acts.len(), 1, "{acts:?}");
        for act in acts {
            if let Act::Coordinator(note) = act {
                self.state.unlent(note, self.now);
            }
        }
        assert_eq!(self.said(), none(), "not at once again");
    }

    /// A worker's answer finds no way to the broker.
    fn done_unheard(&mut self, peer: u64, id: &str) {
        let line = format!(r#"{{"type":"response","id":"{id}","message":2}}"#);
        self.state
            .worker_said(Peer(peer), Self::note(&line), self.now);
        for act in self.state.take() {
            if let Act::Broker(note) = act {
                self.state.unsent(&note);
            }
        }
    }

    fn answered(&mut self, id: &str) -> Vec<String> {
        let line = format!(r#"{{"type":"answered","id":"{id}"}}"#);
        self.state.broker_said(Self::note(&line), self.now);
        self.said()
    }

    fn wait(&mut self, time: Duration) -> Vec<String> {
        self.now += time;
        self.state.tick(self.now);
        self.said()
    }
}

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn a_job_waits_for_the_first_worker_and_workers_take_turns() {
    let mut scene = Scene::new();
    assert_eq!(scene.job("1", "echo"), none());
    assert_eq!(scene.new_worker(1, ""), ["worker 1: request_job 1"]);
    assert_eq!(scene.new_worker(2, ""), none());
    assert_eq!(scene.done(1, "1"), ["broker: response 1"]);
    for (id, worker) in [("2", 2), ("3", 1), ("4", 2)] {
        assert_eq!(
            scene.job(id, "echo"),
            [format!("worker {worker}: request_job {id}")]
        );
        assert_eq!(scene.done(worker, id), [format!("broker: response {id}")]);
    }
}

#[test]
fn what_a_lost_worker_had_goes_to_another_and_its_own_answer_still_counts() {
    let mut scene = Scene::new();
    scene.new_worker(1, "");
    scene.job("1", "echo");
    assert_eq!(scene.gone(1), none());
    assert_eq!(scene.new_worker(2, ""), ["worker 2: request_job 1"]);
    assert_eq!(
        scene.done(1, "1"),
        ["broker: response 1"],
        "by a new connection"
    );
    assert_eq!(scene.done(2, "1"), none(), "nobody waits for it");
    assert_eq!(
        scene.job("1", "echo"),
        ["broker: response 1"],
        "the answer is kept"
    );
}

#[test]
fn special_workers_get_what_they_can_do() {
    let mut scene = Scene::new();
    scene.new_worker(1, r#""upper""#);
    assert_eq!(scene.job("1", "echo"), none());
    assert_eq!(scene.job("2", "upper"), ["worker 1: request_job 2"]);
    assert_eq!(
        scene.new_worker(2, r#""echo","upper""#),
        ["worker 2: request_job 1"]
    );
}

#[test]
fn an_idle_worker_is_pinged_and_gets_nothing_before_it_answers() {
    let mut scene = Scene::new();
    scene.new_worker(1, "");
    assert_eq!(scene.wait(Duration::from_secs(4)), ["worker 1: heartbeat"]);
    assert_eq!(scene.job("1", "echo"), none());
    assert_eq!(
        scene.worker(1, r#"{"type":"heartbeat"}"#),
        ["worker 1: request_job 1"]
    );
}

#[test]
fn a_worker_that_does_not_answer_a_ping_is_lost_until_it_speaks() {
    let mut scene = Scene::new();
    scene.new_worker(1, "");
    scene.wait(Duration::from_secs(4));
    scene.job("1", "echo");
    assert_eq!(scene.wait(Duration::from_secs(11)), none());
    assert_eq!(scene.new_worker(2, ""), ["worker 2: request_job 1"]);
    scene.job("2", "echo");
    assert_eq!(
        scene.worker(1, r#"{"type":"heartbeat"}"#),
        ["worker 1: request_job 2"]
    );
}

#[test]
fn an_answer_that_no_broker_took_is_said_when_one_can_be_reached() {
    let mut scene = Scene::new();
    scene.new_worker(1, "");
    scene.job("1", "echo");
    scene.done_unheard(1, "1");
    scene.state.broker_gone(scene.now);
    // The next broker's jobs may come before it can be answered.
    assert_eq!(scene.job("1", "echo"), ["broker: response 1"]);
    scene.state.unsent(&Scene::note(r#"{"id":"1"}"#));
    scene.state.say_again();
    assert_eq!(scene.said(), ["broker: response 1"], "once");
    scene.state.say_again();
    assert_eq!(scene.said(), none());
}

#[test]
fn of_a_broker_that_is_gone_only_what_workers_are_at_is_kept() {
    let mut scene = Scene::new();
    scene.new_worker(1, "");
    scene.job("1", "echo");
    scene.job("2", "echo");
    assert_eq!(scene.other(1, 1), ["o: job 2"]);
    scene.job("3", "echo");
    scene.state.broker_gone(scene.now);
    assert_eq!(scene.state.size(), (1, 1));
    assert_eq!(scene.done(1, "1"), ["broker: response 1"]);
    scene.job("4", "echo");
    assert_eq!(scene.job("5", "echo"), ["o: job 5"], "there is room again");
}

#[test]
fn jobs_have_an_end() {
    let mut scene = Scene::new();
    scene.job("1", "echo");
    assert_eq!(
        scene.wait(Duration::from_secs(301)),
        ["broker: response 1 504"]
    );
    scene.new_worker(1, "");
    for _ in 0..9 {
        scene.job("2", "echo");
        scene.gone(1);
        scene.new_worker(1, "");
    }
    assert_eq!(
        scene.gone(1),
        ["broker: response 2 502"],
        "it kills its workers"
    );
    assert_eq!(scene.state.size(), (0, 0));
}

#[test]
fn a_job_answered_elsewhere_is_not_done_any_more() {
    let mut scene = Scene::new();
    scene.job("1", "echo");
    assert_eq!(scene.answered("1"), none());
    assert_eq!(scene.new_worker(1, ""), none());
}

#[test]
fn a_worker_may_leave_a_job_to_others() {
    let mut scene = Scene::new();
    scene.new_worker(1, "");
    scene.job("1", "echo");
    scene.new_worker(2, "");
    let refused = r#"{"type":"response","id":"1","message":null,"code":503,"retry":true}"#;
    assert_eq!(scene.worker(1, refused), ["worker 2: request_job 1"]);
}
