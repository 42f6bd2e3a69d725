//! ZeroMQ brokers: clients ask for a service by name, workers serve it, and an accepted request is answered though the
//! worker that had it dies.
//!
//! What is decided stands in [`core`], how clients and workers say it in [`dialect`]: both pure, without socket or clock.
//! It must not know what a registry is, nor read a command line: the `cli` joins it with the rest of turno.

pub mod client;
pub mod core;
pub mod dialect;
pub mod disk;
pub mod exchange;
pub mod faas;
pub mod federation;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod logger;
pub mod server;
pub mod worker;
pub mod zsock;
