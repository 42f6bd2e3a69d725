//! Whole conversations, frame by frame, of every kind of peer with every other; and frames that are almost right.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::dialect::testing::{frames, text};

/// What an exchange sends, message by message, as `PEER> FRAMES`.
struct Scene {
    exchange: Exchange,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        Self {
            exchange: Exchange::new(Limits::default(), Manner::default(), 0x1f),
            now: Instant::now(),
        }
    }

    fn say(&mut self, port: Port, peer: u64, message: &str) -> Vec<String> {
        let acts = self
            .exchange
            .message(port, Peer(peer), frames(message), self.now);
        acts.into_iter().filter_map(sent).collect()
    }

    fn front(&mut self, peer: u64, message: &str) -> Vec<String> {
        self.say(Port::Front, peer, message)
    }

    fn back(&mut self, peer: u64, message: &str) -> Vec<String> {
        self.say(Port::Back, peer, message)
    }
}

fn sent(act: Act) -> Option<String> {
    match act {
        Act::Send { peer, frames, .. } => Some(format!("{}> {}", peer.0, text(&frames))),
        _ => None,
    }
}

#[test]
fn a_bare_client_and_the_guides_worker() {
    let mut scene = Scene::new();
    assert!(scene.front(1, "|hello").is_empty());
    assert_eq!(scene.front(9, "|READY"), ["9> |000000000000001f||hello"]);
    assert_eq!(scene.front(9, "|000000000000001f||world"), ["1> |world"]);
    // Another client, with correlation or without any delimiter.
    assert_eq!(
        scene.front(2, "corr||hello"),
        ["9> |0000000000000020||hello"]
    );
    assert_eq!(scene.front(9, "|0000000000000020||x"), ["2> corr||x"]);
    assert_eq!(scene.front(3, "hello"), ["9> |0000000000000021||hello"]);
    assert_eq!(scene.front(9, "|0000000000000021||x"), ["3> x"]);
}

#[test]
fn workers_on_their_own_port_in_both_variants() {
    for (first, request, answer) in [
        ("||", "9> |000000000000001f|c-1", "|000000000000001f|C-1"),
        ("|||", "9> |000000000000001f||c-1", "|000000000000001f||C-1"),
    ] {
        let mut scene = Scene::new();
        assert!(scene.back(9, first).is_empty());
        assert_eq!(scene.front(1, "|c-1"), [request]);
        assert_eq!(scene.back(9, answer), ["1> |C-1"]);
    }
}

#[test]
fn every_mdp_client_gets_its_own_shape_from_every_worker() {
    let clients = [
        ("|MDPC01|echo|hi", "1> |MDPC01|echo|HI"),
        ("MDPC02|\u{1}|echo|hi", "1> MDPC02|\u{3}|echo|HI"),
        ("|MDPC02|\u{2}|echo|hi", "1> |MDPC02|\u{4}|HI"),
        ("|MDPC02|echo|hi", "1> |MDPC02|echo|HI"),
    ];
    let workers = [
        (
            "|MDPW01|\u{1}|echo",
            "9> |MDPW01|\u{2}|000000000000001f||hi",
            "|MDPW01|\u{3}|000000000000001f||HI",
        ),
        (
            "MDPW02|\u{1}|echo",
            "9> MDPW02|\u{2}|000000000000001f||hi",
            "MDPW02|\u{4}|000000000000001f||HI",
        ),
        (
            "|MDPW02|\u{1}|echo",
            "9> |MDPW02|\u{2}|000000000000001f||hi",
            "|MDPW02|\u{4}|000000000000001f||HI",
        ),
    ];
    for (request, reply) in clients {
        for (offer, job, answer) in workers {
            let mut scene = Scene::new();
            assert!(scene.front(9, offer).is_empty());
            assert_eq!(scene.front(1, request), [job]);
            assert_eq!(scene.front(9, answer), [reply]);
        }
    }
}

#[test]
fn mdp_heartbeats_disconnects_and_management() {
    let mut scene = Scene::new();
    assert_eq!(
        scene.front(9, "|MDPW01|\u{4}"),
        ["9> |MDPW01|\u{5}"],
        "not known: offer again"
    );
    scene.front(9, "|MDPW01|\u{1}|echo");
    assert!(scene.front(9, "|MDPW01|\u{4}").is_empty());
    assert_eq!(
        scene.front(1, "|MDPC01|mmi.service|echo"),
        ["1> |MDPC01|mmi.service|200"]
    );
    assert_eq!(
        scene.front(1, "|MDPC01|mmi.service|nope"),
        ["1> |MDPC01|mmi.service|404"]
    );
    assert_eq!(
        scene.front(1, "|MDPC01|mmi.other|x"),
        ["1> |MDPC01|mmi.other|501"]
    );
    scene.now += Duration::from_secs(1);
    let acts = scene.exchange.tick(scene.now);
    let beats: Vec<_> = acts.into_iter().filter_map(sent).collect();
    assert_eq!(beats, ["9> |MDPW01|\u{4}"]);
    scene.front(9, "|MDPW01|\u{5}");
    assert_eq!(
        scene.front(1, "|MDPC01|mmi.service|echo"),
        ["1> |MDPC01|mmi.service|404"]
    );
}

#[test]
fn the_native_protocol_from_request_to_answer() {
    let mut scene = Scene::new();
    assert_eq!(
        scene.front(9, "ZWW1|\u{1}|\u{2}|echo|img.*"),
        [
            "9> ZWW1|\u{a}|{\"hb_ms\":1000,\"lease_ms\":30000,\"max_body\":16777216,\"broker\":\"mq\"}"
        ]
    );
    let job = |id: char, body: &str| {
        format!("9> ZWW1|\u{2}|\0\0\0\0\0\0\0{id}|echo|id-1|\u{1}|{{\"deadline_ms\":5000}}|{body}")
    };
    let headers = "{\"timeout_ms\":5000,\"ack\":true,\"stream\":true}";
    assert_eq!(
        scene.front(1, &format!("|ZWC1|\u{1}|echo|id-1|{headers}|hi")),
        ["1> |ZWC1|\u{5}|id-1".to_owned(), job('\u{1f}', "hi")]
    );
    assert_eq!(
        scene.front(9, "ZWW1|\u{3}|\0\0\0\0\0\0\0\u{1f}|part"),
        ["1> |ZWC1|\u{2}|id-1|part"]
    );
    assert_eq!(
        scene.front(9, "ZWW1|\u{4}|\0\0\0\0\0\0\0\u{1f}|end"),
        ["1> |ZWC1|\u{3}|id-1|200||end"]
    );
    assert_eq!(
        scene.front(9, "ZWW1|\u{7}"),
        ["9> ZWW1|\u{8}"],
        "nothing is on the way"
    );
}

#[test]
fn errors_in_each_language() {
    let mut scene = Scene::new();
    assert_eq!(
        scene.front(1, "ZWC1|\u{1}|a*|id|"),
        ["1> ZWC1|\u{4}|id|400||not a name of a service"]
    );
    assert_eq!(
        scene.front(1, "ZWC1|\u{1}|a|id|{"),
        ["1> ZWC1|\u{4}|id|400||the headers are not a JSON object as expected"]
    );
    assert_eq!(
        scene.front(1, "ZWC1|\u{9}"),
        ["1> ZWC1|\u{4}||400||not a command of a client"]
    );
    let until = scene.now;
    scene.exchange.drain(until, scene.now);
    assert_eq!(
        scene.front(1, "ZWC1|\u{1}|a|id|"),
        ["1> ZWC1|\u{4}|id|503|{\"retry_after_ms\":250}|this broker is leaving"]
    );
    assert_eq!(scene.front(2, "|hello"), ["2> |!ERR|503"]);
    assert!(
        scene.front(3, "|MDPC01|echo|hi").is_empty(),
        "the protocol has no errors"
    );
}

#[test]
fn clients_have_no_business_on_the_workers_port() {
    let mut scene = Scene::new();
    assert!(scene.back(1, "|hello").is_empty());
    assert!(scene.back(1, "|ZWC1|\u{1}|a|id|").is_empty());
    assert_eq!(scene.exchange.garbage(), 2);
    assert!(scene.back(9, "|MDPW01|\u{1}|default").is_empty());
    assert_eq!(
        scene.front(1, "|x").len(),
        1,
        "an MDP worker may use it as well"
    );
}

/// Frames that are likely to be almost right.
fn frame() -> impl Strategy<Value = Bytes> {
    let words: &[&[u8]] = &[
        b"",
        b"",
        b"ZWC1",
        b"ZWW1",
        b"MDPC01",
        b"MDPC02",
        b"MDPW01",
        b"MDPW02",
        b"READY",
        b"echo",
        b"mmi.service",
        b"{}",
        b"{\"timeout_ms\":1}",
        b"000000000000001f",
        b"\0\0\0\0\0\0\0\x1f",
        b"500",
    ];
    prop_oneof![
        6 => proptest::sample::select(words).prop_map(Bytes::from_static),
        4 => (0..12_u8).prop_map(|command| Bytes::copy_from_slice(&[command])),
        1 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from),
    ]
}

proptest! {
    #[test]
    fn no_frames_make_it_panic(
        messages in proptest::collection::vec(
            (any::<bool>(), 1..6_u64, proptest::collection::vec(frame(), 0..9), 0..2_000_u64), 1..60)
    ) {
        let mut exchange = Exchange::new(Limits::default(), Manner::default(), 0x1f);
        let mut now = Instant::now();
        for (back, peer, frames, ms) in messages {
            let port = if back { Port::Back } else { Port::Front };
            exchange.message(port, Peer(peer), frames, now);
            now += Duration::from_millis(ms);
        }
    }
}
