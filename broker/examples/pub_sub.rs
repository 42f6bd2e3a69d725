//! Publish and subscribe: one says, many hear, and who comes late or reads slowly is not forgotten.
//!
//! A late joiner first asks for everything there is (a snapshot), then follows; a number on each message tells which of the
//! two it knows already, and what it has missed. A slow subscriber loses the oldest messages, sees by the numbers that it
//! did, and takes a snapshot again. `cargo run -p broker --example pub_sub -- publisher`, `… -- subscriber` and `… -- slow`,
//! with `turno registry` running. Written up in docs/patterns/pub-sub.md.

#![allow(missing_docs, reason = "an example")]

mod common;

use std::{collections::BTreeMap, time::Duration};

use broker::zsock::{Dealer, DealerEvent, Pipe, PipeEvent, Router, RouterEvent};
use common::{ANY_PORT, Listed, MAX_BODY, Outcome, bytes, find, role, text};

const UPDATES: &str = "example-updates";
const SNAPSHOTS: &str = "example-snapshots";
const TOPIC: &str = "price";
/// Messages kept for a subscriber that does not read: then the oldest go.
const KEPT: u32 = 100;
/// The publisher says so much in all.
const LAST: u64 = 2_000;
/// Things that have a price.
const THINGS: u64 = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    match role().as_str() {
        "publisher" => publisher().await,
        "subscriber" => subscriber(Duration::ZERO).await,
        "slow" => subscriber(Duration::from_millis(500)).await,
        _ => Err("say which: publisher, subscriber or slow".into()),
    }
}

/// Says a price a millisecond, and answers who asks for all of them, until everybody has gone.
async fn publisher() -> Outcome {
    let mut updates = Pipe::publish_newest(ANY_PORT, MAX_BODY, KEPT).await?;
    let mut snapshots = Router::bind(&[ANY_PORT.to_owned()], MAX_BODY).await?;
    let asked = Listed::new(SNAPSHOTS, &snapshots.bound()[0]).await?;
    let said = Listed::new(UPDATES, updates.bound()).await?;
    let mut prices: BTreeMap<String, u64> = BTreeMap::new();
    let (mut number, mut came) = (0, false);
    let mut clock = tokio::time::interval(Duration::from_millis(1));
    loop {
        tokio::select! {
            _ = clock.tick(), if number < LAST => {
                number += 1;
                let (thing, price) = (format!("thing-{}", number % THINGS), number);
                let update = vec![bytes(TOPIC), bytes(&number.to_string()), bytes(&format!("{thing}={price}"))];
                prices.insert(thing, price);
                // A subscriber without room loses its oldest message; nobody else waits for it.
                let _ = updates.try_send(update);
            }
            event = snapshots.event() => if let RouterEvent::Message(who, mut frames) = event? {
                frames.pop();
                let all: Vec<String> = prices.iter().map(|(thing, price)| format!("{thing}={price}")).collect();
                frames.extend([bytes(&number.to_string()), bytes(&all.join(" "))]);
                let _ = snapshots.try_send(who, frames); // it has left, then
            },
            event = updates.event() => { event?; }
        }
        came |= updates.links() > 0;
        if number == LAST && came && updates.links() == 0 {
            break;
        }
    }
    println!("{number} updates said");
    asked.leave().await?;
    said.leave().await
}

/// Follows the prices to the last update; `pause` is how long it does not read after the first.
async fn subscriber(pause: Duration) -> Outcome {
    // First subscribe, then ask: what is said in between comes twice, and nothing is missed.
    let mut updates = Pipe::subscribe(&find(UPDATES).await?, MAX_BODY, TOPIC).await?;
    let mut prices = BTreeMap::new();
    let (mut known, mut lost, mut first) = (0, 0, true);
    let mut behind = true;
    while known < LAST {
        if behind {
            known = snapshot(&mut prices).await?;
            println!("snapshot at {known}");
            behind = false;
            continue;
        }
        let PipeEvent::Message(frames) = updates.event().await? else {
            continue;
        };
        let [_, number, update] = frames.as_slice() else {
            return Err("not an update".into());
        };
        let number: u64 = text(number).parse()?;
        if std::mem::take(&mut first) {
            tokio::time::sleep(pause).await;
        }
        if number <= known {
            continue; // the snapshot had it
        }
        if number > known + 1 {
            lost += number - known - 1;
            behind = true;
            continue;
        }
        let update = text(update);
        let (thing, price) = update.split_once('=').ok_or("not an update")?;
        prices.insert(thing.to_owned(), price.parse::<u64>()?);
        known = number;
    }
    println!(
        "up to date: {} things, {lost} updates made good by snapshots",
        prices.len()
    );
    assert!(
        prices.values().all(|price| *price > LAST - THINGS),
        "{prices:?}"
    );
    updates.close().await;
    Ok(())
}

/// All prices there are, and the number of the last update in them.
async fn snapshot(prices: &mut BTreeMap<String, u64>) -> Result<u64, Box<dyn std::error::Error>> {
    let mut socket = Dealer::connect(&find(SNAPSHOTS).await?, MAX_BODY).await?;
    loop {
        match socket.event().await? {
            DealerEvent::Up => socket.try_send(vec![bytes(""), bytes("all")])?,
            DealerEvent::Down => return Err("the publisher is gone".into()),
            DealerEvent::Message(frames) => {
                let [.., number, all] = frames.as_slice() else {
                    return Err("not a snapshot".into());
                };
                for line in text(all).split_whitespace() {
                    let (thing, price) = line.split_once('=').ok_or("not a snapshot")?;
                    prices.insert(thing.to_owned(), price.parse()?);
                }
                socket.close().await;
                return Ok(text(number).parse()?);
            }
        }
    }
}
