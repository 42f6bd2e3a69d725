//! The balancer: it follows a registry and sends each request to one instance of the service it asks for.
//!
//! Read the modules in the order below and you have followed both flows. The control flow is `discovery` → `snapshot`
//! → `control` → the route table; the request flow is `proxy` → `routing` → `pool` → `balancer`. They meet in one
//! value, the `RouteTable` of `routing`, which is published whole and read by every worker.

pub mod admin;
mod balancer;
pub mod config;
mod control;
pub mod discovery;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod haproxy;
mod observe;
mod pool;
mod proxy;
mod routing;
mod run;
pub mod snapshot;
pub mod template;
mod until;

pub use control::{Change, ChangeKind};
pub use proxy::ListenError;
pub use run::{Balancer, StartError};
