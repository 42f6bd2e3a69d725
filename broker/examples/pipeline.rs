//! A pipeline: a ventilator hands out tasks, workers do them side by side, a sink collects what comes of it and shows how far
//! it has got.
//!
//! `cargo run -p broker --example pipeline -- sink`, `… -- worker` (as many as you like) and `… -- ventilator`, with
//! `turno registry` running. Written up in docs/patterns/pipeline.md.

#![allow(missing_docs, reason = "an example")]

mod common;

use std::{io::Write, time::Duration};

use broker::zsock::{Pipe, PipeEvent};
use common::{ANY_PORT, Listed, MAX_BODY, Outcome, bytes, find, role, text};

const VENTILATOR: &str = "example-ventilator";
const SINK: &str = "example-sink";
const TASKS: usize = 100;
/// Width of the bar, in characters.
const BAR: usize = 40;
/// A worker that gets no task for so long takes the batch for done.
const DONE: Duration = Duration::from_secs(2);
/// Tasks sent ahead of the workers: few, so that a worker that comes late finds some left.
const START: Duration = Duration::from_millis(300);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    match role().as_str() {
        "ventilator" => ventilator().await,
        "worker" => worker().await,
        "sink" => sink().await,
        _ => Err("say which: ventilator, worker or sink".into()),
    }
}

/// Hands out the tasks: to each worker in turn, and to none more than it takes.
async fn ventilator() -> Outcome {
    find(SINK).await?; // nothing is done before somebody collects it
    let mut socket = Pipe::push_bound(ANY_PORT, MAX_BODY).await?;
    let listed = Listed::new(VENTILATOR, socket.bound()).await?;
    while socket.links() == 0 {
        socket.event().await?;
    }
    // The first worker would get everything before the second one is there.
    tokio::time::sleep(START).await;
    for task in 0..TASKS {
        socket.send(vec![bytes(&task.to_string())]).await?;
    }
    println!("{TASKS} tasks handed out");
    listed.leave().await?;
    socket.close().await;
    Ok(())
}

/// Squares numbers, slowly.
async fn worker() -> Outcome {
    let mut tasks = Pipe::pull_from(&find(VENTILATOR).await?, MAX_BODY).await?;
    let results = Pipe::push(&find(SINK).await?, MAX_BODY).await?;
    let mut done = 0;
    while let Ok(event) = tokio::time::timeout(DONE, tasks.event()).await {
        if let PipeEvent::Message(frames) = event? {
            let task: u64 = text(&frames.concat()).parse()?;
            tokio::time::sleep(Duration::from_millis(5)).await; // the work
            results
                .send(vec![bytes(&format!("{task} {}", task * task))])
                .await?;
            done += 1;
        }
    }
    println!("{done} tasks done");
    results.close().await;
    Ok(())
}

/// Collects the results. Each counts once.
async fn sink() -> Outcome {
    let mut socket = Pipe::pull(ANY_PORT, MAX_BODY).await?;
    let listed = Listed::new(SINK, socket.bound()).await?;
    let mut results = std::collections::BTreeMap::new();
    while results.len() < TASKS {
        if let PipeEvent::Message(frames) = socket.event().await? {
            let line = text(&frames.concat());
            let (task, square) = line.split_once(' ').ok_or("not a result")?;
            results.insert(task.parse::<u64>()?, square.parse::<u64>()?);
            progress(results.len())?;
        }
    }
    println!("\nsum of the squares: {}", results.values().sum::<u64>());
    listed.leave().await?;
    socket.close().await;
    Ok(())
}

/// The bar, drawn over itself.
fn progress(done: usize) -> Outcome {
    let full = done * BAR / TASKS;
    print!(
        "\r[{}{}] {done}/{TASKS}",
        "#".repeat(full),
        " ".repeat(BAR - full)
    );
    Ok(std::io::stdout().flush()?)
}
