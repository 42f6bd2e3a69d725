//! A worker: offers services to a broker, does what it is given, and moves on when the broker goes.
//!
//! It is attached to one broker at a time, in turns among those it is told of, so that several workers spread over several
//! brokers. What a request means is its handler's business; it must not know a registry.

mod attachment;
pub mod builtin;
pub mod command;

use std::{collections::BTreeSet, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::attachment::{Attachment, End};
use crate::{
    core::message::Frames,
    zsock::{self, curve::Pass},
};

/// Addresses of brokers, as they are known at the moment.
pub type Brokers = watch::Receiver<BTreeSet<String>>;

/// Wait before a broker that would not have us is tried again, when there is no other.
const PAUSE: Duration = Duration::from_millis(200);

/// What a worker offers.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Names of services, or prefixes followed by `*`.
    pub services: Vec<String>,
    /// Requests at once.
    pub capacity: u8,
    /// Largest body taken, in bytes.
    pub max_body: usize,
    /// How long it finishes what it has when it is to stop.
    pub drain: Duration,
    /// How it connects, if brokers ask for keys.
    pub pass: Option<Pass>,
}

/// A request to be carried out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Job {
    /// The service asked for.
    pub service: String,
    /// The client's id of the request; may be empty.
    pub id: Bytes,
    /// 1 for the first attempt.
    pub attempt: u8,
    /// How long the client still waits.
    pub time_left: Duration,
    /// Trace context, if the client gave one.
    pub trace: Option<String>,
    /// The body.
    pub body: Frames,
}

/// What became of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The answer.
    Done(Frames),
    /// It could not be done.
    Failed {
        /// 400 to 599.
        code: u16,
        /// Whether another attempt may succeed.
        retryable: bool,
        /// The reason, for a person.
        text: String,
    },
}

/// What carries out requests. Dropping the future gives the request up.
pub type Handler = Arc<dyn Fn(Job) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync>;

/// Works until `stop` is cancelled, then finishes what it has.
///
/// # Errors
/// If a broker's address cannot be understood.
pub async fn run(
    offer: Offer,
    handler: Handler,
    mut brokers: Brokers,
    stop: CancellationToken,
) -> Result<(), zsock::Error> {
    // A start by chance spreads workers that are started together.
    let mut turn = fastrand::usize(..);
    let mut lost = None;
    while !stop.is_cancelled() {
        let Some(address) = next_broker(&mut brokers, turn, lost.take(), &stop).await else {
            break;
        };
        turn = turn.wrapping_add(1);
        let attachment = Attachment::new(&offer, Arc::clone(&handler), &address).await?;
        match attachment.run(&mut brokers, &stop).await? {
            End::Stopped => break,
            End::Left => info!(broker = %address, "left the broker for another"),
            End::Lost => {
                warn!(broker = %address, "the broker is gone");
                lost = Some(address);
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }
    Ok(())
}

/// The broker whose turn it is, as soon as there is one; the one that was just lost only if there is no other.
async fn next_broker(
    brokers: &mut Brokers,
    turn: usize,
    lost: Option<String>,
    stop: &CancellationToken,
) -> Option<String> {
    tokio::select! {
        known = brokers.wait_for(|known| !known.is_empty()) => {
            let known = known.ok()?;
            let others = known.iter().filter(|it| Some(*it) != lost.as_ref());
            let others: Vec<&String> = others.collect();
            match others[..] {
                [] => known.first().cloned(),
                _ => Some(others[turn % others.len()].clone()),
            }
        }
        () = stop.cancelled() => None,
    }
}
