//! A check definition: its keys, what they may be, and that it is of exactly one kind.
//!
//! Consul finds most of these mistakes only when it starts or reloads, after it has dropped what was registered.

use std::time::Duration;

use consul::types::{CheckDefinition, Secret, Status, format_duration};

use super::fields::{At, Fields, Sink};
use super::syntax::Node;

/// Where a check is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Within a service, to which it belongs.
    Within,
    /// By itself: it needs a name, and may name a service.
    Alone,
}

const KEYS: [&str; 37] = [
    "id",
    "check_id",
    "name",
    "notes",
    "service_id",
    "token",
    "status",
    "args",
    "script_args",
    "http",
    "header",
    "method",
    "body",
    "tcp",
    "tcp_use_tls",
    "udp",
    "grpc",
    "grpc_use_tls",
    "h2ping",
    "h2ping_use_tls",
    "zmtp",
    "os_service",
    "docker_container_id",
    "shell",
    "alias_node",
    "alias_service",
    "ttl",
    "interval",
    "timeout",
    "tls_skip_verify",
    "tls_server_name",
    "disable_redirects",
    "success_before_passing",
    "failures_before_critical",
    "failures_before_warning",
    "output_max_size",
    "deregister_critical_service_after",
];

/// What decides the kind of a check, for a message.
const KINDS: &str =
    "http, tcp, udp, grpc, h2ping, zmtp, args, os_service, ttl, alias_service, alias_node";

/// Reads one check; `None` when something is wrong with it.
pub(super) fn read(
    node: Node,
    path: String,
    place: Place,
    sink: &mut Sink<'_>,
) -> Option<CheckDefinition> {
    let before = sink.count();
    let mut fields = Fields::of(node, path, sink)?;
    let mut check = CheckDefinition::default();
    identity(&mut fields, &mut check, place, sink);
    target(&mut fields, &mut check, sink);
    let pace = pace(&mut fields, &mut check, sink);
    one_kind(&fields, &check, before, sink);
    timing(&fields, &check, &pace, before, sink);
    fields.finish(&KEYS, sink);
    (sink.count() == before).then_some(check)
}

fn identity(fields: &mut Fields, check: &mut CheckDefinition, place: Place, sink: &mut Sink<'_>) {
    let value = |text: At<String>| text.value;
    let other = fields.text("check_id", sink).map(value);
    check.check_id = fields.text("id", sink).map(value).or(other);
    check.name = fields.text("name", sink).map(value);
    check.notes = fields.text("notes", sink).map(value);
    // Consul takes a token for a check that stands alone, and ignores one within a service.
    check.token = fields
        .text("token", sink)
        .map(|text| Secret(text.value))
        .filter(|_| place == Place::Alone);
    let service = fields.text("service_id", sink);
    match place {
        Place::Alone if check.name.is_none() => {
            sink.wrong(
                fields.at,
                &fields.path_of("name"),
                "missing: a check that stands alone needs a name",
            );
        }
        Place::Within => {
            if let Some(service) = &service {
                let text = "a check within a service belongs to it; leave service_id out";
                fields.wrong(sink, "service_id", service, text);
            }
        }
        Place::Alone => {}
    }
    check.service_id = service.map(value);
    if let Some(status) = fields.text("status", sink) {
        match status.value.parse() {
            Ok(word @ (Status::Passing | Status::Warning | Status::Critical)) => {
                check.status = Some(word)
            }
            _ => fields.wrong(
                sink,
                "status",
                &status,
                "expected passing, warning or critical",
            ),
        }
    }
}

fn target(fields: &mut Fields, check: &mut CheckDefinition, sink: &mut Sink<'_>) {
    let mut text = |name| fields.text(name, sink).map(|text| text.value);
    check.tcp = text("tcp");
    check.udp = text("udp");
    check.grpc = text("grpc");
    check.h2ping = text("h2ping");
    check.zmtp = text("zmtp");
    check.os_service = text("os_service");
    check.method = text("method");
    check.body = text("body");
    check.docker_container_id = text("docker_container_id");
    check.shell = text("shell");
    check.alias_node = text("alias_node");
    check.alias_service = text("alias_service");
    check.tls_server_name = text("tls_server_name");
    check.header = fields.list_map("header", sink);
    check.tls_skip_verify = fields.flag("tls_skip_verify", sink);
    check.disable_redirects = fields.flag("disable_redirects", sink);
    check.grpc_use_tls = fields.flag("grpc_use_tls", sink);
    check.tcp_use_tls = fields.flag("tcp_use_tls", sink);
    check.h2ping_use_tls = fields.choice("h2ping_use_tls", sink);
    let args = fields.texts("args", sink);
    let other = fields.texts("script_args", sink);
    check.args = if args.is_empty() { other } else { args };
    if let Some(url) = fields.text("http", sink) {
        let good = ["http://", "https://"]
            .iter()
            .any(|scheme| url.value.starts_with(scheme));
        if !good {
            fields.wrong(
                sink,
                "http",
                &url,
                "expected a URL that begins with http:// or https://",
            );
        }
        check.http = Some(url.value);
    }
}

/// The durations that rules are about.
struct Pace {
    interval: Option<At<Duration>>,
    ttl: Option<At<Duration>>,
}

fn pace(fields: &mut Fields, check: &mut CheckDefinition, sink: &mut Sink<'_>) -> Pace {
    let written =
        |duration: &Option<At<Duration>>| duration.as_ref().map(|at| format_duration(at.value));
    let interval = fields.duration("interval", sink);
    let ttl = fields.duration("ttl", sink);
    check.interval = written(&interval);
    check.ttl = written(&ttl);
    check.timeout = written(&fields.duration("timeout", sink));
    check.deregister_critical_service_after =
        written(&fields.duration("deregister_critical_service_after", sink));
    check.success_before_passing = fields.count("success_before_passing", sink);
    check.failures_before_critical = fields.count("failures_before_critical", sink);
    check.failures_before_warning = fields.count("failures_before_warning", sink);
    check.output_max_size = fields
        .number("output_max_size", 1, i64::MAX, sink)
        .unwrap_or(0);
    Pace { interval, ttl }
}

fn one_kind(fields: &Fields, check: &CheckDefinition, before: usize, sink: &mut Sink<'_>) {
    if sink.count() != before {
        // What is missing may just have been unreadable.
        return;
    }
    let alias = check.alias_service.is_some() || check.alias_node.is_some();
    let kinds = [
        ("http", check.http.is_some()),
        ("tcp", check.tcp.is_some()),
        ("udp", check.udp.is_some()),
        ("grpc", check.grpc.is_some()),
        ("h2ping", check.h2ping.is_some()),
        ("zmtp", check.zmtp.is_some()),
        ("os_service", check.os_service.is_some()),
        ("args", !check.args.is_empty()),
        ("ttl", check.ttl.is_some()),
        ("alias_service", alias),
    ];
    let given: Vec<&str> = kinds
        .into_iter()
        .filter(|(_, given)| *given)
        .map(|(kind, _)| kind)
        .collect();
    match given.as_slice() {
        [_] => {}
        [] => sink.wrong(
            fields.at,
            &fields.path,
            format!("a check of no kind; expected one of {KINDS}"),
        ),
        several => {
            let text = format!(
                "a check is of one kind, this one has {}",
                several.join(" and ")
            );
            sink.wrong(fields.at, &fields.path, text);
        }
    }
}

fn timing(
    fields: &Fields,
    check: &CheckDefinition,
    pace: &Pace,
    before: usize,
    sink: &mut Sink<'_>,
) {
    if sink.count() != before {
        return;
    }
    let alias = check.alias_service.is_some() || check.alias_node.is_some();
    match (&pace.interval, &pace.ttl) {
        (_, Some(ttl)) if ttl.value.is_zero() => {
            fields.wrong(sink, "ttl", ttl, "expected more than 0s")
        }
        (Some(interval), _) if interval.value.is_zero() => {
            fields.wrong(sink, "interval", interval, "expected more than 0s");
        }
        (Some(interval), Some(_)) => {
            fields.wrong(
                sink,
                "interval",
                interval,
                "a ttl check has no interval: it is told its status",
            );
        }
        (Some(interval), None) if alias => {
            fields.wrong(
                sink,
                "interval",
                interval,
                "an alias check has no interval: it follows another's status",
            );
        }
        (None, None) if !alias => {
            sink.wrong(
                fields.at,
                &fields.path_of("interval"),
                "missing: how often the check runs, like \"10s\"",
            );
        }
        _ => {}
    }
}
