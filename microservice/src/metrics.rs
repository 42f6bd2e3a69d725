//! Numbers of a service for Prometheus: requests, times, requests in flight.
//!
//! Numbers only, no decisions. Requests are named by their route's template, never by their path,
//! so a client cannot make new series.

use std::sync::Arc;
use std::time::Instant;

use daemon::http::{Reply, text};
use http::{HeaderValue, StatusCode, header};
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

/// The route of requests that match none.
const NO_ROUTE: &str = "none";

/// Upper bounds of the histogram, in seconds: from what a handler without any waiting takes to
/// what people still wait for.
const SECONDS: &[f64] = &[0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    in_flight: IntGauge,
}

impl Metrics {
    pub(crate) fn new(service: &str) -> Self {
        const VALID: &str = "names and labels are constants of this file, each used once";
        let opts = |name, help| Opts::new(name, help).const_label("service", service);
        let requests = IntCounterVec::new(
            opts(
                "http_requests_total",
                "Requests answered, by route and class of status.",
            ),
            &["route", "class"],
        )
        .expect(VALID);
        let seconds = HistogramVec::new(
            HistogramOpts {
                common_opts: opts("http_request_duration_seconds", "Time to answer, by route."),
                buckets: SECONDS.to_vec(),
            },
            &["route"],
        )
        .expect(VALID);
        let in_flight =
            IntGauge::with_opts(opts("http_requests_in_flight", "Requests being answered."))
                .expect(VALID);
        let registry = Registry::new();
        registry.register(Box::new(requests.clone())).expect(VALID);
        registry.register(Box::new(seconds.clone())).expect(VALID);
        registry.register(Box::new(in_flight.clone())).expect(VALID);
        Self {
            registry,
            requests,
            seconds,
            in_flight,
        }
    }

    /// Counts a request as in flight until the value is dropped.
    pub(crate) fn start(self: &Arc<Self>) -> InFlight {
        self.in_flight.inc();
        InFlight {
            metrics: Arc::clone(self),
            started: Instant::now(),
        }
    }

    /// The page in Prometheus' text format, version 0.0.4.
    pub(crate) fn page(&self) -> Reply {
        match TextEncoder::new().encode_to_string(&self.registry.gather()) {
            Ok(page) => {
                let mut reply = text(StatusCode::OK, page);
                let kind = HeaderValue::from_static("text/plain; version=0.0.4");
                reply.headers_mut().insert(header::CONTENT_TYPE, kind);
                reply
            }
            Err(error) => {
                tracing::error!(%error, "cannot write the metrics");
                text(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n")
            }
        }
    }
}

/// One request in flight.
#[derive(Debug)]
pub(crate) struct InFlight {
    metrics: Arc<Metrics>,
    started: Instant,
}

impl InFlight {
    /// Counts the request as answered by a route with this template, or by none.
    pub(crate) fn answered(self, route: Option<&str>, status: StatusCode) {
        let route = route.unwrap_or(NO_ROUTE);
        let class = match status.as_u16() / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        self.metrics
            .requests
            .with_label_values(&[route, class])
            .inc();
        let seconds = self.started.elapsed().as_secs_f64();
        self.metrics
            .seconds
            .with_label_values(&[route])
            .observe(seconds);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}
