//! A broker's numbers as others read them: JSON, and Prometheus' text.
//!
//! It knows what the numbers mean, not who asks for them nor where.

use std::fmt::Write;

use serde::Serialize;

use super::Status;
use crate::{
    core::report::{LATENCY_BOUNDS, Latency, ServiceReport},
    federation::NeighbourReport,
};

/// Everything there is to know of a broker at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The broker's name.
    pub broker: String,
    /// Its totals.
    #[serde(flatten)]
    pub status: Status,
    /// How long requests took.
    pub latency: Latency,
    /// The services, those with the longest queues first.
    pub services: Vec<ServiceReport>,
    /// Services not among them.
    pub services_left_out: usize,
    /// The other brokers it knows.
    pub neighbours: Vec<NeighbourReport>,
}

impl Report {
    /// As Prometheus reads it.
    pub fn prometheus(&self) -> String {
        let mut page = Page(String::new());
        self.totals(&mut page);
        self.moment(&mut page);
        self.by_service(&mut page);
        self.histogram(&mut page);
        page.0
    }

    fn totals(&self, page: &mut Page) {
        let it = &self.status.counters;
        let outcomes = [
            ("answered", it.answered),
            ("failed", it.failed),
            ("refused", it.refused),
            ("abandoned", it.abandoned),
        ];
        page.head(
            "turno_mq_requests_total",
            "counter",
            "Requests, by how they ended",
        );
        for (outcome, count) in outcomes {
            page.labelled("turno_mq_requests_total", "outcome", outcome, count);
        }
        let counters = [
            ("accepted", "Requests accepted", it.accepted),
            (
                "attempts",
                "Times a request was given to a worker",
                it.dispatched,
            ),
            (
                "redeliveries",
                "Times a request came back from a worker without an answer",
                it.requeued,
            ),
            (
                "handed_over",
                "Times a request was handed over to another broker",
                it.handed_over,
            ),
            (
                "taken_over",
                "Requests taken over from other brokers",
                it.taken_over,
            ),
            (
                "given_back",
                "Requests of other brokers that went back to them",
                it.given_back,
            ),
            (
                "dead_letters",
                "Requests that used up their attempts",
                it.dead_letters,
            ),
            (
                "duplicates",
                "Requests that came again while the first was held",
                it.duplicates,
            ),
            (
                "replayed",
                "Requests that came again and were answered from what was kept",
                it.replayed,
            ),
            ("restored", "Requests taken back from disk", it.restored),
            (
                "not_kept",
                "Requests refused because the disk did not take them",
                it.not_kept,
            ),
            (
                "late_answers",
                "Answers of workers that nobody waited for any more",
                it.late,
            ),
            (
                "strays",
                "Messages of workers that are not known, or about what they do not have",
                it.strays,
            ),
            ("garbage", "Messages that were none", self.status.garbage),
            (
                "answers_lost",
                "Answers that their client's connection did not take",
                self.status.answers_lost,
            ),
            (
                "trace_lines_lost",
                "Trace lines that no logger took",
                self.status.lines_lost,
            ),
        ];
        for (name, help, count) in counters {
            let name = format!("turno_mq_{name}_total");
            page.head(&name, "counter", help);
            page.plain(&name, count);
        }
    }

    fn moment(&self, page: &mut Page) {
        let it = &self.status.census;
        let gauges = [
            (
                "requests_held",
                "Requests held, waiting or with a worker",
                it.requests,
            ),
            ("held_bytes", "Bytes they are accounted for", it.bytes),
            ("workers_attached", "Workers", it.workers),
            (
                "services_known",
                "Services that somebody asks for or serves",
                it.services,
            ),
            (
                "answers_kept",
                "Answers kept for requests that come again",
                it.answers,
            ),
            (
                "connections",
                "Connections that have said something",
                self.status.connections,
            ),
        ];
        for (name, help, value) in gauges {
            let name = format!("turno_mq_{name}");
            page.head(&name, "gauge", help);
            page.plain(&name, value);
        }
    }

    fn by_service(&self, page: &mut Page) {
        type Value = fn(&ServiceReport) -> f64;
        #[expect(clippy::cast_precision_loss, reason = "no queue is that long")]
        let gauges: [(&str, &str, Value); 5] = [
            ("queue_length", "Requests waiting for a worker", |it| {
                it.queued as f64
            }),
            (
                "queue_age_seconds",
                "How long the first of them has waited",
                |it| it.oldest_ms as f64 / 1000.0,
            ),
            ("running", "Requests with a worker", |it| it.running as f64),
            ("workers", "Workers that serve it", |it| it.workers as f64),
            ("workers_free", "Those of them with room", |it| {
                it.free as f64
            }),
        ];
        for (name, help, value) in gauges {
            let name = format!("turno_mq_{name}");
            page.head(&name, "gauge", help);
            for service in &self.services {
                page.labelled(&name, "service", &service.name, value(service));
            }
        }
    }

    fn histogram(&self, page: &mut Page) {
        let name = "turno_mq_latency_seconds";
        page.head(
            name,
            "histogram",
            "From a request's acceptance to its worker's answer",
        );
        let mut below = 0;
        let bounds = LATENCY_BOUNDS.iter().map(ToString::to_string);
        let bounds = bounds.chain(std::iter::once("+Inf".to_owned()));
        for (bound, count) in bounds.zip(self.latency.counts) {
            below += count;
            page.labelled(&format!("{name}_bucket"), "le", &bound, below);
        }
        page.plain(&format!("{name}_sum"), self.latency.sum);
        page.plain(&format!("{name}_count"), below);
    }
}

/// Text in Prometheus' format.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn plain(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name} {value}");
    }

    /// The label's value is a stranger's: it is escaped.
    fn labelled(&mut self, name: &str, label: &str, of: &str, value: impl std::fmt::Display) {
        let of = of
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        let _ = writeln!(self.0, "{name}{{{label}=\"{of}\"}} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_services_cannot_break_the_page() {
        let service = ServiceReport {
            name: "a\"} 1\n#".to_owned(),
            queued: 2,
            queued_bytes: 3,
            oldest_ms: 1500,
            running: 1,
            workers: 4,
            free: 0,
            brokers: 0,
        };
        let mut report = Report {
            broker: "mq".to_owned(),
            status: Status::default(),
            latency: Latency::default(),
            services: vec![service],
            services_left_out: 0,
            neighbours: Vec::new(),
        };
        report.latency.counts[3] = 2;
        let text = report.prometheus();
        for line in [
            r#"turno_mq_queue_length{service="a\"} 1\n#"} 2"#,
            r#"turno_mq_queue_age_seconds{service="a\"} 1\n#"} 1.5"#,
            r#"turno_mq_latency_seconds_bucket{le="0.0025"} 0"#,
            r#"turno_mq_latency_seconds_bucket{le="+Inf"} 2"#,
            "turno_mq_latency_seconds_count 2",
            r#"turno_mq_requests_total{outcome="answered"} 0"#,
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
    }
}
