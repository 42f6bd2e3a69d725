//! Queries on the catalog: answered at once, or when their index has moved, or when their time is up. While a query
//! waits it holds no rows and no lock, only its place among the waiters. It does not know what the rows look like.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use tokio::time::Instant;

use super::access::{Rights, Sight};
use super::answer::{Answer, Failure, to_json};
use super::gzip;
use super::request::{Blocking, Call};
use super::state::State;
use super::waiters::Ticket;
use crate::catalog::Question;

/// Most queries that wait at once; more are refused with 429. Each costs a connection, a task and some kilobytes.
pub(super) const MOST_WAITING: usize = 100_000;
/// A query may be answered up to this part of its wait later, so that those begun together do not end together.
const JITTER_PART: u32 = 16;

/// Which endpoints take `?cached`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cached {
    Yes,
    No,
}

/// What a look at a question's index says.
enum Look {
    Answer,
    Wait(Ticket, u64),
}

/// Answers a query: waits if it asks to, then takes the rows with `read` and writes them as JSON.
pub(super) async fn query<V: Serialize>(
    state: &State,
    call: &Call,
    question: Question,
    cached: Cached,
    read: impl Fn(&Sight<'_>) -> V,
) -> Result<Answer, Failure> {
    call.own_place(&state.local.datacenter)?;
    let consistency = call.consistency()?;
    let blocking = call.blocking()?;
    let known = |_| Failure::unknown_token().with_index();
    state.access.rights(call.token()).map_err(known)?;
    let last = match blocking {
        Some(blocking) => wait(state, &question, blocking).await?,
        None => None,
    };
    // Asked again: while it waited, the token may have been taken away.
    let rights = state.access.rights(call.token()).map_err(known)?;
    let hit = AtomicBool::new(false);
    let (index, body, packed) = render(state, call, &rights, &question, read, &hit)?;
    let answer = Answer {
        packed,
        ..Answer::json(body)
    };
    let mut answer = answer.indexed(last.unwrap_or(index), Some(consistency));
    if cached == Cached::Yes && call.has("cached") {
        let hit = hit.load(Ordering::Relaxed);
        answer = answer.header("x-cache", if hit { "HIT" } else { "MISS" });
        if hit {
            answer = answer.header("age", "0");
        }
    }
    Ok(answer)
}

/// Rows, with the index to wait on next.
pub(super) struct Looked<T> {
    pub(super) index: u64,
    pub(super) rows: T,
}

/// Like [`query`] for endpoints that make their own answer of the rows: waits if asked to, then reads.
pub(super) async fn look<T>(
    state: &State,
    call: &Call,
    question: &Question,
    read: impl Fn(&Sight<'_>) -> T,
) -> Result<Looked<T>, Failure> {
    call.own_place(&state.local.datacenter)?;
    call.consistency()?;
    let blocking = call.blocking()?;
    state.rights(call)?;
    let last = match blocking {
        Some(blocking) => wait(state, question, blocking).await?,
        None => None,
    };
    let rights = state.rights(call)?;
    let catalog = state.see(&rights);
    Ok(Looked {
        index: last.unwrap_or_else(|| catalog.watch(question).index),
        rows: read(&catalog),
    })
}

/// Waits until the question's index is above the one given. If time runs out, returns the index last seen.
async fn wait(
    state: &State,
    question: &Question,
    blocking: Blocking,
) -> Result<Option<u64>, Failure> {
    let deadline = Instant::now() + blocking.wait + jitter(blocking.wait);
    loop {
        let look = {
            let catalog = state.read();
            let watch = catalog.watch(question);
            if watch.index > blocking.index {
                Look::Answer
            } else {
                // Under the read lock: a change comes after the place is taken, and its wake is not missed.
                Look::Wait(state.waiters.wait_on(watch.topic), watch.index)
            }
        };
        let (ticket, index) = match look {
            Look::Answer => return Ok(None),
            Look::Wait(ticket, index) => (ticket, index),
        };
        if state.waiters.waiting() > MOST_WAITING {
            return Err(too_many());
        }
        tokio::select! {
            () = ticket.woken() => {}
            () = tokio::time::sleep_until(deadline) => return Ok(Some(index)),
            () = state.stopping.cancelled() => return Ok(Some(index)),
        }
    }
}

pub(super) fn too_many() -> Failure {
    Failure::new(
        StatusCode::TOO_MANY_REQUESTS,
        format!("more than {MOST_WAITING} queries are waiting; try again later"),
    )
}

pub(super) fn jitter(wait: Duration) -> Duration {
    (wait / JITTER_PART).mul_f64(fastrand::f64())
}

/// The index, the body, and whether the body is packed.
fn render<V: Serialize>(
    state: &State,
    call: &Call,
    rights: &Rights,
    question: &Question,
    read: impl Fn(&Sight<'_>) -> V,
    hit: &AtomicBool,
) -> Result<(u64, Bytes, bool), Failure> {
    let key = call.content_key(rights.id());
    let gzip = gzip::is_wanted(&call.headers);
    let packed_key = format!("gzip\u{0}{key}");
    let (index, revision, look) = {
        let catalog = state.see(rights);
        let (index, revision) = (catalog.watch(question).index, catalog.revision());
        let known = |key: &str| {
            let body = state.rendered.get(revision, key)?;
            hit.store(true, Ordering::Relaxed);
            Some(body)
        };
        if gzip && let Some(body) = known(&packed_key) {
            return Ok((index, body, true));
        }
        let look = known(&key).ok_or_else(|| read(&catalog));
        (index, revision, look)
    };
    let is_new = look.is_err();
    let body = match look {
        Ok(body) => body,
        Err(rows) => to_json(&rows, call.has("pretty"))?,
    };
    // Of many that wake together one packs it for all.
    if let Some(packed) = gzip.then(|| gzip::compress(&body)).flatten() {
        state.rendered.put(revision, packed_key, packed.clone());
        return Ok((index, packed, true));
    }
    if is_new {
        state.rendered.put(revision, key, body.clone());
    }
    Ok((index, body, false))
}
