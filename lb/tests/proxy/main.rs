//! The proxy over real sockets: scripted origins behind it, raw bytes before it.

mod bodies;
mod faults;
mod harness;
mod leaving;
mod limits;
mod messages;
mod stopping;
mod tunnels;
mod views;
