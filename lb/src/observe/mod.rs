//! Numbers and lines about what happens. Nothing here decides anything.

mod exposition;
mod metrics;

pub(crate) use exposition::exposition;
pub(crate) use metrics::{Failure, InstanceMetrics, Metrics, ServiceMetrics};
