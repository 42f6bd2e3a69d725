//! A load-balancing broker in a page: the worker that has been free for longest gets the next request.
//!
//! What the broker crate does is this, and what is left out here: a worker that dies takes its request with it, a queue has
//! no limit, everything has the same name. `cargo run -p broker --example load_balancing_broker -- broker`, `… -- worker` (as
//! many as you like) and `… -- client`, with `turno registry` running. Written up in
//! docs/patterns/load-balancing-broker.md.

#![allow(missing_docs, reason = "an example")]

mod common;

use std::{collections::VecDeque, time::Duration};

use broker::zsock::{Dealer, DealerEvent, Link, Router, RouterEvent};
use bytes::Bytes;
use common::{ANY_PORT, Listed, MAX_BODY, Outcome, bytes, find, role, text};

const FRONT: &str = "example-lb-front";
const BACK: &str = "example-lb-back";
const REQUESTS: usize = 20;
/// A worker that gets nothing for so long takes the work for done.
const DONE: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    match role().as_str() {
        "broker" => broker().await,
        "worker" => worker().await,
        "client" => client().await,
        _ => Err("say which: broker, worker or client".into()),
    }
}

/// Serves until the last worker has gone.
async fn broker() -> Outcome {
    let mut front = Router::bind(&[ANY_PORT.to_owned()], MAX_BODY).await?;
    let mut back = Router::bind(&[ANY_PORT.to_owned()], MAX_BODY).await?;
    let clients = Listed::new(FRONT, &front.bound()[0]).await?;
    let workers = Listed::new(BACK, &back.bound()[0]).await?;
    let mut free: VecDeque<Link> = VecDeque::new();
    let mut waiting: VecDeque<(Link, Vec<Bytes>)> = VecDeque::new();
    let mut served = 0;
    loop {
        tokio::select! {
            event = front.event() => if let RouterEvent::Message(client, frames) = event? {
                waiting.push_back((client, frames));
            },
            event = back.event() => match event? {
                RouterEvent::Message(worker, frames) => {
                    // READY, or an answer: the client's number, then what it is to get.
                    if let [client, answer @ ..] = frames.as_slice() && !answer.is_empty() {
                        let client = Link(text(client).parse()?);
                        served += usize::from(front.try_send(client, answer.to_vec()).is_ok());
                    }
                    free.push_back(worker);
                }
                RouterEvent::Authenticated(..) => {}
                RouterEvent::Down(worker) => free.retain(|it| *it != worker),
            },
        }
        while let (Some(_), Some(_)) = (free.front(), waiting.front()) {
            let (Some(worker), Some((client, mut frames))) =
                (free.pop_front(), waiting.pop_front())
            else {
                break;
            };
            frames.insert(0, bytes(&client.0.to_string()));
            if back.try_send(worker, frames.clone()).is_err() {
                frames.remove(0);
                waiting.push_front((client, frames)); // the next worker gets it
            }
        }
        if served >= REQUESTS && back.links() == 0 {
            break;
        }
    }
    println!("{served} requests served");
    clients.leave().await?;
    workers.leave().await
}

async fn worker() -> Outcome {
    let mut socket = Dealer::connect(&find(BACK).await?, MAX_BODY).await?;
    let mut done = 0;
    while let Ok(event) = tokio::time::timeout(DONE, socket.event()).await {
        match event? {
            DealerEvent::Up => socket.try_send(vec![bytes("READY")])?,
            DealerEvent::Down => break,
            DealerEvent::Message(mut frames) => {
                let question = frames.pop().unwrap_or_default();
                tokio::time::sleep(Duration::from_millis(10)).await; // the work
                frames.push(bytes(&text(&question).to_uppercase()));
                socket.try_send(frames)?;
                done += 1;
            }
        }
    }
    println!("{done} requests done");
    socket.close().await;
    Ok(())
}

/// Asks everything at once; the answers come in any order.
async fn client() -> Outcome {
    let mut socket = Dealer::connect(&find(FRONT).await?, MAX_BODY).await?;
    let mut answers = 0;
    while answers < REQUESTS {
        match socket.event().await? {
            DealerEvent::Up => {
                for number in 0..REQUESTS {
                    socket.try_send(vec![bytes(""), bytes(&format!("request {number}"))])?;
                }
            }
            DealerEvent::Down => return Err("the broker is gone".into()),
            DealerEvent::Message(frames) => {
                println!("{}", text(frames.last().map_or(&[], |it| it)));
                answers += 1;
            }
        }
    }
    println!("{answers} answers");
    socket.close().await;
    Ok(())
}
