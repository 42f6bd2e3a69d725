//! The wire types: what the agent and catalog endpoints of Consul 1.8.7 and newer read and write.
//!
//! Names on the wire are Consul's, names in Rust are snake_case. Reading forgives what real servers and
//! older programs send (nulls for lists, absent fields, fields nobody here knows, numbers out of range),
//! because one odd instance must not make a whole list unreadable. Nothing here does I/O.

mod agent;
mod catalog;
mod check;
mod decode;
mod duration;
mod external;
mod kv;
mod registration;

pub use agent::{AgentConfig, AgentMember, AgentSelf, AgentService};
pub(crate) use catalog::same_in_any_order;
pub use catalog::{HealthCheck, Node, Service, ServiceEntry};
pub use check::{CheckDefinition, Status, UnknownStatus};
pub use duration::{DurationError, format_duration, parse_duration};
pub use external::{CatalogDeregistration, CatalogNode, CatalogRegistration};
pub use kv::{Behavior, DeleteNode, KeyAbsent, KvEntry, KvPut, SessionRequest, TxnStep};
pub use registration::{Secret, ServiceRegistration, TaggedAddress, Weights};

/// A check as `/v1/agent/checks` lists it: the same shape the health endpoints use.
pub type AgentCheck = HealthCheck;

#[cfg(test)]
mod tests;
