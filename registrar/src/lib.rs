//! Registers instances, and the embedded registry that speaks Consul's HTTP API.
//!
//! `register` keeps one instance registered with a registry. `catalog` is what a registry remembers, a pure value;
//! `durable` keeps its changes on disk; `check` runs health checks; `dns` answers names from the catalog; `registry` is
//! the HTTP API over them, for machines that have no Consul.

pub mod agent;
pub mod catalog;
pub mod check;
pub mod definition;
pub mod dns;
pub mod durable;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod join;
#[cfg(test)]
mod ports;
pub mod register;
pub mod registry;
