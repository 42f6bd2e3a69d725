//! The configuration file: TOML as a person writes it. Anything may be missing, no key may be unknown.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::address::Address;
use super::rules::{self, RawFixed, RawRoute, Wrong};
use super::{Config, ConfigError, Limits, MAX_WORKERS, Policy, duration};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
struct RawConfig {
    listen: Option<Address>,
    admin: Option<Address>,
    workers: Option<usize>,
    policy: Option<Policy>,
    access_log: Option<bool>,
    abort_on_close: Option<bool>,
    #[serde(default, rename = "route")]
    routes: Vec<RawRoute>,
    #[serde(default)]
    fixed: Vec<RawFixed>,
    #[serde(default)]
    limits: RawLimits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    head_bytes: Option<usize>,
    headers: Option<usize>,
    connections: Option<usize>,
    idle: Option<String>,
    head: Option<String>,
    connect: Option<String>,
    response: Option<String>,
    stall: Option<String>,
    upstream_idle: Option<String>,
    upstream_idle_connections: Option<usize>,
    drain: Option<String>,
    tries: Option<usize>,
}

pub(super) fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    let raw: RawConfig = toml::from_str(&text).map_err(|error| ConfigError::Parse {
        path: path.to_owned(),
        detail: located(&text, &error),
    })?;
    let value = |(field, detail)| ConfigError::Value {
        path: path.to_owned(),
        field,
        detail,
    };
    complete(raw)
        .map_err(value)?
        .checked()
        .map_err(|error| value(("route".to_owned(), error.to_string())))
}

/// A parse error in one line: where, and what was expected.
pub(crate) fn located(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().replace('\n', " ");
    let Some(span) = error.span() else {
        return message;
    };
    let before = &text[..span.start.min(text.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    format!("line {line}, column {column}: {message}")
}

fn complete(raw: RawConfig) -> Result<Config, Wrong> {
    let default = Config::default();
    let policy = raw.policy.unwrap_or_default();
    Ok(Config {
        listen: raw.listen.map_or(default.listen, |it| it.0),
        admin: raw.admin.map(|it| it.0),
        workers: within(
            "workers",
            raw.workers.unwrap_or(default.workers),
            1,
            MAX_WORKERS,
        )?,
        routes: rules::routes(raw.routes, policy)?,
        fixed: rules::fixed(raw.fixed)?,
        limits: complete_limits(raw.limits)?,
        access_log: raw.access_log.unwrap_or(default.access_log),
        abort_on_close: raw.abort_on_close.unwrap_or(default.abort_on_close),
    })
}

fn complete_limits(raw: RawLimits) -> Result<Limits, Wrong> {
    let d = Limits::default();
    Ok(Limits {
        head_bytes: within(
            "limits.head_bytes",
            raw.head_bytes.unwrap_or(d.head_bytes),
            1_024,
            65_536,
        )?,
        headers: within("limits.headers", raw.headers.unwrap_or(d.headers), 1, 100)?,
        connections: within(
            "limits.connections",
            raw.connections.unwrap_or(d.connections),
            1,
            10_000_000,
        )?,
        idle: time("limits.idle", raw.idle, d.idle)?,
        head: time("limits.head", raw.head, d.head)?,
        connect: time("limits.connect", raw.connect, d.connect)?,
        response: time("limits.response", raw.response, d.response)?,
        stall: time("limits.stall", raw.stall, d.stall)?,
        upstream_idle: time("limits.upstream_idle", raw.upstream_idle, d.upstream_idle)?,
        upstream_idle_connections: within(
            "limits.upstream_idle_connections",
            raw.upstream_idle_connections
                .unwrap_or(d.upstream_idle_connections),
            0,
            1_000_000,
        )?,
        drain: time("limits.drain", raw.drain, d.drain)?,
        tries: within("limits.tries", raw.tries.unwrap_or(d.tries), 1, 16)?,
    })
}

fn within(field: &str, value: usize, least: usize, most: usize) -> Result<usize, Wrong> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err((
        field.to_owned(),
        format!("expected {least} to {most}, found {value}"),
    ))
}

/// The longest time any limit may be: a day. Longer is a slip of the pen.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

fn time(field: &str, value: Option<String>, default: Duration) -> Result<Duration, Wrong> {
    let Some(text) = value else {
        return Ok(default);
    };
    let value = duration::parse(&text).map_err(|detail| (field.to_owned(), detail))?;
    if value.is_zero() || value > LONGEST {
        return Err((
            field.to_owned(),
            format!("expected 1ms to 24h, found {text:?}"),
        ));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("written");
        load(file.path()).map_err(|e| e.to_string())
    }

    #[test]
    fn the_file_in_the_readme_is_one_and_its_limits_are_the_defaults() {
        let text = include_str!("../../../README.md");
        let (_, text) = text.split_once("```toml\n").expect("there is one");
        let (text, _) = text.split_once("```").expect("it ends");
        let config = loaded(text).expect("a good file");
        assert_eq!(config.limits, Limits::default());
        assert_eq!((config.routes.len(), config.fixed.len()), (3, 1));
    }

    #[test]
    fn a_whole_file() {
        let config = loaded(
            r#"
            listen = "127.0.0.1:0"
            workers = 2
            policy = "least-connections"
            [[route]]
            path = "/"
            service = "web"
            [[route]]
            host = "API.example"
            path = "/v1/"
            service = "api"
            strip_prefix = true
            policy = "random"
            [[fixed]]
            service = "web"
            endpoints = ["127.0.0.1:9001"]
            [limits]
            head = "3s"
            "#,
        )
        .expect("a good file");
        assert_eq!(config.workers, 2);
        assert_eq!(config.routes[0].policy, Policy::LeastConnections);
        assert_eq!(config.routes[1].to_string(), "api.example/v1=api");
        assert_eq!(config.routes[1].policy, Policy::Random);
        assert_eq!(config.limits.head, Duration::from_secs(3));
        assert_eq!(config.discovered(), ["api"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, expected) in [
            (
                "lisen = \"127.0.0.1:1\"",
                "line 1, column 1: unknown field `lisen`",
            ),
            (
                "workers = 1\n[[route]]\npath = \"/\"\nservice = \"w\"\nweigth = 3",
                "line 5, column 1: unknown field `weigth`",
            ),
            (
                "workers = 0\n[[route]]\npath = \"/\"\nservice = \"w\"",
                "workers: expected 1 to 256, found 0",
            ),
            (
                "[[route]]\npath = \"x\"\nservice = \"w\"",
                "route[0]: path \"x\" does not start",
            ),
            ("listen = \"8080\"", "line 1, column 10"),
            (
                "[limits]\nidle = \"10\"",
                "limits.idle: expected a number and a unit",
            ),
            (
                "[limits]\nidle = \"0s\"",
                "limits.idle: expected 1ms to 24h",
            ),
            (
                "policy = \"fast\"",
                "line 1, column 10: unknown variant `fast`",
            ),
            (
                "listen = \":8080\"",
                "line 1, column 10: expected IP:PORT, as 127.0.0.1:8080",
            ),
            ("workers = ", "line 1"),
            ("workers = 1", "no route"),
        ] {
            let error = loaded(text).expect_err(text);
            assert!(
                error.contains(expected),
                "{text}\n  gave     {error}\n  expected {expected}"
            );
            assert!(!error.contains('\n'), "one line: {error}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Config::load("/nonexistent/lb.toml")
            .expect_err("no such file")
            .to_string();
        assert!(
            error.starts_with("cannot read /nonexistent/lb.toml: "),
            "{error}"
        );
    }
}
