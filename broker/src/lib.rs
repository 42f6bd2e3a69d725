//! ZeroMQ brokers: clients ask for a service by name, workers serve it, and an accepted request is answered though the
//! worker that had it dies.
//!
//! What is decided stands in [`core`]: pure, without socket or clock. It must not know what a registry is, nor read a
//! command line: the `cli` joins it with the rest of turno.

pub mod core;
