//! What the balancer says of itself: health, readiness, metrics, and views of routes and pools.
//!
//! It reads and never changes anything. Listening, and who may ask, is the program's business.

mod views;

use std::sync::Arc;
use std::time::Instant;

use daemon::http::{Reply, json, text};
use http::{Method, StatusCode};
use prometheus::core::Collector;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts};
use tokio::sync::watch;

use crate::discovery::Freshness;
use crate::observe::{Metrics, exposition};
use crate::routing::RouteTable;
use crate::snapshot::Snapshot;

/// Answers questions about one running balancer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admin {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) table: watch::Receiver<Arc<RouteTable>>,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) freshness: Arc<Freshness>,
}

impl Admin {
    /// The answer to a request, or `None` if the path is none of the balancer's: `/` (the dashboard), `/health`,
    /// `/ready`, `/metrics`, `/v1/routes`, `/v1/pools`.
    #[must_use]
    pub fn respond(&self, method: &Method, path: &str, _query: Option<&str>) -> Option<Reply> {
        let answer: fn(&Self) -> Reply = match path {
            "/" => |_| dashboard(),
            "/health" => |_| json(StatusCode::OK, &serde_json::json!({ "status": "passing" })),
            "/ready" => Self::ready,
            "/metrics" => Self::exposition,
            "/v1/routes" => |admin| json(StatusCode::OK, &views::routes(&admin.table.borrow())),
            "/v1/pools" => |admin| {
                json(
                    StatusCode::OK,
                    &views::pools(&admin.table.borrow(), &admin.snapshots.borrow()),
                )
            },
            _ => return None,
        };
        if method != Method::GET && method != Method::HEAD {
            return Some(text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"));
        }
        Some(answer(self))
    }

    /// Ready as soon as this is asked: a balancer listens only after its first snapshot. The body says how old its
    /// knowledge is, and what is wrong if the registry is away.
    fn ready(&self) -> Reply {
        let ready = views::ready(&self.freshness.sources(), Instant::now());
        json(StatusCode::OK, &ready)
    }

    fn exposition(&self) -> Reply {
        let mut families = self.metrics.registry.gather();
        families.extend(self.moment());
        exposition(families)
    }

    /// What is measured at the moment it is asked for. Made anew each time, so what is gone leaves no series behind.
    fn moment(&self) -> Vec<prometheus::proto::MetricFamily> {
        let instance = ["service", "node", "instance", "address"];
        let in_flight = gauges("turno_upstream_in_flight", "Requests in flight", &instance);
        let weights = gauges("turno_upstream_weight", "Weight in rotation", &instance);
        let states = gauges(
            "turno_upstreams",
            "Registered instances, by state",
            &["service", "state"],
        );
        let table = self.table.borrow().clone();
        let snapshot = self.snapshots.borrow().clone();
        for pool in views::distinct_pools(&table) {
            for (state, count) in views::states(&pool, &snapshot) {
                states
                    .with_label_values(&[&*pool.service, state])
                    .set(i64::try_from(count).unwrap_or(i64::MAX));
            }
            for (upstream, weight) in pool.members() {
                let address = upstream.address().to_string();
                let labels = [
                    &*pool.service,
                    &*upstream.id().node,
                    &*upstream.id().instance,
                    &address,
                ];
                in_flight
                    .with_label_values(&labels)
                    .set(i64::try_from(upstream.in_flight()).unwrap_or(i64::MAX));
                weights.with_label_values(&labels).set(i64::from(weight));
            }
        }
        let age = GaugeVec::new(
            Opts::new(
                "turno_snapshot_age_seconds",
                "Time since the registry last answered for a service",
            ),
            &["service"],
        )
        .expect("a valid metric name");
        let index = gauges(
            "turno_snapshot_index",
            "The registry's index of the last answer",
            &["service"],
        );
        let held = gauges(
            "turno_snapshot_held",
            "Endpoints kept though the registry forgot them",
            &["service"],
        );
        let up = gauges(
            "turno_registry_up",
            "Whether the last question to the registry was answered",
            &["service"],
        );
        let failures = IntCounterVec::new(
            Opts::new(
                "turno_registry_failures_total",
                "Questions to the registry that were not answered",
            ),
            &["service"],
        )
        .expect("a valid metric name");
        let now = Instant::now();
        for (name, source) in self.freshness.sources() {
            let labels = [&*name];
            if let Some(known) = source.age(now) {
                age.with_label_values(&labels).set(known.as_secs_f64());
            }
            index
                .with_label_values(&labels)
                .set(i64::try_from(source.index).unwrap_or(i64::MAX));
            held.with_label_values(&labels)
                .set(i64::try_from(source.held).unwrap_or(i64::MAX));
            up.with_label_values(&labels)
                .set(i64::from(source.failures == 0));
            failures
                .with_label_values(&labels)
                .inc_by(source.failures_total);
        }
        let collectors: [&dyn Collector; 8] = [
            &in_flight, &weights, &states, &age, &index, &held, &up, &failures,
        ];
        collectors
            .iter()
            .flat_map(|collector| collector.collect())
            .filter(|f| !f.get_metric().is_empty())
            .collect()
    }
}

/// A page for a person, which asks the views below it every second.
fn dashboard() -> Reply {
    let mut reply = text(StatusCode::OK, include_str!("dashboard.html"));
    let headers = reply.headers_mut();
    let fixed = http::HeaderValue::from_static;
    headers.insert(
        http::header::CONTENT_TYPE,
        fixed("text/html; charset=utf-8"),
    );
    // Nothing from elsewhere, and nobody may frame it: what it shows was written by strangers.
    let policy = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    headers.insert(http::header::CONTENT_SECURITY_POLICY, fixed(policy));
    headers.insert(http::header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
    reply
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    IntGaugeVec::new(Opts::new(name, help), labels).expect("a valid metric name")
}
