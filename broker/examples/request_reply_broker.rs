//! A request-reply broker: clients ask for a service by name, workers offer it, and neither knows where the other is.
//!
//! `cargo run -p broker --example request_reply_broker -- broker`, `… -- worker` and `… -- client`, with `turno registry`
//! running. Written up in docs/patterns/request-reply-broker.md.

#![allow(missing_docs, reason = "an example")]

mod common;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use broker::{
    client::Client,
    core::Limits,
    exchange::Manner,
    server::{Config, Server},
    worker::{self, Offer, Outcome as Done},
};
use common::{ANY_PORT, Listed, MAX_BODY, Outcome, bytes, find, role, text};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const NAME: &str = "example-broker";
const SERVICE: &str = "reverse";
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    match role().as_str() {
        "broker" => serve().await,
        "worker" => work().await,
        "client" => ask().await,
        _ => Err("say which: broker, worker or client".into()),
    }
}

async fn serve() -> Outcome {
    let server = Server::start(Config {
        front: vec![ANY_PORT.to_owned()],
        back: Vec::new(),
        limits: Limits::default(),
        manner: Manner::default(),
        drain: PATIENCE,
        guard: None,
        logger_pass: None,
        logger: None,
        federation: None,
        data_dir: None,
    })
    .await?;
    let listed = Listed::new(NAME, &server.front()[0]).await?;
    // It has served when somebody was answered and everybody has gone.
    let mut status = server.status();
    status
        .wait_for(|it| it.counters.answered > 0 && it.census.workers == 0)
        .await?;
    listed.leave().await?;
    server.stop().await?;
    Ok(())
}

async fn work() -> Outcome {
    let offer = Offer {
        services: vec![SERVICE.to_owned()],
        capacity: 1,
        max_body: MAX_BODY,
        drain: PATIENCE,
        pass: None,
    };
    let stop = CancellationToken::new();
    let last = stop.clone();
    let handler: worker::Handler = Arc::new(move |job| {
        let last = last.clone();
        Box::pin(async move {
            let question = text(&job.body.concat());
            if question == "stop" {
                last.cancel();
            }
            Done::Done(vec![bytes(&question.chars().rev().collect::<String>())])
        })
    });
    let brokers = watch::channel(BTreeSet::from([find(NAME).await?])).1;
    worker::run(offer, handler, brokers, stop).await?;
    Ok(())
}

async fn ask() -> Outcome {
    let brokers = watch::channel(BTreeSet::from([find(NAME).await?])).1;
    let client = Client::new(brokers, MAX_BODY);
    for question in ["one", "two", "three", "stop"] {
        // A service that nobody serves yet is an error; a client that can wait asks again.
        let answer = loop {
            match client.ask(SERVICE, vec![bytes(question)], PATIENCE).await {
                Ok(answer) => break answer,
                Err(error) => println!("{question}: {error}: asking again"),
            }
        };
        println!("{question} -> {}", text(&answer.concat()));
    }
    Ok(())
}
