//! Answers against a catalog that exists twice: as a value here, and as the requests that make a real Consul hold the same.
//! `measured.txt` is what the real one said; a test beside it asks a real one again where there is one.

mod fixture;
mod measured;
mod packets;
mod real;
mod show;
mod sockets;

use super::*;
