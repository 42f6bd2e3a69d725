//! Numbers and lines about what happens. Nothing here decides anything.

mod metrics;

pub(crate) use metrics::{Failure, InstanceMetrics, Metrics, ServiceMetrics};
