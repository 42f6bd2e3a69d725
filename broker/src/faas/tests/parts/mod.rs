//! The parts' decisions joined with simulated sockets, as `mod.rs` of each part joins them with real ones.

mod broker;
mod coordinator;
mod front;
mod queue;
mod worker;

pub(super) use self::{
    broker::Broker, coordinator::Coordinator, front::Front, queue::Queue, worker::Worker,
};
