//! Registers instances, and the embedded registry that speaks Consul's HTTP API.

pub mod check;
