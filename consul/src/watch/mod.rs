//! Blocking queries as a stream of real changes.
//!
//! A [`Watch`] asks the same question for ever and tells apart an answer that says something new, one that
//! says the same, and none. It never gives up and never asks in a tight loop. What a change means, and
//! whether an empty answer is to be believed, is for whoever listens to decide.

mod pace;
mod subjects;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use crate::{Answer, Error, Query};
use pace::{Failure, Pace};

/// What became of one query.
#[derive(Debug)]
pub enum Event<T> {
    /// The first answer, or one that means something else than the one before. May be empty.
    Changed {
        /// The answer.
        value: T,
        /// Its index; may be lower than an earlier one, or 0.
        index: u64,
    },
    /// A fresh answer that means the same as the one before: what is known is as of now.
    Unchanged {
        /// Its index; may be lower than an earlier one, or 0.
        index: u64,
    },
    /// No answer that can be used. What was known before may still hold.
    Failed {
        /// Why.
        error: Error,
        /// How many queries failed in a row, this one included.
        attempts: u32,
        /// When [`Watch::next`] will ask again.
        retry_in: Duration,
    },
}

type Answering<T> = Pin<Box<dyn Future<Output = Result<Answer<T>, Error>> + Send>>;

/// One question, asked again and again.
///
/// The rules: the first query does not block; later ones block on the last index; an index that is 0 or
/// went back is forgotten, so the next query does not block; after a failure the next query does not block
/// either. Queries start at least 100 ms apart. An answer from a server that knows no leader counts as a
/// failure, even in stale mode: such a server may answer with an empty list, or one from long ago. Equality
/// of answers is equality of meaning, see [`crate::types::ServiceEntry`], in any order.
pub struct Watch<T> {
    query: Query,
    ask: Box<dyn Fn(Query) -> Answering<T> + Send + Sync>,
    same: fn(&T, &T) -> bool,
    what: String,
    pace: Pace,
    last: Option<T>,
    /// Kept here, so that a dropped `next()` does not end the query it waited for.
    answering: Option<Answering<T>>,
}

impl<T: Clone> Watch<T> {
    fn new(
        what: String,
        query: Query,
        ask: Box<dyn Fn(Query) -> Answering<T> + Send + Sync>,
        same: fn(&T, &T) -> bool,
    ) -> Self {
        Self {
            query,
            ask,
            same,
            what,
            pace: Pace::default(),
            last: None,
            answering: None,
        }
    }

    /// Waits for the next answer or failure; after a failure, for the back-off first.
    ///
    /// Cancel-safe: when the future is dropped, the query goes on and the next call takes its answer.
    pub async fn next(&mut self) -> Event<T> {
        if self.answering.is_none()
            && let Some(start) = self.pace.not_before()
        {
            tokio::time::sleep_until(start).await;
        }
        let Self {
            answering,
            ask,
            pace,
            query,
            ..
        } = self;
        let running = answering.get_or_insert_with(|| {
            pace.started(Instant::now());
            ask(Query {
                index: pace.index(),
                ..query.clone()
            })
        });
        let result = running.await;
        self.answering = None;
        match result {
            Ok(answer) if answer.known_leader => self.accept(answer),
            Ok(_) => self.fail(Error::NoLeader {
                path: self.what.clone(),
            }),
            Err(error) => self.fail(error),
        }
    }

    fn accept(&mut self, answer: Answer<T>) -> Event<T> {
        let Answer { value, index, .. } = answer;
        self.pace.answered(index);
        if self
            .last
            .as_ref()
            .is_some_and(|last| (self.same)(last, &value))
        {
            return Event::Unchanged { index };
        }
        self.last = Some(value.clone());
        Event::Changed { value, index }
    }

    fn fail(&mut self, error: Error) -> Event<T> {
        let failure = if error.is_away() {
            Failure::Away
        } else {
            Failure::Refused
        };
        let (attempts, retry_in) = self.pace.failed(failure, Instant::now(), fastrand::f64());
        tracing::debug!(what = %self.what, %error, attempts, ?retry_in, "query failed");
        Event::Failed {
            error,
            attempts,
            retry_in,
        }
    }
}

impl<T> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("what", &self.what)
            .field("query", &self.query)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}
