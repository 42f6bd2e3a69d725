//! The request flow: listener → route → pick → forward.
//!
//! It has a table and limits, and knows nothing of registries, snapshots, templates or files. Each worker is one thread
//! with a runtime, listener sockets and upstream connections of its own; what workers share is the published table and
//! the atomics in each upstream.

mod client;
mod connections;
mod deadline;
mod descriptors;
mod drain;
mod error;
mod exchange;
pub(crate) mod http1;
mod io;
mod listener;
mod receive;
mod relay;
mod tunnel;
mod worker;

pub(crate) use descriptors::clients_allowed;
pub use listener::ListenError;
pub(crate) use listener::{Reserved, inherit, reserve};
pub(crate) use worker::{Shared, Worker};
