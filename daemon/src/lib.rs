//! What any long-running program needs: a log, a clean stop, waiting between tries, a listener, programs of its own.
//!
//! A leaf: it knows nothing of services, registries or balancers, and nothing here decides what a
//! program does. The admin pages of the balancer, the embedded registry and the microservice kit
//! all stand on [`http::serve`], so its limits hold for each of them.

pub mod backoff;
pub mod group;
pub mod http;
pub mod net;
pub mod shutdown;
pub mod systemd;
pub mod telemetry;
