//! What a broker tells of itself on its admin listener, as far as others show it.
//!
//! It reads the page and knows where such pages are found; who shows it, and how, is not said here.

use std::net::SocketAddr;

use http::Method;
use serde::{Deserialize, Serialize};

use super::pages::VIEW_PATH;
use crate::{
    args::Secret,
    http_client::{self, NoAnswer},
};

/// What brokers are registered with, whatever their name.
pub(crate) const TAG: &str = "turno-mq";

/// The key in a broker's meta whose value is the address of its admin listener; there need not be one.
pub(crate) const ADMIN: &str = "admin";

/// A broker at one moment.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct View {
    pub(crate) broker: String,
    pub(crate) counters: Counters,
    pub(crate) census: Census,
    pub(crate) connections: usize,
    /// Those with the longest queues first.
    pub(crate) services: Vec<Service>,
    /// Services not among them.
    pub(crate) services_left_out: usize,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Counters {
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) refused: u64,
    /// Times a request came back without an answer, and waited again.
    pub(crate) requeued: u64,
    pub(crate) dead_letters: u64,
}

/// How much there is now.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Census {
    pub(crate) requests: usize,
    pub(crate) workers: usize,
}

/// A service that somebody asks for or serves.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) queued: usize,
    pub(crate) oldest_ms: u64,
    pub(crate) running: usize,
    pub(crate) workers: usize,
    pub(crate) free: usize,
}

/// Asks the broker whose admin listener is at `address`.
pub(crate) async fn ask(address: SocketAddr, token: Option<&Secret>) -> Result<View, NoAnswer> {
    let answer = http_client::call(address, token, Method::GET, VIEW_PATH).await?;
    serde_json::from_slice(&answer)
        .map_err(|error| NoAnswer::Other(format!("{address} is not a turno mq broker: {error}")))
}
