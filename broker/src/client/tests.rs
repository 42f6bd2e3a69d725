//! Client, workers and brokers in one process: what one of them does when another goes.

use std::{collections::BTreeSet, time::Duration};

use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Client,
    series::{self, Body, Series},
};
use crate::{
    core::Limits,
    exchange::Manner,
    server::{Config, Server},
    worker::{self, Offer, builtin::Builtin},
};

/// No test waits longer for anything.
const LIMIT: Duration = Duration::from_secs(20);
const MAX_BODY: usize = 1024 * 1024;

async fn broker() -> Server {
    broker_with(Limits::default()).await
}

async fn broker_with(limits: Limits) -> Server {
    let config = Config {
        front: vec!["tcp://127.0.0.1:0".to_owned()],
        back: Vec::new(),
        limits,
        manner: Manner::default(),
        drain: Duration::from_secs(5),
        logger: None,
        federation: None,
        data_dir: None,
        guard: None,
        logger_pass: None,
    };
    Server::start(config).await.expect("it starts")
}

fn offer(service: &str) -> Offer {
    Offer {
        services: vec![service.to_owned()],
        capacity: 1,
        max_body: MAX_BODY,
        drain: Duration::from_secs(5),
        pass: None,
    }
}

fn series(count: u64, concurrency: usize) -> Series {
    Series {
        service: "up".to_owned(),
        body: Body::Numbered("c".to_owned()),
        count,
        concurrency,
        rate: None,
        timeout: LIMIT,
    }
}

#[tokio::test]
async fn requests_and_workers_move_to_the_broker_that_is_left() {
    let (first, second) = (broker().await, broker().await);
    let both = BTreeSet::from([first.front()[0].clone(), second.front()[0].clone()]);
    let (tell, brokers) = watch::channel(both);
    let stop = CancellationToken::new();
    let mut workers = Vec::new();
    for _ in 0..4 {
        let handler = Builtin::Sleep(Duration::from_millis(10)).handler();
        workers.push(tokio::spawn(worker::run(
            offer("up"),
            handler,
            brokers.clone(),
            stop.clone(),
        )));
    }
    let client = Client::new(brokers, MAX_BODY);
    let mut seen = BTreeSet::new();
    let mut leaving = Some(first);
    let work = series::run(&client, series(200, 8), &stop, |ended| {
        let answer = ended.result.as_ref().expect("every one is answered");
        assert_eq!(answer[0], ended.body, "its own answer");
        seen.insert(ended.body.clone());
        if seen.len() == 50
            && let Some(first) = leaving.take()
        {
            tell.send_modify(|known| {
                known.remove(&first.front()[0]);
            });
            tokio::spawn(first.stop());
        }
    });
    let summary = timeout(LIMIT, work).await.expect("in time");
    assert_eq!(
        (summary.answered, summary.failed, seen.len()),
        (200, 0, 200)
    );
    stop.cancel();
    for worker in workers {
        let ended = timeout(LIMIT, worker).await.expect("in time");
        ended.expect("no panic").expect("a clean end");
    }
    assert_eq!(second.status().borrow().counters.dead_letters, 0);
    second.stop().await.expect("a clean end");
}

#[tokio::test]
async fn what_nobody_serves_yet_is_asked_again_while_workers_move() {
    let grace = Duration::from_millis(50);
    let limits = || Limits {
        grace,
        ..Limits::default()
    };
    let (first, second) = (broker_with(limits()).await, broker_with(limits()).await);
    let left = BTreeSet::from([second.front()[0].clone()]);
    let both = BTreeSet::from([first.front()[0].clone(), second.front()[0].clone()]);
    let (_tell_workers, workers_know) = watch::channel(left.clone());
    let (tell, brokers) = watch::channel(both);
    let client = Client::new(brokers, MAX_BODY);
    let early = client.ask("up", vec!["x".into()], LIMIT).await;
    early.expect_err("both have told by now that nobody serves it");

    tell.send_replace(left);
    first.stop().await.expect("a clean end");
    let before = second.status().borrow().counters.failed;
    let asking = tokio::spawn(async move { client.ask("up", vec!["x".into()], LIMIT).await });
    let told = |it: &crate::server::Status| it.counters.failed > before;
    let mut status = second.status();
    let refused = timeout(LIMIT, status.wait_for(told)).await;
    refused.expect("in time").expect("it lives");
    let stop = CancellationToken::new();
    let handler = Builtin::Echo.handler();
    let worker = worker::run(offer("up"), handler, workers_know, stop.clone());
    let worker = tokio::spawn(worker);
    let answer = timeout(LIMIT, asking).await.expect("in time");
    let answer = answer.expect("no panic").expect("the worker has come");
    assert_eq!(answer, ["x"]);
    stop.cancel();
    worker.await.expect("no panic").expect("a clean end");
    second.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_client_waits_for_the_first_broker_and_is_told_what_went_wrong() {
    let (tell, brokers) = watch::channel(BTreeSet::new());
    let client = Client::new(brokers, MAX_BODY);
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.ask("nobody", vec!["x".into()], LIMIT).await }
    });
    let server = broker().await;
    tell.send_replace(BTreeSet::from([server.front()[0].clone()]));
    let refused = timeout(LIMIT, asking)
        .await
        .expect("in time")
        .expect("no panic");
    let refused = refused.expect_err("nobody serves it");
    assert_eq!(refused.to_string(), "404 no worker serves this");
    let short = Duration::from_millis(100);
    let late = client.ask("nobody", vec!["x".into()], short).await;
    assert!(late.is_err(), "{late:?}");
    server.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_client_says_if_there_was_no_broker_to_ask() {
    let nobody = BTreeSet::from(["tcp://127.0.0.1:1".to_owned()]);
    let (_tell, brokers) = watch::channel(nobody);
    let client = Client::new(brokers, MAX_BODY);
    let short = Duration::from_millis(100);
    let asked = client.ask("up", vec!["x".into()], short).await;
    let failure = asked.expect_err("nobody is there").to_string();
    assert_eq!(failure, "no broker was reached within 100ms");
}

#[tokio::test]
async fn a_rate_is_kept() {
    let server = broker().await;
    let (_tell, brokers) = watch::channel(BTreeSet::from([server.front()[0].clone()]));
    let stop = CancellationToken::new();
    let handler = Builtin::Upper.handler();
    let worker = tokio::spawn(worker::run(
        offer("up"),
        handler,
        brokers.clone(),
        stop.clone(),
    ));
    let client = Client::new(brokers, MAX_BODY);
    let series = Series {
        rate: Some(100.0),
        ..series(21, 4)
    };
    let summary = timeout(LIMIT, series::run(&client, series, &stop, |_| {}))
        .await
        .expect("in time");
    assert_eq!(summary.answered, 21);
    assert!(
        summary.took >= Duration::from_millis(200),
        "{:?}",
        summary.took
    );
    stop.cancel();
    worker.await.expect("no panic").expect("a clean end");
    server.stop().await.expect("a clean end");
}
