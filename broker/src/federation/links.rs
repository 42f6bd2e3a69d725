//! The sockets between brokers, each in a task of its own: news on PUB and SUB, requests by a DEALER to each other broker.
//!
//! They carry frames and tell what becomes of them; what they mean is not known here.

use std::collections::{BTreeMap, BTreeSet};

use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
};
use tracing::{debug, warn};

use super::{Happened, Meeting, Neighbour, Tie, news::TOPIC};
use crate::{
    core::message::{Delivery, Frames},
    zsock::{Dealer, Pipe, PipeEvent},
};

/// Bytes of one message of news: [`MAX_NAMES`](super::news::MAX_NAMES) names of the longest kind, and their numbers.
pub(super) const MAX_NEWS: usize = 512 * 1024;
/// Messages on their way to one broker: more than it can have room for means that it does not move.
const QUEUE: usize = 1024;
/// News that wait for a subscriber: only the newest count.
const KEPT_NEWS: u32 = 2;

/// A task that ends when this is dropped.
#[derive(Debug)]
pub(super) struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Task {
    Task(tokio::spawn(task).abort_handle())
}

/// The way to one other broker.
#[derive(Debug)]
pub(super) struct Way {
    outgoing: mpsc::Sender<(Frames, Delivery)>,
    _task: Task,
}

impl Way {
    pub(super) fn open(to: Neighbour, at: String, max_body: usize, tell: Tie) -> Self {
        let (outgoing, messages) = mpsc::channel(QUEUE);
        let task = spawn(async move {
            if let Err(error) = go(to, &at, max_body, messages, &tell).await {
                warn!(%error, address = %at, "this broker cannot be reached");
                // Only if the loop has ended there is nobody to tell.
                let _ = tell.send(Happened::Down(to)).await;
            }
        });
        Self {
            outgoing,
            _task: task,
        }
    }

    /// Sends now or not at all; what cannot be sent after that comes back as [`Happened::Unsent`].
    pub(super) fn try_send(&self, frames: Frames, delivery: Delivery) -> bool {
        self.outgoing.try_send((frames, delivery)).is_ok()
    }
}

async fn go(
    to: Neighbour,
    at: &str,
    max_body: usize,
    mut messages: mpsc::Receiver<(Frames, Delivery)>,
    tell: &Tie,
) -> Result<(), crate::zsock::Error> {
    let mut dealer = Dealer::connect(at, max_body).await?;
    loop {
        let happened = tokio::select! {
            event = dealer.event() => Happened::At(to, event?),
            message = messages.recv() => {
                let Some((frames, delivery)) = message else { return Ok(()) };
                if dealer.try_send(frames).is_ok() {
                    continue;
                }
                Happened::Unsent(delivery)
            }
        };
        if tell.send(happened).await.is_err() {
            return Ok(());
        }
    }
}

/// Tells and hears news where others are, as that changes.
pub(super) async fn gossip(
    own: Pipe,
    mut meetings: watch::Receiver<Meeting>,
    news: watch::Receiver<Frames>,
    tell: Tie,
) {
    let mut ears: BTreeMap<String, Task> = BTreeMap::new();
    let mut mouths: BTreeMap<String, Task> = BTreeMap::new();
    let _own = spawn(publish(own, news.clone()));
    loop {
        let meeting = meetings.borrow_and_update().clone();
        follow(&mut ears, &meeting.hear, |at| {
            spawn(listen(at, tell.clone()))
        });
        follow(&mut mouths, &meeting.tell, |at| {
            spawn(announce(at, news.clone()))
        });
        if meetings.changed().await.is_err() {
            // Where others are does not change any more; what there is goes on.
            return std::future::pending().await;
        }
    }
}

/// Starts what is new and ends what is no longer wanted.
fn follow(
    tasks: &mut BTreeMap<String, Task>,
    wanted: &BTreeSet<String>,
    start: impl Fn(String) -> Task,
) {
    tasks.retain(|address, _| wanted.contains(address));
    for address in wanted {
        let task = tasks.entry(address.clone());
        task.or_insert_with(|| start(address.clone()));
    }
}

async fn listen(at: String, tell: Tie) {
    let mut pipe = match Pipe::subscribe(&at, MAX_NEWS, TOPIC).await {
        Ok(pipe) => pipe,
        Err(error) => return warn!(%error, "no news can be heard there"),
    };
    loop {
        match pipe.event().await {
            Ok(PipeEvent::Message(frames)) => {
                if tell.send(Happened::News(frames)).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(error) => return warn!(%error, "no more news are heard from there"),
        }
    }
}

async fn announce(at: String, news: watch::Receiver<Frames>) {
    match Pipe::publish_newest_to(&at, MAX_NEWS, KEPT_NEWS).await {
        Ok(pipe) => publish(pipe, news).await,
        Err(error) => warn!(%error, "no news can be told there"),
    }
}

/// Tells what is new to whoever listens, and what was told last to whoever comes.
async fn publish(mut pipe: Pipe, mut news: watch::Receiver<Frames>) {
    loop {
        tokio::select! {
            event = pipe.event() => match event {
                Ok(PipeEvent::Subscribed(..)) => {}
                Ok(_) => continue,
                Err(error) => return warn!(%error, "no more news are told there"),
            },
            changed = news.changed() => if changed.is_err() {
                return;
            },
        }
        let frames = news.borrow_and_update().clone();
        if !frames.is_empty()
            && let Err(error) = pipe.try_send(frames)
        {
            debug!(%error, "somebody hears no news");
        }
    }
}

/// Where news are told for others to come and listen.
pub(super) async fn listen_for_listeners(address: &str) -> Result<Pipe, crate::zsock::Error> {
    Pipe::publish_newest(address, MAX_NEWS, KEPT_NEWS).await
}
