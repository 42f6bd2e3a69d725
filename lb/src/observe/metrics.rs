//! The balancer's Prometheus metrics.
//!
//! Handles are looked up when a pool is built and kept in it, so counting a request is a few relaxed atomic additions.
//! The series of an instance live as long as its upstream does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use crate::snapshot::EndpointId;

/// Upper bounds of the latency histogram, in seconds: half a millisecond to ten seconds, about two for each doubling.
const LATENCY_BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Classes of status codes, as label values.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// All metrics of one balancer, in a registry of its own.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) registry: Registry,
    pub(crate) client_connections: IntGauge,
    pub(crate) accept_errors: IntCounter,
    failures: [IntCounter; Failure::ALL.len()],
    requests: IntCounterVec,
    connect_failures: IntCounterVec,
    resets: IntCounterVec,
    duration: HistogramVec,
    retries: IntCounterVec,
    instances: Arc<Instances>,
}

/// Who holds the handles of which instance.
type Instances = Mutex<HashMap<InstanceKey, Weak<InstanceMetrics>>>;
type InstanceKey = (Arc<str>, EndpointId);

/// Why the balancer answered in an upstream's stead. The names are label values and stand in the answers' text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    BadRequest,
    NoRoute,
    NoEndpoint,
    Connect,
    UpstreamAnswer,
    Deadline,
    ClientLeft,
}

impl Failure {
    pub(crate) const ALL: [Self; 7] = [
        Self::BadRequest,
        Self::NoRoute,
        Self::NoEndpoint,
        Self::Connect,
        Self::UpstreamAnswer,
        Self::Deadline,
        Self::ClientLeft,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::NoRoute => "no_route",
            Self::NoEndpoint => "no_endpoint",
            Self::Connect => "connect",
            Self::UpstreamAnswer => "upstream_answer",
            Self::Deadline => "deadline",
            Self::ClientLeft => "client_left",
        }
    }
}

impl Metrics {
    pub(crate) fn new() -> Arc<Self> {
        let registry = Registry::new();
        let failures = counters(
            &registry,
            "turno_failures_total",
            "Requests the balancer answered itself, by reason",
            &["reason"],
        );
        let gauge = IntGauge::new("turno_client_connections", "Client connections open now");
        let accept_errors = IntCounter::new("turno_accept_errors_total", "Failed accepts");
        let (gauge, accept_errors) = (
            gauge.expect("a valid metric name"),
            accept_errors.expect("a valid metric name"),
        );
        register(&registry, &gauge);
        register(&registry, &accept_errors);
        let labels = ["service", "node", "instance"];
        let with_class = ["service", "node", "instance", "class"];
        let opts = HistogramOpts::new(
            "turno_request_duration_seconds",
            "Time from a request's head to the end of its response",
        );
        let duration = HistogramVec::new(opts.buckets(LATENCY_BUCKETS.to_vec()), &["service"])
            .expect("a valid metric name");
        register(&registry, &duration);
        Arc::new(Self {
            client_connections: gauge,
            accept_errors,
            failures: Failure::ALL.map(|f| failures.with_label_values(&[f.name()])),
            requests: counters(
                &registry,
                "turno_requests_total",
                "Requests answered by an instance, by class of the status",
                &with_class,
            ),
            connect_failures: counters(
                &registry,
                "turno_connect_failures_total",
                "Connections to an instance that could not be made",
                &labels,
            ),
            resets: counters(
                &registry,
                "turno_resets_total",
                "Connections to an instance that broke before its answer began",
                &labels,
            ),
            retries: counters(
                &registry,
                "turno_retries_total",
                "Requests tried on another upstream",
                &["service"],
            ),
            duration,
            instances: Arc::default(),
            registry,
        })
    }

    /// Counts one request that the balancer answered itself.
    pub(crate) fn failed(&self, failure: Failure) {
        self.failures[failure as usize].inc();
    }

    /// The handles of a service.
    pub(crate) fn service(&self, service: &str) -> Arc<ServiceMetrics> {
        Arc::new(ServiceMetrics {
            duration: self.duration.with_label_values(&[service]),
            retries: self.retries.with_label_values(&[service]),
        })
    }

    /// Forgets the series of a service that no route names any more.
    pub(crate) fn forget_service(&self, service: &str) {
        // They may never have been made; that is no error.
        let _ = self.duration.remove_label_values(&[service]);
        let _ = self.retries.remove_label_values(&[service]);
    }

    /// The handles of an instance: the same ones while anybody holds them.
    pub(crate) fn instance(&self, service: &str, id: &EndpointId) -> Arc<InstanceMetrics> {
        let mut instances = self
            .instances
            .lock()
            .expect("no holder of this lock panics");
        instances.retain(|_, known| known.strong_count() > 0);
        let key = (Arc::from(service), id.clone());
        if let Some(known) = instances.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        let labels = [service, &*id.node, &*id.instance];
        let class = |class| {
            self.requests
                .with_label_values(&[labels[0], labels[1], labels[2], class])
        };
        let made = Arc::new(InstanceMetrics {
            requests: CLASSES.map(class),
            connect_failures: self.connect_failures.with_label_values(&labels),
            resets: self.resets.with_label_values(&labels),
            key: key.clone(),
            known: Arc::clone(&self.instances),
            vectors: (
                self.requests.clone(),
                self.connect_failures.clone(),
                self.resets.clone(),
            ),
        });
        instances.insert(key, Arc::downgrade(&made));
        made
    }
}

/// The counters of one service.
#[derive(Debug)]
pub(crate) struct ServiceMetrics {
    pub(crate) duration: Histogram,
    pub(crate) retries: IntCounter,
}

/// The counters of one instance. Their series go when the last holder does.
pub(crate) struct InstanceMetrics {
    requests: [IntCounter; 5],
    pub(crate) connect_failures: IntCounter,
    pub(crate) resets: IntCounter,
    key: InstanceKey,
    known: Arc<Instances>,
    vectors: (IntCounterVec, IntCounterVec, IntCounterVec),
}

impl InstanceMetrics {
    /// Counts one answer. `status` is 100..=599.
    pub(crate) fn answered(&self, status: u16) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.requests[class].inc();
    }

    /// Answers so far.
    pub(crate) fn total(&self) -> u64 {
        self.requests.iter().map(IntCounter::get).sum()
    }
}

impl std::fmt::Debug for InstanceMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstanceMetrics")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Drop for InstanceMetrics {
    fn drop(&mut self) {
        let mut known = self.known.lock().expect("no holder of this lock panics");
        if known
            .get(&self.key)
            .is_some_and(|newer| newer.strong_count() > 0)
        {
            return; // The instance came back meanwhile: the series are in use.
        }
        known.remove(&self.key);
        let labels = [&*self.key.0, &*self.key.1.node, &*self.key.1.instance];
        for class in CLASSES {
            // Removing what is not there is no error worth a word.
            let _ = self
                .vectors
                .0
                .remove_label_values(&[labels[0], labels[1], labels[2], class]);
        }
        let _ = self.vectors.1.remove_label_values(&labels);
        let _ = self.vectors.2.remove_label_values(&labels);
    }
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    let counters = IntCounterVec::new(Opts::new(name, help), labels).expect("a valid metric name");
    register(registry, &counters);
    counters
}

fn register<C: prometheus::core::Collector + Clone + 'static>(registry: &Registry, metric: &C) {
    registry
        .register(Box::new(metric.clone()))
        .expect("each metric is registered once");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(metrics: &Metrics) -> usize {
        metrics
            .registry
            .gather()
            .iter()
            .filter(|family| family.name() == "turno_requests_total")
            .map(|family| family.get_metric().len())
            .sum()
    }

    #[test]
    fn the_series_of_an_instance_go_with_its_last_holder() {
        let metrics = Metrics::new();
        let id = EndpointId {
            node: "n".into(),
            instance: "a".into(),
        };
        let first = metrics.instance("web", &id);
        let second = metrics.instance("web", &id);
        first.answered(200);
        drop(first);
        assert_eq!((second.total(), series(&metrics)), (1, 5));
        drop(second);
        assert_eq!(series(&metrics), 0);
    }
}
