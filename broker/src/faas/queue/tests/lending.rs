//! Jobs that other queues have workers for, and those of other queues.

use super::*;

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
