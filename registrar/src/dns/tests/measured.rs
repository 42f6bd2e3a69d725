//! The table: what a real Consul 1.8.7 answered to each question, and that ours does the same.

use super::fixture::Fixture;
use super::show::Question;
use super::{Moment, respond};

/// A question a line, its answer indented below. Lines that begin with `#` are for readers.
pub(super) const TABLE: &str = include_str!("measured.txt");

/// Each question with its answer.
pub(super) fn table() -> Vec<(Question, String)> {
    let mut table: Vec<(Question, String)> = Vec::new();
    for line in TABLE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        match (line.strip_prefix("  "), table.last_mut()) {
            (Some(line), Some((_, answer))) => {
                answer.push_str(line);
                answer.push('\n');
            }
            _ => table.push((Question::read(line), String::new())),
        }
    }
    table
}

/// What ours says to a question.
pub(super) fn ours(fixture: &Fixture, question: &Question) -> String {
    let mut moment = Moment::now();
    let answer = respond(&question.packet(), fixture, question.transport, &mut moment);
    question.show(&answer.expect("a question is answered"))
}

#[test]
fn every_answer_is_the_one_measured() {
    let fixture = Fixture::new();
    let table = table();
    assert!(table.len() >= 100, "{}", table.len());
    let mut differences = String::new();
    for (question, expected) in table {
        let found = ours(&fixture, &question);
        if found != expected {
            differences.push_str(&format!(
                "{}\nmeasured: {expected}ours:     {found}\n",
                question.line
            ));
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn the_order_is_shuffled_and_every_instance_comes_first_at_some_time() {
    let fixture = Fixture::new();
    let question = Question::read("many.service.consul A udp 1232");
    let mut moment = Moment {
        time: 1,
        random: fastrand::Rng::with_seed(7),
    };
    let mut first = std::collections::HashSet::new();
    for _ in 0..200 {
        let answer = respond(
            &question.packet(),
            &fixture,
            question.transport,
            &mut moment,
        );
        let answer = hickory_proto::op::Message::from_vec(&answer.expect("an answer"));
        first.insert(answer.expect("it can be read").answers[0].data.to_string());
    }
    assert_eq!(first.len(), 10);
}
