//! Consul's HTTP API as turno uses it: the wire types, a client, and blocking queries as a stream of real changes.
//!
//! It works against the real Consul and against the embedded registry alike, which serializes these same
//! types. It must not know what a route, a pool or a replica is, nor print or log on its own account more
//! than a debug line: callers get values and errors.

mod address;
pub use address::check as check_address;
mod client;
mod config;
mod error;
mod query;
pub mod types;
pub mod watch;

pub use client::{Client, RawAnswer, RawRequest};
pub use config::Config;
pub use error::Error;
pub use query::{Answer, Query};
