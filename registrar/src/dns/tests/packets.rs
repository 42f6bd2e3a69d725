//! Packets that are no good questions: what they get, and that none of them harms.

use std::sync::LazyLock;

use hickory_proto::op::Message;
use proptest::prelude::*;

use super::fixture::Fixture;
use super::show::Question;
use super::{Moment, Transport, respond};

static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::new);

fn asked(packet: &[u8]) -> Option<Vec<u8>> {
    let mut moment = Moment {
        time: 1,
        random: fastrand::Rng::with_seed(1),
    };
    respond(packet, &*FIXTURE, Transport::Udp, &mut moment)
}

fn question() -> Vec<u8> {
    Question::read("web.service.consul SRV udp 1232").packet()
}

#[test]
fn what_is_no_question_gets_a_bare_header_or_nothing() {
    let with = |changes: &[(usize, u8)]| {
        let mut packet = question();
        for (at, byte) in changes {
            packet[*at] = *byte;
        }
        asked(&packet)
    };
    // The header of an answer with this opcode and code, RD as asked.
    let bare = |opcode: u8, code: u8| {
        let question = question();
        let second = 0x80 | opcode << 3 | 1;
        Some(vec![
            question[0],
            question[1],
            second,
            code,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ])
    };
    assert_eq!(asked(&[]), None);
    assert_eq!(asked(&question()[..11]), None);
    assert_eq!(with(&[(2, 0x81)]), None, "an answer");
    assert_eq!(with(&[(2, 0x11)]), bare(2, 4), "a status request");
    assert_eq!(with(&[(2, 0x29)]), bare(5, 4), "an update");
    assert_eq!(with(&[(5, 0)]), bare(0, 1), "no question");
    assert_eq!(with(&[(5, 2)]), bare(0, 1), "two questions");
    assert_eq!(with(&[(7, 2)]), bare(0, 1), "answers");
    assert_eq!(with(&[(4, 255), (5, 255)]), bare(0, 1), "many questions");
    let cut = question();
    assert_eq!(asked(&cut[..cut.len() - 1]), bare(0, 1), "cut");
}

#[test]
fn any_class_is_answered_as_consul_does() {
    let mut packet = Question::read("six.service.consul AAAA").packet();
    let length = packet.len();
    for class in [3, 255] {
        packet[length - 1] = class;
        let answer = asked(&packet).expect("an answer");
        let answer = Message::from_vec(&answer).expect("it can be read");
        assert_eq!(answer.answers.len(), 1, "class {class}");
    }
}

#[test]
fn a_name_that_points_at_itself_ends() {
    let mut packet = question();
    packet[12] = 0xc0;
    packet[13] = 12;
    assert!(asked(&packet).is_some());
}

proptest! {
    #[test]
    fn no_packet_harms(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = asked(&bytes);
    }

    #[test]
    fn no_change_to_a_question_harms(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut packet = question();
        for (at, byte) in changes {
            let at = at.index(packet.len());
            packet[at] = byte;
        }
        if let Some(answer) = asked(&packet) {
            prop_assert!(answer.len() >= 12);
            prop_assert_eq!(&answer[..2], &packet[..2], "the same id");
            prop_assert!(answer[2] & 0x80 != 0, "an answer");
            let limit = Message::from_vec(&packet).ok().and_then(|message| message.edns);
            let limit = limit.map_or(512, |edns| usize::from(edns.max_payload()).max(512));
            prop_assert!(answer.len() <= limit, "{} > {limit}", answer.len());
        }
    }

    #[test]
    fn any_name_is_answered(labels in prop::collection::vec("[a-z0-9_.\\-]{1,20}|service|node|addr|query|_tcp|dc1|consul|arpa|in-addr", 0..7), kind in 0_u16..260) {
        let mut packet = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in &labels {
            packet.push(label.len() as u8);
            packet.extend_from_slice(label.as_bytes());
        }
        packet.push(0);
        packet.extend_from_slice(&kind.to_be_bytes());
        packet.extend_from_slice(&[0, 1]);
        let answer = asked(&packet).expect("an answer");
        prop_assert!(Message::from_vec(&answer).is_ok());
    }
}
