//! The sockets between brokers, each in a task of its own: news on PUB and SUB, requests by a DEALER to each other broker.
//!
//! They carry frames and tell what becomes of them; what they mean is not known here.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::sleep,
};
use tracing::{debug, warn};

use super::{
    Happened, Meeting, Neighbour, Tie,
    news::TOPIC,
    place::{Mismatch, Place},
};
use crate::{
    core::message::{Delivery, Frames},
    zsock::{Dealer, Error, Pipe, PipeEvent, curve::Guard},
};

/// Bytes of one message of news: [`MAX_NAMES`](super::news::MAX_NAMES) names of the longest kind, and their numbers.
pub(super) const MAX_NEWS: usize = 512 * 1024;
/// Messages on their way to one broker: more than it can have room for means that it does not move.
const QUEUE: usize = 1024;
/// A socket that has ended is made anew after so long: as often as that may be said in the log.
const AGAIN: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 5_000 });
/// News that wait for a subscriber: only the newest count.
const KEPT_NEWS: u32 = 2;

/// Why there is no connection, or no longer.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Socket(#[from] Error),
    /// The list of keys was read again, and it is no longer there.
    #[error(transparent)]
    Keys(#[from] Mismatch),
}

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
    pub(super) fn open(
        to: Neighbour,
        at: Place,
        guard: Option<Guard>,
        max_body: usize,
        tell: Tie,
    ) -> Self {
        let (outgoing, mut messages) = mpsc::channel(QUEUE);
        let task = spawn(async move {
            let there = (&at, guard.as_ref());
            while let Err(error) = go(to, there, max_body, &mut messages, &tell).await {
                warn!(%error, address = %at.address, again_in = ?AGAIN, "this broker cannot be reached");
                if tell.send(Happened::Down(to)).await.is_err() {
                    return;
                }
                sleep(AGAIN).await;
                // What was on its way has gone to others since.
                while messages.try_recv().is_ok() {}
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
    (at, guard): (&Place, Option<&Guard>),
    max_body: usize,
    messages: &mut mpsc::Receiver<(Frames, Delivery)>,
    tell: &Tie,
) -> Result<(), Failed> {
    let pass = at.pass(guard)?;
    let mut dealer = Dealer::connect_with(&at.address, max_body, pass.as_ref()).await?;
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
    (news, tell, guard): (watch::Receiver<Frames>, Tie, Option<Guard>),
) {
    let mut ears: BTreeMap<Place, Task> = BTreeMap::new();
    let mut mouths: BTreeMap<Place, Task> = BTreeMap::new();
    let told = news.clone();
    let _own = spawn(async move {
        if let Err(error) = publish(own, told).await {
            warn!(%error, "no more news are told to who listens");
        }
    });
    loop {
        let meeting = meetings.borrow_and_update().clone();
        follow(&mut ears, &meeting.hear, |at| {
            spawn(listen(at, guard.clone(), tell.clone()))
        });
        follow(&mut mouths, &meeting.tell, |at| {
            spawn(announce(at, guard.clone(), news.clone()))
        });
        if meetings.changed().await.is_err() {
            // Where others are does not change any more; what there is goes on.
            return std::future::pending().await;
        }
    }
}

/// Starts what is new and ends what is no longer wanted.
fn follow(
    tasks: &mut BTreeMap<Place, Task>,
    wanted: &BTreeSet<Place>,
    start: impl Fn(Place) -> Task,
) {
    tasks.retain(|place, _| wanted.contains(place));
    for place in wanted {
        let task = tasks.entry(place.clone());
        task.or_insert_with(|| start(place.clone()));
    }
}

async fn listen(at: Place, guard: Option<Guard>, tell: Tie) {
    while let Err(error) = hear(&at, guard.as_ref(), &tell).await {
        warn!(%error, address = %at.address, again_in = ?AGAIN, "no news are heard from there");
        sleep(AGAIN).await;
    }
}

/// Hears news until nobody wants them any more.
async fn hear(at: &Place, guard: Option<&Guard>, tell: &Tie) -> Result<(), Failed> {
    let pass = at.pass(guard)?;
    let mut pipe = Pipe::subscribe_with(&at.address, MAX_NEWS, TOPIC, pass.as_ref()).await?;
    loop {
        if let PipeEvent::Message(frames) = pipe.event().await?
            && tell.send(Happened::News(frames)).await.is_err()
        {
            return Ok(());
        }
    }
}

async fn announce(at: Place, guard: Option<Guard>, news: watch::Receiver<Frames>) {
    while let Err(error) = tell(&at, guard.as_ref(), news.clone()).await {
        warn!(%error, address = %at.address, again_in = ?AGAIN, "no news are told there");
        sleep(AGAIN).await;
    }
}

/// Tells news until there are no more.
async fn tell(
    at: &Place,
    guard: Option<&Guard>,
    news: watch::Receiver<Frames>,
) -> Result<(), Failed> {
    let pass = at.pass(guard)?;
    let pipe = Pipe::publish_newest_to(&at.address, MAX_NEWS, KEPT_NEWS, pass.as_ref()).await?;
    Ok(publish(pipe, news).await?)
}

/// Tells what is new to whoever listens, and what was told last to whoever comes, until there are no more news.
async fn publish(mut pipe: Pipe, mut news: watch::Receiver<Frames>) -> Result<(), Error> {
    loop {
        tokio::select! {
            event = pipe.event() => match event? {
                PipeEvent::Subscribed(..) => {}
                _ => continue,
            },
            changed = news.changed() => if changed.is_err() {
                return Ok(());
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

/// Where news are told for others to come and listen: those whom `guard` lets in, or all.
pub(super) async fn listen_for_listeners(
    address: &str,
    guard: Option<&Guard>,
) -> Result<Pipe, Error> {
    Pipe::publish_newest_with(address, MAX_NEWS, KEPT_NEWS, guard).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_way_that_has_ended_is_tried_again() {
        let (tell, mut told) = mpsc::channel(1);
        let at = Place {
            address: "no address".to_owned(),
            key: None,
        };
        let way = Way::open(Neighbour(7), at, None, 1_024, tell);
        for _ in 0..3 {
            let happened = told.recv().await;
            assert!(matches!(happened, Some(Happened::Down(Neighbour(7)))));
        }
        drop(way);
        assert!(told.recv().await.is_none(), "its task ends with it");
    }
}
