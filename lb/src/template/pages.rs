//! The admin pages of the watcher: health, readiness, metrics, and a JSON view of templates and what they read.
//!
//! It reads and never changes anything. Listening, and who may ask, is the program's business.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use daemon::http::{Reply, json, text};
use http::{Method, StatusCode};
use prometheus::core::Collector;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts};
use serde_json::{Value, json};

use super::board::{Board, State};
use crate::observe::exposition;

/// Answers questions about one running watcher. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pages {
    board: Board,
}

impl Pages {
    pub(super) fn new(board: Board) -> Self {
        Self { board }
    }

    /// The answer to a request, or `None` if the path is none of ours: `/health`, `/ready`, `/metrics`, `/v1/status`.
    #[must_use]
    pub fn respond(&self, method: &Method, path: &str) -> Option<Reply> {
        let answer: fn(&State) -> Reply = match path {
            "/health" => |_| json(StatusCode::OK, &json!({ "status": "passing" })),
            "/ready" => ready,
            "/metrics" => metrics,
            "/" | "/v1/status" => |state| json(StatusCode::OK, &status(state, Instant::now())),
            _ => return None,
        };
        if method != Method::GET && method != Method::HEAD {
            return Some(text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"));
        }
        Some(answer(&self.board.state()))
    }
}

/// Ready once every target says what it should; 503 before, with what is waited for.
fn ready(state: &State) -> Reply {
    let waiting: Vec<Value> = state
        .templates
        .iter()
        .filter(|(_, template)| template.written.is_none() && !template.current)
        .map(|(target, template)| {
            json!({ "target": target, "missing": template.missing, "error": template.error })
        })
        .collect();
    let code = if waiting.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    json(
        code,
        &json!({ "ready": waiting.is_empty(), "waiting": waiting }),
    )
}

fn status(state: &State, now: Instant) -> Value {
    let templates = state.templates.iter().map(|(target, template)| {
        json!({
            "source": template.source,
            "target": target,
            "current": template.current,
            "error": template.error,
            "rendered_at": template.rendered.map(unix),
            "written_at": template.written.map(unix),
            "render_seconds": template.render_time.as_secs_f64(),
            "bytes": template.bytes,
            "renders": template.renders_total,
            "writes": template.writes_total,
            "commands": template.commands_total,
            "rollbacks": template.rollbacks_total,
            "failures": template.failures,
            "missing": template.missing,
            "reads": template.reads,
        })
    });
    let dependencies = state.sources.iter().map(|(question, source)| {
        json!({
            "dependency": question.to_string(),
            "age_seconds": source.answered.map(|at| now.saturating_duration_since(at).as_secs_f64()),
            "index": source.index,
            "answers": source.answers_total,
            "failures": source.failures_total,
            "failing_for": source.failures,
            "error": source.error,
            "held": source.holding,
        })
    });
    let events = state.events.iter().rev().map(|event| {
        json!({ "at": unix(event.at), "event": event.kind, "target": event.target, "text": event.text })
    });
    json!({
        "templates": templates.collect::<Vec<_>>(),
        "dependencies": dependencies.collect::<Vec<_>>(),
        "events": events.collect::<Vec<_>>(),
    })
}

fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs_f64()
}

/// Made anew each time, so what is gone leaves no series behind.
fn metrics(state: &State) -> Reply {
    let now = Instant::now();
    let mut families = dependency_metrics(state, now);
    families.extend(template_metrics(state));
    families.retain(|family| !family.get_metric().is_empty());
    exposition(families)
}

type Families = Vec<prometheus::proto::MetricFamily>;

fn dependency_metrics(state: &State, now: Instant) -> Families {
    let labels = ["dependency"];
    let age = seconds(
        "turno_dependency_age_seconds",
        "Time since it was last answered",
        &labels,
    );
    let index = gauges(
        "turno_dependency_index",
        "The index of the last answer",
        &labels,
    );
    let up = gauges(
        "turno_dependency_up",
        "Whether the last question was answered",
        &labels,
    );
    let held = gauges(
        "turno_dependency_held",
        "Whether what the registry forgot is kept",
        &labels,
    );
    let answers = counters(
        "turno_dependency_answers_total",
        "Questions answered",
        &labels,
    );
    let failures = counters(
        "turno_dependency_failures_total",
        "Questions not answered",
        &labels,
    );
    for (question, source) in &state.sources {
        let name = question.to_string();
        let labels = [name.as_str()];
        if let Some(at) = source.answered {
            let known = now.saturating_duration_since(at);
            age.with_label_values(&labels).set(known.as_secs_f64());
        }
        let number = i64::try_from(source.index).unwrap_or(i64::MAX);
        index.with_label_values(&labels).set(number);
        up.with_label_values(&labels)
            .set(i64::from(source.failures == 0));
        held.with_label_values(&labels)
            .set(i64::from(source.holding));
        answers
            .with_label_values(&labels)
            .inc_by(source.answers_total);
        failures
            .with_label_values(&labels)
            .inc_by(source.failures_total);
    }
    collected(&[&age, &index, &up, &held, &answers, &failures])
}

fn template_metrics(state: &State) -> Families {
    let labels = ["target"];
    let renders = counters("turno_template_renders_total", "Renderings", &labels);
    let writes = counters(
        "turno_template_writes_total",
        "Changes of the file",
        &labels,
    );
    let commands = counters(
        "turno_template_commands_total",
        "Commands run after a change",
        &labels,
    );
    let rollbacks = counters(
        "turno_template_rollbacks_total",
        "Files taken back after a failed command",
        &labels,
    );
    let time = seconds(
        "turno_template_render_seconds",
        "What the last rendering took",
        &labels,
    );
    let last = seconds(
        "turno_template_last_render_timestamp_seconds",
        "When it was last rendered",
        &labels,
    );
    let written = seconds(
        "turno_template_last_write_timestamp_seconds",
        "When the file was last changed",
        &labels,
    );
    let current = gauges(
        "turno_template_current",
        "Whether the file says what it should",
        &labels,
    );
    let failures = counters(
        "turno_template_failures_total",
        "What went wrong, by step",
        &["target", "step"],
    );
    for (target, template) in &state.templates {
        let name = target.display().to_string();
        let labels = [name.as_str()];
        renders
            .with_label_values(&labels)
            .inc_by(template.renders_total);
        writes
            .with_label_values(&labels)
            .inc_by(template.writes_total);
        commands
            .with_label_values(&labels)
            .inc_by(template.commands_total);
        rollbacks
            .with_label_values(&labels)
            .inc_by(template.rollbacks_total);
        time.with_label_values(&labels)
            .set(template.render_time.as_secs_f64());
        if let Some(at) = template.rendered {
            last.with_label_values(&labels).set(unix(at));
        }
        if let Some(at) = template.written {
            written.with_label_values(&labels).set(unix(at));
        }
        current
            .with_label_values(&labels)
            .set(i64::from(template.current));
        for (step, count) in &template.failures {
            failures
                .with_label_values(&[name.as_str(), *step])
                .inc_by(*count);
        }
    }
    collected(&[
        &renders, &writes, &commands, &rollbacks, &time, &last, &written, &current, &failures,
    ])
}

fn collected(collectors: &[&dyn Collector]) -> Families {
    collectors
        .iter()
        .flat_map(|collector| collector.collect())
        .collect()
}

fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels).expect("a valid metric name")
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    IntGaugeVec::new(Opts::new(name, help), labels).expect("a valid metric name")
}

fn seconds(name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    GaugeVec::new(Opts::new(name, help), labels).expect("a valid metric name")
}
