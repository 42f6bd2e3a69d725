//! Where programs of this machine report their TTL checks when there is no agent to report to: the listener. What they
//! say goes to the results; how it is said is the registry's API.

use std::net::SocketAddr;
use std::sync::Arc;

use consul::types::Status;
use daemon::http::Limits;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::NodeError;
use super::results::Results;
use crate::registry::told;

/// A listener that ends with the value.
#[derive(Debug)]
pub(super) struct Ear {
    /// Where it listens.
    pub(super) address: Option<SocketAddr>,
    _end: DropGuard,
}

impl Ear {
    /// Listens there. Needs a tokio runtime around it.
    pub(super) fn open(address: SocketAddr, results: &Arc<Results>) -> Result<Ear, NodeError> {
        if !address.ip().is_loopback() {
            return Err(NodeError::NotLoopback(address));
        }
        let listener = daemon::net::listen(address)?;
        let end = CancellationToken::new();
        let address = listener.local_addr().ok();
        let results = Arc::clone(results);
        let handler = move |request, _client| {
            let results = Arc::clone(&results);
            async move {
                let tell = |told: told::Told| heard(&results, told);
                told::respond(request, tell).await
            }
        };
        let serving = daemon::http::serve(listener, Limits::default(), handler, end.clone());
        tokio::spawn(serving);
        Ok(Ear {
            address,
            _end: end.drop_guard(),
        })
    }
}

fn heard(results: &Results, told: told::Told) -> bool {
    let told::Told { id, status, output } = told;
    if status != Status::Passing {
        tracing::debug!(check = id, %status, "reported");
    }
    results.tell(&id, status, output, Instant::now())
}
