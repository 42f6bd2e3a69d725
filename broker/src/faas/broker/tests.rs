//! The broker's decisions, as statements: what is sent to whom when this or that happens.

use std::time::{Duration, Instant};

use super::state::{Act, Limits, State};
use crate::{faas::message::Note, zsock::Link};

struct Scene {
    state: State,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self {
            state: State::new(limits),
            now: Instant::now(),
        }
    }

    /// What is to be sent now, a line for each.
    fn said(&mut self) -> Vec<String> {
        let line = |act: Act| match act {
            Act::Queue { topic, note } => format!(
                "{topic}: {} {}",
                note.kind.as_deref().unwrap_or("job"),
                note.id.unwrap_or_default()
            ),
            Act::Front { front, note } => format!(
                "{}: {} {}",
                front.as_deref().unwrap_or("all fronts"),
                note.id.unwrap_or_default(),
                note.code.map_or("ok".to_owned(), |code| code.to_string())
            ),
            Act::Worker { worker, note } => {
                format!("worker {}: {}", worker.0, note.queue_ip.unwrap_or_default())
            }
        };
        self.state.take().into_iter().map(line).collect()
    }

    fn note(line: &str) -> Note {
        Note::read(line.as_bytes()).expect("a message")
    }

    fn ask(&mut self, id: &str) -> Vec<String> {
        let line = format!(r#"{{"id":"{id}","message":1,"front":"f"}}"#);
        self.state.request(Self::note(&line), self.now);
        self.said()
    }

    fn queue(&mut self, link: u64, name: &str, ours: bool) -> Vec<String> {
        let who = if ours {
            format!(r#","queue_name":"{name}""#)
        } else {
            String::new()
        };
        let line = format!(r#"{{"type":"init_queue","ip_worker_to_queue":"tcp://{name}"{who}}}"#);
        self.state.queue_said(Self::note(&line), self.now);
        self.state.subscribed(Link(link), name.as_bytes(), self.now);
        self.said()
    }

    fn answer(&mut self, id: &str, from: &str) -> Vec<String> {
        let line =
            format!(r#"{{"type":"response","id":"{id}","message":1,"queue_name":"{from}"}}"#);
        self.state.queue_said(Self::note(&line), self.now);
        self.said()
    }

    fn gone(&mut self, link: u64) -> Vec<String> {
        self.state.gone(Link(link), self.now);
        self.said()
    }

    fn wait(&mut self, time: Duration) -> Vec<String> {
        self.now += time;
        self.state.tick(self.now);
        self.said()
    }

    fn worker(&mut self, link: u64) -> Vec<String> {
        self.state.asked(Link(link));
        self.said()
    }
}

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn queues_take_turns() {
    let mut scene = Scene::new();
    for (link, name) in [(1, "a"), (2, "b"), (3, "c")] {
        assert_eq!(scene.queue(link, name, true), none());
    }
    for (id, to) in [("1", "a"), ("2", "b"), ("3", "c"), ("4", "a")] {
        assert_eq!(scene.ask(id), [format!("{to}: job {id}")]);
    }
}

#[test]
fn a_request_waits_for_the_first_queue() {
    let mut scene = Scene::new();
    assert_eq!(scene.ask("1"), none());
    assert_eq!(scene.queue(1, "a", true), ["a: job 1"]);
    assert_eq!(scene.answer("1", "a"), ["f: 1 ok"]);
}

#[test]
fn what_a_lost_queue_had_goes_to_others_in_its_order() {
    let mut scene = Scene::new();
    scene.queue(1, "a", true);
    scene.ask("1");
    scene.ask("2");
    scene.now += Duration::from_millis(1);
    scene.ask("3");
    scene.answer("2", "a");
    scene.queue(2, "b", true);
    assert_eq!(scene.gone(1), ["b: job 1", "b: job 3"]);
    assert_eq!(scene.gone(2), none());
    assert_eq!(scene.queue(3, "c", true), ["c: job 1", "c: job 3"]);
}

#[test]
fn a_queue_that_came_back_before_it_was_seen_to_go_gets_its_jobs_again() {
    let mut scene = Scene::new();
    scene.queue(1, "a", true);
    scene.ask("1");
    assert_eq!(scene.queue(2, "a", true), none());
    assert_eq!(scene.gone(1), ["a: job 1"]);
}

#[test]
fn a_request_that_comes_again_is_run_once_and_answered_again() {
    let mut scene = Scene::new();
    scene.queue(1, "a", true);
    assert_eq!(scene.ask("1"), ["a: job 1"]);
    assert_eq!(scene.ask("1"), none());
    assert_eq!(scene.answer("1", "a"), ["f: 1 ok"]);
    assert_eq!(scene.answer("1", "a"), none(), "the first answer counts");
    assert_eq!(scene.ask("1"), ["f: 1 ok"]);
}

#[test]
fn a_queue_learns_that_another_answered_what_it_keeps() {
    let mut scene = Scene::new();
    scene.queue(1, "a", true);
    scene.ask("1");
    assert_eq!(scene.answer("1", "b"), ["a: answered 1", "f: 1 ok"]);
}

#[test]
fn an_answer_of_a_time_before_goes_to_all() {
    let mut scene = Scene::new();
    assert_eq!(scene.answer("1", "a"), ["all fronts: 1 ok"]);
    assert_eq!(
        scene.ask("1"),
        ["f: 1 ok"],
        "its front end asks the new broker"
    );
}

#[test]
fn a_queue_that_may_lose_jobs_has_them_for_a_time_only() {
    let mut scene = Scene::new();
    scene.queue(1, "old", false);
    scene.ask("1");
    assert_eq!(scene.wait(Duration::from_secs(29)), none());
    assert_eq!(scene.wait(Duration::from_secs(2)), ["old: job 1"]);
    let mut scene = Scene::new();
    scene.queue(1, "a", true);
    scene.ask("1");
    assert_eq!(scene.wait(Duration::from_secs(60)), none());
}

#[test]
fn time_and_room_have_an_end() {
    let mut scene = Scene::with(Limits {
        requests: 2,
        ..Limits::default()
    });
    scene.ask("1");
    scene.ask("2");
    assert_eq!(scene.ask("3"), ["f: 3 429"]);
    let mut late = scene.wait(Duration::from_secs(301));
    late.sort();
    assert_eq!(late, ["f: 1 504", "f: 2 504"]);
    assert_eq!(scene.state.size(), (0, 0));
    assert_eq!(scene.queue(1, "a", true), none(), "nobody waits any more");
}

#[test]
fn what_cannot_be_sent_waits() {
    let mut scene = Scene::new();
    scene.queue(1, "a", true);
    scene.ask("1");
    scene.state.unpublished("1");
    assert_eq!(scene.wait(Duration::from_millis(100)), ["a: job 1"]);
}

#[test]
fn an_answer_that_a_front_end_does_not_take_is_tried_again() {
    let mut scene = Scene::new();
    scene.queue(1, "a", true);
    let unsent = |scene: &mut Scene, id: &str| {
        let note = Scene::note(&format!(r#"{{"id":"{id}"}}"#));
        scene.state.unsent("f".to_owned(), &note);
    };
    let again = |scene: &mut Scene| scene.state.again("f").and_then(|note| note.id);
    for id in ["1", "2"] {
        scene.ask(id);
        scene.answer(id, "a");
        unsent(&mut scene, id);
        unsent(&mut scene, id); // it asked once more
    }
    assert_eq!(scene.wait(Duration::from_millis(100)), none());
    assert_eq!(scene.state.behind(), ["f"]);
    // It takes the first and not the second.
    assert_eq!(again(&mut scene).as_deref(), Some("1"));
    assert_eq!(again(&mut scene).as_deref(), Some("2"));
    assert_eq!(again(&mut scene), None);
    unsent(&mut scene, "2");
    scene.wait(Duration::from_millis(100));
    assert_eq!(again(&mut scene).as_deref(), Some("2"));
    scene.wait(Duration::from_millis(100));
    assert!(scene.state.behind().is_empty(), "it has all");
    unsent(&mut scene, "1");
    scene.wait(Duration::from_secs(90));
    assert!(scene.state.behind().is_empty(), "not for ever");
}

#[test]
fn workers_are_spread_over_the_queues_that_are_there() {
    let mut scene = Scene::new();
    assert_eq!(scene.worker(7), none(), "there is none yet");
    assert_eq!(scene.queue(1, "a", true), ["worker 7: tcp://a"]);
    scene.queue(2, "b", false);
    let asked: Vec<String> = (8..11).flat_map(|link| scene.worker(link)).collect();
    assert_eq!(
        asked,
        [
            "worker 8: tcp://b",
            "worker 9: tcp://a",
            "worker 10: tcp://b"
        ]
    );
    scene.gone(1);
    assert_eq!(scene.worker(11), ["worker 11: tcp://b"]);
}

#[test]
fn what_is_no_request_is_dropped() {
    let mut scene = Scene::new();
    scene.queue(1, "a", true);
    for line in [r#"{"id":"x"}"#, r#"{"type":"response"}"#, "{}"] {
        scene.state.request(Scene::note(line), scene.now);
        scene.state.queue_said(Scene::note(line), scene.now);
    }
    assert_eq!(scene.said(), none());
}
