//! A broker with real sockets in this process; peers that nobody here wrote are in the conformance tests.

mod federated;

use std::time::Instant;

use bytes::Bytes;
use tokio::time::timeout;

use super::*;
use crate::{
    dialect::testing::{frames, text},
    zsock::{Dealer, DealerEvent, Pull},
};

/// No test waits longer for anything.
const LIMIT: Duration = Duration::from_secs(10);

fn config() -> Config {
    Config {
        front: vec!["tcp://127.0.0.1:0".to_owned()],
        back: vec!["tcp://127.0.0.1:0".to_owned()],
        limits: Limits::default(),
        manner: Manner::default(),
        drain: Duration::from_secs(5),
        logger: None,
        federation: None,
        data_dir: None,
        guard: None,
        logger_pass: None,
    }
}

async fn connect(address: &str) -> Dealer {
    let mut dealer = Dealer::connect(address, 1024).await.expect("an address");
    let up = timeout(LIMIT, dealer.event()).await.expect("in time");
    assert_eq!(up.expect("the socket lives"), DealerEvent::Up);
    dealer
}

fn say(dealer: &Dealer, message: &str) {
    dealer.try_send(frames(message)).expect("room");
}

async fn hear(dealer: &mut Dealer) -> String {
    loop {
        let event = timeout(LIMIT, dealer.event()).await.expect("in time");
        if let DealerEvent::Message(frames) = event.expect("the socket lives")
            && frames.get(1).is_none_or(|command| command.as_ref() != [6])
        {
            return text(&frames);
        }
    }
}

#[tokio::test]
async fn a_request_survives_the_worker_that_had_it() {
    let server = Server::start(config()).await.expect("it starts");
    let mut client = connect(&server.front()[0]).await;
    say(&client, "hello");
    let mut first = connect(&server.back()[0]).await;
    say(&first, "||");
    assert!(hear(&mut first).await.ends_with("|hello"));
    let mut second = connect(&server.back()[0]).await;
    say(&second, "||");
    let dies = Instant::now();
    first.close().await;
    let request = hear(&mut second).await;
    assert!(request.ends_with("|hello"));
    // Generous for a busy machine, and far below any heartbeat.
    assert!(
        dies.elapsed() < Duration::from_secs(1),
        "found out by the connection"
    );
    say(&second, &request.replace("hello", "world"));
    assert_eq!(hear(&mut client).await, "world");

    let status = server.status();
    server.stop().await.expect("a clean end");
    let counters = status.borrow().counters;
    assert_eq!((counters.answered, counters.requeued), (1, 1));
}

#[tokio::test]
async fn trace_lines_reach_the_logger_and_losses_are_counted() {
    let pull = Pull::bind("tcp://127.0.0.1:0", 4096)
        .await
        .expect("a free port");
    let (tell, logger) = watch::channel(None);
    let server = Server::start(Config {
        logger: Some(logger),
        ..config()
    });
    let server = server.await.expect("it starts");
    let mut worker = connect(&server.front()[0]).await;
    say(&worker, "|READY");
    let client = connect(&server.front()[0]).await;
    let mut status = server.status();
    // There is no logger yet: the first lines are kept, and then they are lost.
    while status.borrow_and_update().lines_lost == 0 {
        say(&client, "x");
        let request = hear(&mut worker).await;
        say(&worker, &request);
    }
    tell.send_replace(Some(pull.bound().to_owned()));
    let next = async || {
        let line = timeout(LIMIT, pull.receive()).await.expect("in time");
        let line: Vec<Bytes> = line.expect("the socket lives");
        let line: serde_json::Value = serde_json::from_slice(&line[0]).expect("JSON");
        assert_eq!(line["broker"], "mq");
        line
    };
    assert_eq!(next().await["event"], "worker-ready");
    // The first line of now says how many did not get through.
    say(&client, "x");
    let request = hear(&mut worker).await;
    say(&worker, &request);
    let mut kept = 1;
    let dropped = loop {
        match next().await["dropped"].as_u64() {
            Some(dropped) => break Some(dropped),
            None => kept += 1,
        }
    };
    assert_eq!(kept, 256);
    assert!(dropped.is_some_and(|dropped| dropped >= 1));
    server.stop().await.expect("a clean end");
}

#[tokio::test]
async fn it_does_not_start_where_it_cannot_listen() {
    let server = Server::start(config()).await.expect("it starts");
    let taken = Config {
        front: server.front().to_vec(),
        ..config()
    };
    let error = Server::start(taken).await.expect_err("the port is taken");
    assert!(
        error
            .to_string()
            .contains("cannot listen on tcp://127.0.0.1:"),
        "{error}"
    );
    server.stop().await.expect("a clean end");
}

#[tokio::test]
async fn what_it_holds_is_finished_before_it_stops() {
    let server = Server::start(config()).await.expect("it starts");
    let mut worker = connect(&server.front()[0]).await;
    say(&worker, "|READY");
    let mut client = connect(&server.front()[0]).await;
    say(&client, "x");
    let request = hear(&mut worker).await;
    let stopping = tokio::spawn(server.stop());
    // What is new is refused as soon as it has noticed.
    loop {
        say(&client, "y");
        if hear_within(&mut client, Duration::from_millis(50))
            .await
            .as_deref()
            == Some("!ERR|503")
        {
            break;
        }
        assert!(!stopping.is_finished(), "the first is not answered yet");
    }
    say(&worker, &request.replace('x', "X"));
    while hear(&mut client).await != "X" {}
    // Those that came before it noticed are finished too.
    while let Some(request) = hear_within(&mut worker, Duration::from_millis(200)).await {
        say(&worker, &request);
    }
    let ended = timeout(LIMIT, stopping).await.expect("in time");
    ended.expect("no panic").expect("a clean end");
}

async fn hear_within(dealer: &mut Dealer, limit: Duration) -> Option<String> {
    timeout(limit, hear(dealer)).await.ok()
}
