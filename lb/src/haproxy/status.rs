//! What the driver says of itself: counters, the state of the moment, and pages that show them. It decides nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use daemon::http::{Reply, json, text};
use http::{Method, StatusCode};
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry,
};
use serde_json::{Value, json};

use super::render::Backends;
use crate::discovery::Freshness;
use crate::observe::exposition;

/// Upper bounds of the time from a snapshot to HAProxy's last answer, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0];

/// What is counted.
#[derive(Debug)]
pub(super) struct Status {
    registry: Registry,
    reloads: IntCounterVec,
    pub(super) commands: IntCounter,
    pub(super) refused: IntCounter,
    pub(super) repairs: IntCounter,
    pub(super) starts: IntCounter,
    pub(super) writes: IntCounter,
    pub(super) applied: Histogram,
    up: IntGauge,
    slots: IntGaugeVec,
    moment: Mutex<Moment>,
}

/// What is true now.
#[derive(Debug, Default)]
struct Moment {
    up: bool,
    master: u32,
    worker: Option<u32>,
    old: Vec<u32>,
    last_change: Option<Instant>,
    last_reload: Option<(Instant, String)>,
    last_error: Option<(Instant, String)>,
    pending: Option<String>,
    backends: Backends,
}

impl Status {
    pub(super) fn new() -> Arc<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect("a valid metric name");
            add(&registry, &counter);
            counter
        };
        let reloads = IntCounterVec::new(
            Opts::new(
                "turno_haproxy_reloads_total",
                "Reloads of HAProxy, by result",
            ),
            &["result"],
        )
        .expect("a valid metric name");
        let up = IntGauge::new("turno_haproxy_up", "Whether HAProxy answers on its socket")
            .expect("a valid metric name");
        let slots = IntGaugeVec::new(
            Opts::new("turno_haproxy_slots", "Servers of a backend, by state"),
            &["backend", "state"],
        )
        .expect("a valid metric name");
        let applied = Histogram::with_opts(
            HistogramOpts::new(
                "turno_haproxy_apply_seconds",
                "Time from a new snapshot to HAProxy's answer to the commands it took",
            )
            .buckets(BUCKETS.to_vec()),
        )
        .expect("a valid metric name");
        add(&registry, &reloads);
        add(&registry, &up);
        add(&registry, &slots);
        add(&registry, &applied);
        for result in ["done", "failed"] {
            reloads.with_label_values(&[result]);
        }
        Arc::new(Self {
            commands: counter("turno_haproxy_commands_total", "Runtime commands sent"),
            refused: counter(
                "turno_haproxy_refused_total",
                "Runtime commands HAProxy did not carry out",
            ),
            repairs: counter(
                "turno_haproxy_repairs_total",
                "Commands sent because HAProxy differed though nothing had changed",
            ),
            starts: counter("turno_haproxy_starts_total", "Starts of HAProxy by turno"),
            writes: counter(
                "turno_haproxy_writes_total",
                "Times HAProxy's file was written",
            ),
            reloads,
            applied,
            up,
            slots,
            registry,
            moment: Mutex::default(),
        })
    }

    /// HAProxy answers, or does not.
    pub(super) fn up(&self, processes: Option<&super::observed::Processes>) {
        let mut moment = self.moment();
        moment.up = processes.is_some();
        self.up.set(i64::from(moment.up));
        if let Some(processes) = processes {
            moment.master = processes.master;
            moment.worker = processes.worker;
            moment.old.clone_from(&processes.old);
        }
    }

    /// HAProxy does what `backends` say.
    pub(super) fn changed(&self, backends: &Backends) {
        let mut moment = self.moment();
        moment.last_change = Some(Instant::now());
        moment.backends.clone_from(backends);
    }

    /// A reload was done, for that reason.
    pub(super) fn reloaded(&self, reason: &str) {
        self.reloads.with_label_values(&["done"]).inc();
        self.moment().last_reload = Some((Instant::now(), reason.to_owned()));
    }

    /// A reload was tried in vain.
    pub(super) fn reload_failed(&self) {
        self.reloads.with_label_values(&["failed"]).inc();
    }

    /// A reload is waited for; `None`: no longer.
    pub(super) fn pending(&self, reason: Option<String>) {
        self.moment().pending = reason;
    }

    /// Something went wrong.
    pub(super) fn error(&self, error: &str) {
        self.moment().last_error = Some((Instant::now(), error.to_owned()));
    }

    fn moment(&self) -> MutexGuard<'_, Moment> {
        self.moment.lock().expect("no holder of this lock panics")
    }
}

fn add(registry: &Registry, collector: &(impl prometheus::core::Collector + Clone + 'static)) {
    registry
        .register(Box::new(collector.clone()))
        .expect("each metric is registered once");
}

/// Answers questions about the driver of an HAProxy. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pages {
    pub(super) status: Arc<Status>,
    pub(super) freshness: Arc<Freshness>,
}

impl Pages {
    /// The answer to a request, or `None` if the path is none of these: `/health`, `/ready`, `/metrics`, `/v1/haproxy`.
    #[must_use]
    pub fn respond(&self, method: &Method, path: &str) -> Option<Reply> {
        let answer: fn(&Self) -> Reply = match path {
            "/health" => |_| json(StatusCode::OK, &json!({ "status": "passing" })),
            "/ready" => Self::ready,
            "/metrics" => Self::metrics,
            "/" | "/v1/haproxy" => |pages| json(StatusCode::OK, &pages.view()),
            _ => return None,
        };
        if method != Method::GET && method != Method::HEAD {
            return Some(text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"));
        }
        Some(answer(self))
    }

    fn ready(&self) -> Reply {
        let up = self.status.moment().up;
        let status = if up {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        json(status, &json!({ "ready": up, "services": self.services() }))
    }

    fn services(&self) -> BTreeMap<String, Value> {
        let now = Instant::now();
        let sources = self.freshness.sources().into_iter();
        sources
            .map(|(name, source)| {
                let view = json!({
                    "age_seconds": source.age(now).map(|age| age.as_secs_f64()),
                    "index": source.index,
                    "held": source.held,
                    "failures": source.failures_total,
                    "error": source.error,
                });
                (name.to_string(), view)
            })
            .collect()
    }

    fn view(&self) -> Value {
        let status = &self.status;
        let moment = status.moment();
        let ago = |at: Instant| at.elapsed().as_secs_f64();
        let told = |told: &Option<(Instant, String)>, what: &str| {
            told.as_ref()
                .map(|(at, text)| json!({ "seconds_ago": ago(*at), what: text }))
        };
        json!({
            "up": moment.up,
            "master": moment.master,
            "worker": moment.worker,
            "old_workers": moment.old,
            "reloads": status.reloads.with_label_values(&["done"]).get(),
            "reloads_failed": status.reloads.with_label_values(&["failed"]).get(),
            "commands": status.commands.get(),
            "refused": status.refused.get(),
            "repairs": status.repairs.get(),
            "starts": status.starts.get(),
            "last_change_seconds_ago": moment.last_change.map(ago),
            "last_reload": told(&moment.last_reload, "reason"),
            "last_error": told(&moment.last_error, "error"),
            "pending_reload": moment.pending,
            "backends": backends(&moment.backends),
            "services": self.services(),
        })
    }

    fn metrics(&self) -> Reply {
        let status = &self.status;
        self.count_slots();
        let mut families = status.registry.gather();
        let change = Gauge::new(
            "turno_haproxy_last_change_age_seconds",
            "Time since HAProxy was last brought to a new state",
        )
        .expect("a valid metric name");
        if let Some(at) = status.moment().last_change {
            change.set(at.elapsed().as_secs_f64());
            families.extend(prometheus::core::Collector::collect(&change));
        }
        families.extend(self.registry_age());
        exposition(families)
    }

    fn count_slots(&self) {
        let gauges = &self.status.slots;
        gauges.reset();
        for (name, backend) in &self.status.moment().backends {
            let count = |drained| {
                let of = backend.slots.iter().flatten();
                of.filter(|o| o.drained == drained).count()
            };
            let (ready, drained) = (count(false), count(true));
            for (state, count) in [
                ("ready", ready),
                ("drain", drained),
                ("spare", backend.slots.len() - ready - drained),
            ] {
                let gauge = gauges.with_label_values(&[name.as_str(), state]);
                gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
    }

    /// How old what the registry said is; under the names that the balancer uses.
    fn registry_age(&self) -> Vec<prometheus::proto::MetricFamily> {
        let gauge = |name: &str, help: &str| {
            GaugeVec::new(Opts::new(name, help), &["service"]).expect("a valid metric name")
        };
        let age = gauge(
            "turno_snapshot_age_seconds",
            "Time since the registry last answered for a service",
        );
        let up = gauge(
            "turno_registry_up",
            "Whether the last question to the registry was answered",
        );
        for (name, source) in self.freshness.sources() {
            let known = source.age(Instant::now()).unwrap_or(Duration::ZERO);
            age.with_label_values(&[&*name]).set(known.as_secs_f64());
            let is_up = if source.failures == 0 { 1.0 } else { 0.0 };
            up.with_label_values(&[&*name]).set(is_up);
        }
        let mut families = prometheus::core::Collector::collect(&age);
        families.extend(prometheus::core::Collector::collect(&up));
        families.retain(|family| !family.get_metric().is_empty());
        families
    }
}

/// The slots of each backend that somebody stands in.
fn backends(backends: &Backends) -> BTreeMap<String, Value> {
    let backend = |(name, backend): (&super::word::Word, &super::slots::Backend)| {
        let taken = backend.slots.iter().enumerate();
        let taken = taken.filter_map(|(index, slot)| {
            let occupant = slot.as_ref()?;
            Some(json!({
                "server": super::word::Word::slot(index).to_string(),
                "instance": &*occupant.id.instance,
                "node": &*occupant.id.node,
                "address": occupant.address.to_string(),
                "weight": occupant.weight,
                "state": if occupant.drained { "drain" } else { "ready" },
            }))
        });
        let view = json!({
            "slots": backend.slots.len(),
            "unplaced": backend.unplaced,
            "servers": taken.collect::<Vec<_>>(),
        });
        (name.to_string(), view)
    };
    backends.iter().map(backend).collect()
}
