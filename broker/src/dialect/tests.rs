//! The native protocol read back from what it writes, and what no reader may accept.

use proptest::prelude::*;

use super::{
    testing::{frames, text},
    zwp::*,
};
use crate::core::message::Delivery;
use bytes::Bytes;
use std::time::Duration;

#[test]
fn clients_and_brokers_read_what_the_other_writes() {
    for ask in [
        Ask::Request {
            service: "echo".into(),
            id: "id".into(),
            headers: AskHeaders {
                timeout_ms: Some(5),
                retry: Some("never".to_owned()),
                ack: true,
                stream: true,
                hop: 1,
                trace: Some("00-1-2-01".to_owned()),
            },
            body: frames("a||b"),
        },
        Ask::Request {
            service: "echo".into(),
            id: "id".into(),
            headers: AskHeaders::default(),
            body: Vec::new(),
        },
        Ask::Cancel { id: "id".into() },
    ] {
        assert_eq!(Ask::read(ask.write()), Ok(ask));
    }
    for answer in [
        Answer::Accepted { id: "id".into() },
        Answer::Partial {
            id: "id".into(),
            body: frames("a|b"),
        },
        Answer::Final {
            id: "id".into(),
            body: frames(""),
        },
        Answer::Error {
            id: "id".into(),
            code: 429,
            headers: AnswerHeaders {
                retry_after_ms: Some(250),
                maybe_executed: true,
            },
            text: "busy".into(),
        },
    ] {
        assert_eq!(Answer::read(answer.clone().write()), Ok(answer));
    }
}

#[test]
fn workers_and_brokers_read_what_the_other_writes() {
    let delivery = Delivery(u64::MAX - 1);
    for report in [
        Report::Ready {
            capacity: 4,
            services: frames("echo|img.*"),
        },
        Report::Partial(delivery, frames("a")),
        Report::Final(delivery, frames("a|b")),
        Report::Fail {
            delivery,
            code: 422,
            retryable: true,
            text: "no".into(),
        },
        Report::Heartbeat(vec![delivery, Delivery(2)]),
        Report::Extend(delivery, Duration::from_millis(1500)),
        Report::Drain,
        Report::Bye,
    ] {
        assert_eq!(Report::read(report.clone().write()), Ok(report));
    }
    for order in [
        Order::Welcome(WelcomeHeaders {
            hb_ms: 1,
            lease_ms: 2,
            max_body: 3,
            broker: "b".to_owned(),
        }),
        Order::Request {
            delivery,
            service: "echo".into(),
            id: "".into(),
            attempt: 2,
            headers: JobHeaders {
                deadline_ms: 9,
                trace: None,
            },
            body: frames("x|y"),
        },
        Order::Heartbeat,
        Order::Drain,
        Order::Bye,
    ] {
        assert_eq!(Order::read(order.clone().write()), Ok(order));
    }
}

#[test]
fn what_is_not_a_message_is_refused() {
    for message in [
        "ZWW1",
        "ZWW1|",
        "ZWW1|\u{1}",
        "ZWW1|\u{1}|12",
        "ZWW1|\u{4}",
        "ZWW1|\u{4}|short",
        "ZWW1|\u{5}|12345678|x|\u{1}|why",
        "ZWW1|\u{5}|12345678|200|\u{1}|why",
        "ZWW1|\u{6}|short",
        "ZWW1|\u{9}|12345678|-1",
        "ZWW1|\u{b}",
    ] {
        assert!(Report::read(frames(message)).is_err(), "{message:?}");
    }
    for message in [
        "ZWC1",
        "ZWC1|\u{1}|echo",
        "ZWC1|\u{1}|echo|id",
        "ZWC1|\u{1}|echo|id|[1]",
        "ZWC1|\u{3}",
    ] {
        assert!(Ask::read(frames(message)).is_err(), "{message:?}");
    }
    for message in ["ZWC1|\u{4}|id|x||", "ZWC1|\u{3}|id", "ZWW1|\u{5}|id", ""] {
        assert!(Answer::read(frames(message)).is_err(), "{message:?}");
    }
}

#[test]
fn unknown_headers_are_ignored_and_long_ones_refused() {
    let ask = |headers: &str| Ask::read(frames(&format!("ZWC1|\u{1}|s|id|{headers}|b")));
    let Ok(Ask::Request { headers, .. }) = ask("{\"new\":[1,2],\"timeout_ms\":7}") else {
        panic!("it is a request")
    };
    assert_eq!(headers.timeout_ms, Some(7));
    assert!(ask(&format!("{{\"trace\":\"{}\"}}", "x".repeat(5_000))).is_err());
    assert_eq!(text(&frames("a||b")), "a||b");
}

proptest! {
    #[test]
    fn arbitrary_frames_are_read_or_refused(
        message in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 0..9),
        head in 0..5_usize,
    ) {
        let mut message: Vec<Bytes> = message.into_iter().map(Bytes::from).collect();
        let heads: [&[u8]; 5] = [b"", CLIENT, WORKER, b"MDPC02", b"MDPW01"];
        message.insert(0, Bytes::from_static(heads[head]));
        // Whatever a reader takes, the writer can say again.
        if let Ok(ask) = Ask::read(message.clone()) {
            prop_assert_eq!(Ask::read(ask.write()), Ok(ask));
        }
        if let Ok(report) = Report::read(message.clone()) {
            prop_assert_eq!(Report::read(report.clone().write()), Ok(report));
        }
        let _ = (Answer::read(message.clone()), Order::read(message.clone()));
        let _ = (super::read_front(message.clone(), None), super::read_back(message, None));
    }
}
