//! A queue's decisions, as statements.

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
fn what_nobody_here_is_free_for_goes_to_another_queue_and_is_kept() {
    let mut scene = Scene::new();
    scene.new_worker(1, "");
    scene.job("1", "echo");
    scene.job("2", "echo");
    assert_eq!(scene.other(1, 1), ["o: job 2"]);
    assert_eq!(scene.job("3", "echo"), none(), "it has one worker only");
    assert_eq!(scene.answered("2"), ["o: job 3"]);
    assert_eq!(scene.done(1, "1"), ["broker: response 1"]);
    assert_eq!(scene.state.size(), (1, 1));
}

#[test]
fn delegation_when_the_own_worker_dies() {
    let mut scene = Scene::new();
    scene.new_worker(1, "");
    scene.job("1", "echo");
    scene.other(1, 1);
    assert_eq!(scene.gone(1), ["o: job 1"]);
}

#[test]
fn what_is_lent_comes_back_when_the_other_queue_or_the_coordinator_is_gone() {
    let mut scene = Scene::new();
    scene.job("1", "echo");
    assert_eq!(scene.other(1, 1), ["o: job 1"]);
    scene.coordinator(r#"{"type":"queue_status","queues":[]}"#);
    assert_eq!(scene.new_worker(1, ""), ["worker 1: request_job 1"]);

    let mut scene = Scene::new();
    scene.job("1", "echo");
    scene.other(1, 1);
    scene.state.coordinator_gone(scene.now);
    assert_eq!(scene.new_worker(1, ""), ["worker 1: request_job 1"]);
}

#[test]
fn what_is_lent_comes_back_when_the_other_queue_begins_anew() {
    let mut scene = Scene::new();
    scene.job("1", "echo");
    scene.other(1, 1);
    let anew = r#"{"type":"queue_status","queues":[{"queue_name":"o","run":10,"offers":{}}]}"#;
    assert_eq!(scene.coordinator(anew), none());
    assert_eq!(scene.new_worker(1, ""), ["worker 1: request_job 1"]);
}

#[test]
fn what_is_lent_and_not_answered_is_given_again() {
    let mut scene = Scene::new();
    scene.job("1", "echo");
    scene.other(1, 1);
    assert_eq!(scene.wait(Duration::from_secs(31)), none());
    assert_eq!(scene.new_worker(1, ""), ["worker 1: request_job 1"]);
}

#[test]
fn a_job_of_another_queue_is_done_here_or_handed_on_but_not_kept() {
    let mut scene = Scene::new();
    let lent = r#"{"type":"job","queue_from":"p","queue_to":"q","id":"1","message":1,"kept":true}"#;
    scene.new_worker(1, "");
    assert_eq!(scene.coordinator(lent), ["worker 1: request_job 1"]);
    scene.other(1, 1);
    assert_eq!(scene.gone(1), ["o: job 1"], "its last worker is gone");
    assert_eq!(scene.state.size(), (0, 0));
    let elsewhere = lent.replace(r#""queue_to":"q""#, r#""queue_to":"x""#);
    assert_eq!(scene.coordinator(&elsewhere), none());
}

#[test]
fn a_job_that_comes_back_is_given_to_another_and_was_no_attempt() {
    for back in ["", r#","back":true"#] {
        let mut scene = Scene::new();
        scene.job("1", "echo");
        for _ in 0..20 {
            assert_eq!(scene.other(1, 1), ["o: job 1"]);
            let note = format!(
                r#"{{"type":"job","queue_from":"o","queue_to":"q","id":"1","message":1,"kept":true{back}}}"#
            );
            assert_eq!(scene.coordinator(&note), none(), "not to the same again");
            scene.other(1, 0);
        }
        assert_eq!(scene.new_worker(1, ""), ["worker 1: request_job 1"]);
        assert_eq!(scene.done(1, "1"), ["broker: response 1"]);
    }
}

#[test]
fn a_job_that_comes_back_late_is_dropped() {
    let mut scene = Scene::new();
    scene.new_worker(1, "");
    let late = r#"{"type":"job","queue_from":"o","queue_to":"q","id":"1","message":1,"kept":true,"back":true}"#;
    assert_eq!(scene.coordinator(late), none());
    assert_eq!(scene.state.size(), (0, 1));
}

#[test]
fn what_we_cannot_do_for_a_queue_that_keeps_it_goes_back_there() {
    let lent = r#"{"type":"job","queue_from":"o","queue_to":"q","id":"1","message":1,"kept":true}"#;
    let mut scene = Scene::new();
    scene.other(0, 0);
    assert_eq!(scene.coordinator(lent), ["o: job 1 back"]);
    scene.new_worker(1, "");
    assert_eq!(scene.coordinator(lent), ["worker 1: request_job 1"]);
    assert_eq!(scene.gone(1), ["o: job 1 back"], "not to a third one");
    assert_eq!(scene.state.size(), (0, 0));
    // But what the broker gave us as well is ours.
    scene.new_worker(2, "");
    scene.coordinator(lent);
    scene.job("1", "echo");
    assert_eq!(scene.gone(2), none());
    assert_eq!(scene.other(1, 1), ["o: job 1"]);
}

#[test]
fn what_the_coordinator_does_not_take_stays_here() {
    let mut scene = Scene::new();
    scene.job("1", "echo");
    for _ in 0..20 {
        scene.state.coordinator_said(Scene::others(1, 1), scene.now);
        scene.not_lent();
    }
    assert_eq!(scene.new_worker(1, ""), ["worker 1: request_job 1"]);
    // For a broker that keeps nothing as well.
    let line = r#"{"id":"2","message":1}"#;
    scene.state.broker_said(Scene::note(line), scene.now);
    scene.state.coordinator_said(Scene::others(1, 1), scene.now);
    scene.not_lent();
    assert_eq!(
        scene.done(1, "1"),
        ["broker: response 1", "worker 1: request_job 2"]
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
fn whoever_may_have_lost_what_others_lent_begins_anew() {
    let mut scene = Scene::new();
    let mut runs = vec![scene.state.status().run];
    scene.state.coordinator_gone(scene.now);
    runs.push(scene.state.status().run);
    scene.state.coordinator_heard();
    runs.push(scene.state.status().run);
    scene.state.news();
    scene.state.broker_gone(scene.now);
    runs.push(scene.state.status().run);
    assert!(scene.state.news(), "the others have to learn of it");
    let count = runs.len();
    runs.dedup();
    assert_eq!(runs.len(), count, "each time another number");
}

#[test]
fn for_a_broker_that_keeps_nothing_a_job_handed_on_is_forgotten() {
    let mut scene = Scene::new();
    scene.coordinator(r#"{"type":"queue_status","queues":[{"queue_name":"o","num_workers":2}]}"#);
    let line = r#"{"id":"1","message":1}"#;
    scene.state.broker_said(Scene::note(line), scene.now);
    assert_eq!(scene.said(), ["o: job 1"]);
    assert_eq!(scene.state.size(), (0, 0));
}

#[test]
fn a_queue_that_does_not_tell_who_is_free_gets_only_what_nobody_here_can_do() {
    let mut scene = Scene::new();
    scene.coordinator(r#"{"type":"queue_status","queues":[{"queue_name":"o","num_workers":2}]}"#);
    scene.new_worker(1, "");
    scene.job("1", "echo");
    assert_eq!(scene.job("2", "echo"), none());
    assert_eq!(scene.gone(1), ["o: job 1", "o: job 2"]);
}

#[test]
fn a_queue_that_is_done_before_it_tells_gets_more_all_the_same() {
    let mut scene = Scene::new();
    scene.other(1, 1);
    for number in 0..5 {
        let line = format!(r#"{{"id":"{number}","message":1}}"#);
        scene.state.broker_said(Scene::note(&line), scene.now);
        assert_eq!(scene.said(), [format!("o: job {number}")]);
        assert_eq!(scene.other(1, 1), none());
        assert_eq!(
            scene.other(1, 1),
            none(),
            "its numbers are the same as before"
        );
    }
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
