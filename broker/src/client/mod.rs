//! A client: asks brokers for answers, and asks another one when the one it asked is gone.
//!
//! Each request has an id of its own, which it keeps when it is sent again, so that a broker runs it once. What is asked and
//! what becomes of the answers is the caller's business; it must not know a registry.

mod link;
pub mod series;
mod task;

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

pub use crate::worker::Brokers;
use crate::{core::message::Frames, zsock::curve::Pass};

/// Requests handed over and not yet taken by the client's task: it takes them at once, so a few are enough.
const HANDED_OVER: usize = 64;

/// Why there is no answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Failure {
    /// The broker, or the worker, said so.
    #[error("{code} {text}{}", if *maybe_executed { " (it may have been carried out)" } else { "" })]
    Refused {
        /// As in HTTP.
        code: u16,
        /// The reason.
        text: String,
        /// Whether a worker may have carried it out nevertheless.
        maybe_executed: bool,
    },
    /// No answer came in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// No broker was there to ask.
    #[error("no broker was reached within {0:?}")]
    Unreached(Duration),
    /// The client has been stopped.
    #[error("the client has been stopped")]
    Stopped,
}

/// A request to be sent.
#[derive(Debug)]
struct Request {
    service: String,
    body: Frames,
    timeout: Duration,
    answer: oneshot::Sender<Result<Frames, Failure>>,
}

/// Sends requests. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    requests: mpsc::Sender<Request>,
}

impl Client {
    /// A client of these brokers, as they come and go. Call it inside a tokio runtime.
    pub fn new(brokers: Brokers, max_body: usize) -> Self {
        Self::with_pass(brokers, max_body, None)
    }

    /// The same with keys, for brokers that ask for them.
    pub fn with_pass(brokers: Brokers, max_body: usize, pass: Option<Pass>) -> Self {
        let (requests, incoming) = mpsc::channel(HANDED_OVER);
        tokio::spawn(task::Task::new(brokers, max_body, pass).run(incoming));
        Self { requests }
    }

    /// Asks `service`, and waits for the answer.
    ///
    /// # Errors
    /// If there is none within `timeout`, or a broker or worker refuses.
    pub async fn ask(
        &self,
        service: &str,
        body: Frames,
        timeout: Duration,
    ) -> Result<Frames, Failure> {
        let (answer, answered) = oneshot::channel();
        let request = Request {
            service: service.to_owned(),
            body,
            timeout,
            answer,
        };
        self.requests
            .send(request)
            .await
            .map_err(|_| Failure::Stopped)?;
        // The task ends every request in time; the limit is for a task that has died.
        match tokio::time::timeout(timeout + Duration::from_secs(1), answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Failure::Stopped),
            Err(_) => Err(Failure::TimedOut(timeout)),
        }
    }
}

/// A new id for a request: 128 bits by chance, as text.
fn new_id() -> Bytes {
    Bytes::from(format!("{:032x}", fastrand::u128(..)))
}
