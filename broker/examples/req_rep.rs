//! Request and reply: a client asks, a server answers, and a client whose server dies asks the next one.
//!
//! `cargo run -p broker --example req_rep -- server` and `… -- client`, with `turno registry` running. Written up in
//! docs/patterns/req-rep.md.

#![allow(missing_docs, reason = "an example")]

mod common;

use std::time::Duration;

use broker::zsock::{Dealer, DealerEvent, Router, RouterEvent};
use common::{ANY_PORT, Listed, MAX_BODY, Outcome, bytes, find, role, text};

const NAME: &str = "example-req-rep";
/// No answer within this time: the server is taken for dead, and the request is asked again.
const PATIENCE: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    match role().as_str() {
        "server" => server().await,
        "client" => client().await,
        _ => Err("say which: server or client".into()),
    }
}

/// Answers everything in capital letters, until it is asked to stop.
async fn server() -> Outcome {
    let mut socket = Router::bind(&[ANY_PORT.to_owned()], MAX_BODY).await?;
    let listed = Listed::new(NAME, &socket.bound()[0]).await?;
    loop {
        if let RouterEvent::Message(client, mut frames) = socket.event().await? {
            // What stands before the last frame is the envelope, and goes back as it came.
            let question = text(&frames.pop().unwrap_or_default());
            frames.push(bytes(&question.to_uppercase()));
            if socket.try_send(client, frames).is_err() {
                println!("a client has left without its answer");
            }
            if question == "stop" {
                break;
            }
        }
    }
    listed.leave().await?;
    socket.close().await;
    Ok(())
}

/// Asks four things, one after the other, then stops the server.
async fn client() -> Outcome {
    for question in ["one", "two", "three", "four", "stop"] {
        println!("{question} -> {}", ask(question).await?);
    }
    Ok(())
}

/// Asks until there is an answer. A new socket for each try: an answer that comes late cannot be taken for another's.
async fn ask(question: &str) -> Result<String, Box<dyn std::error::Error>> {
    loop {
        let mut socket = Dealer::connect(&find(NAME).await?, MAX_BODY).await?;
        let answer = async {
            loop {
                match socket.event().await? {
                    DealerEvent::Up => socket.try_send(vec![bytes(""), bytes(question)])?,
                    DealerEvent::Down => return Err("the server is gone".into()),
                    DealerEvent::Message(frames) => {
                        return Ok::<_, Box<dyn std::error::Error>>(text(
                            frames.last().map_or(&[], |it| it),
                        ));
                    }
                }
            }
        };
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => {
                socket.close().await;
                return Ok(answer);
            }
            Ok(Err(why)) => println!("{why}: asking again"),
            Err(_) => println!("no answer: asking again"),
        }
    }
}
