//! `/v1/snapshot`: the whole state as one file, and back. It needs a token that may do everything: the file holds all
//! there is, headers of checks and tokens of queries included.

use std::sync::Arc;

use http::Method;

use super::answer::{Answer, Failure};
use super::request::Call;
use super::serve::Endpoint;
use super::state::State;
use crate::catalog::Command;
use crate::durable::snapshot;

/// Longest snapshot that is taken back. A hundred thousand instances are some tens of megabytes.
const LIMIT: usize = 512 * 1024 * 1024;

/// How long the body of a call may be: more for a snapshot than for anything else, and that only for those who may do
/// everything, which is therefore asked before the body is read.
///
/// # Errors
/// It is about a snapshot, and the sender may not have it.
pub(super) fn body_limit(
    state: &State,
    call: &Call,
    endpoint: Endpoint,
    usual: usize,
) -> Result<usize, Failure> {
    if endpoint != Endpoint::Snapshot {
        return Ok(usual);
    }
    permit(state, call)?;
    Ok(LIMIT)
}

/// Whether the sender may have or replace everything.
fn permit(state: &State, call: &Call) -> Result<(), Failure> {
    if state.rights(call)?.is_everything() {
        Ok(())
    } else {
        Err(Failure::denied())
    }
}

/// Coding a large state takes a while, and the runtime has other work.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::failed(error.to_string()))
}

pub(super) async fn endpoint(state: &Arc<State>, call: &Call) -> Result<Answer, Failure> {
    permit(state, call)?;
    if call.method == Method::GET {
        let state = Arc::clone(state);
        let (index, file) = aside(move || {
            let (at, catalog) = state.copy();
            (catalog.index(), snapshot::write(at, &catalog))
        })
        .await?;
        let file = file.map_err(|error| Failure::failed(error.to_string()))?;
        let answer = Answer {
            content_type: Some("application/octet-stream"),
            body: file.into(),
            ..Answer::empty()
        };
        return Ok(answer.indexed(index, None));
    }
    let body = call.body.clone();
    let snapshot = aside(move || snapshot::read(&body)).await?;
    let snapshot = snapshot.map_err(|error| Failure::invalid(error.to_string()))?;
    state
        .change(call, Command::Restore(Box::new(snapshot)))
        .await?;
    Ok(Answer::empty())
}
