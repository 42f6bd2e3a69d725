//! What `turno haproxy` is told, by file or by flags, complete and true.
//!
//! The routes are the balancer's own; what stands here beside them is HAProxy's: where its file and its sockets are, and
//! how it is to be started. How any of it is used is not this file's business.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::word::Word;
use crate::config::rules::{self, RawFixed, RawRoute, Wrong};
use crate::config::{
    Address, Addresses, ConfigError, FixedService, Policy, RouteConfig, located, parse_duration,
};
use crate::template::Wait;

/// All that the driver of an HAProxy is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where HAProxy accepts requests; at least one.
    pub listen: Vec<SocketAddr>,
    /// Where turno answers for itself; `None`: nowhere.
    pub admin: Option<SocketAddr>,
    /// Where HAProxy shows its statistics and Prometheus metrics; `None`: nowhere.
    pub stats: Option<SocketAddr>,
    /// Which requests go to which service.
    pub routes: Vec<RouteConfig>,
    /// Services that are listed here instead of being discovered.
    pub fixed: Vec<FixedService>,
    /// The template of HAProxy's file; `None`: the one that comes with turno.
    pub template: Option<PathBuf>,
    /// HAProxy's file, and beside it turno's note of the slots.
    pub file: PathBuf,
    /// The socket of the runtime interface, level admin.
    pub socket: PathBuf,
    /// The master's socket.
    pub master: PathBuf,
    /// The program.
    pub program: PathBuf,
    /// Somebody else starts and stops HAProxy.
    pub attach: bool,
    /// HAProxy is left running when turno stops.
    pub keep: bool,
    /// The fewest servers of a backend, 1..=4096; spare ones are filled without a reload.
    pub slots: usize,
    /// How long an old worker may finish what it has.
    pub drain: Duration,
    /// The path of HAProxy's own check of a server; `None`: it only connects.
    pub check: Option<String>,
    /// How long what needs a reload waits for more of it.
    pub wait: Wait,
}

/// The folder of HAProxy's file and sockets, unless told otherwise.
pub const FOLDER: &str = "turno-haproxy";

/// The most servers in one backend that `balance roundrobin` takes (configuration manual, `balance`: 4095).
const MAX_SLOTS: usize = 4_095;

/// The longest path of a Unix socket (unix(7): 108 bytes with the final zero), less what HAProxy adds while it binds.
const MAX_SOCKET: usize = 92;

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
            admin: None,
            stats: None,
            routes: Vec::new(),
            fixed: Vec::new(),
            template: None,
            file: Path::new(FOLDER).join("haproxy.cfg"),
            socket: Path::new(FOLDER).join("runtime.sock"),
            master: Path::new(FOLDER).join("master.sock"),
            program: PathBuf::from("haproxy"),
            attach: false,
            keep: false,
            slots: 8,
            drain: Duration::from_secs(30),
            check: None,
            wait: Wait::default(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    listen: Option<Addresses>,
    admin: Option<Address>,
    stats: Option<Address>,
    policy: Option<Policy>,
    #[serde(default, rename = "route")]
    routes: Vec<RawRoute>,
    #[serde(default)]
    fixed: Vec<RawFixed>,
    template: Option<PathBuf>,
    dir: Option<PathBuf>,
    file: Option<PathBuf>,
    socket: Option<PathBuf>,
    master: Option<PathBuf>,
    program: Option<PathBuf>,
    attach: Option<bool>,
    keep: Option<bool>,
    slots: Option<usize>,
    drain: Option<String>,
    check: Option<String>,
    wait: Option<String>,
}

impl Config {
    /// Puts file and sockets into `folder`.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Self {
        self.file = folder.join("haproxy.cfg");
        self.socket = folder.join("runtime.sock");
        self.master = folder.join("master.sock");
        self
    }

    /// Reads a configuration file (TOML).
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, has an unknown key, or a value that cannot be.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
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
            .map_err(|error| match error {
                ConfigError::Value { field, detail, .. } => value((field, detail)),
                other => value(("route".to_owned(), other.to_string())),
            })
    }

    /// Checks what only the whole can show.
    ///
    /// # Errors
    /// No route, a route twice, or what HAProxy's file cannot hold.
    pub fn checked(self) -> Result<Self, ConfigError> {
        let routes = crate::config::Config {
            routes: self.routes.clone(),
            ..crate::config::Config::default()
        };
        routes.checked()?;
        let value = |field: &str, detail: String| {
            Err(ConfigError::Value {
                path: "turno haproxy".into(),
                field: field.to_owned(),
                detail,
            })
        };
        let odd = |text: &str| {
            text.chars().any(|c| {
                !c.is_ascii_graphic()
                    || matches!(c, '"' | '\'' | '\\' | '$' | '{' | '}' | '`' | '#')
            })
        };
        for route in &self.routes {
            if odd(&route.path) {
                let detail = format!("{route}: HAProxy's file cannot hold this path");
                return value("route", detail);
            }
        }
        if let Some(check) = self
            .check
            .as_ref()
            .filter(|c| !c.starts_with('/') || odd(c))
        {
            return value(
                "check",
                format!("expected a path such as /health, found {check:?}"),
            );
        }
        if self.listen.is_empty() {
            return value("listen", "expected at least one address".to_owned());
        }
        if !(1..=MAX_SLOTS).contains(&self.slots) {
            let detail = format!("expected 1 to {MAX_SLOTS}, found {}", self.slots);
            return value("slots", detail);
        }
        for (name, path) in [("socket", &self.socket), ("master", &self.master)] {
            let text = path.display().to_string();
            if text.len() > MAX_SOCKET || odd(&text) || text.contains(',') {
                let detail = format!(
                    "{text:?} is no path for a socket: at most {MAX_SOCKET} plain characters"
                );
                return value(name, detail);
            }
        }
        Ok(self)
    }

    /// The services to follow, none twice.
    pub(super) fn discovered(&self) -> Vec<&str> {
        let listed = |name: &&str| self.fixed.iter().all(|fixed| fixed.service != *name);
        let mut names: Vec<&str> = self.routes.iter().map(|r| r.service.as_str()).collect();
        names.retain(listed);
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The backends, each once: name, service, policy.
    pub(super) fn backends(&self) -> Vec<(Word, &str, Policy)> {
        let mut backends: Vec<(Word, &str, Policy)> = Vec::new();
        for route in &self.routes {
            let name = self.backend(route);
            if backends.iter().all(|(known, ..)| *known != name) {
                backends.push((name, &route.service, route.policy));
            }
        }
        backends.sort_by(|a, b| a.0.cmp(&b.0));
        backends
    }

    /// The backend of a route: named after its service, and after the policy too where routes to that service differ in it.
    pub(super) fn backend(&self, route: &RouteConfig) -> Word {
        let first = self.routes.iter().find(|r| r.service == route.service);
        if first.is_none_or(|first| first.policy == route.policy) {
            Word::of(&route.service)
        } else {
            Word::of(&format!("{}:{}", route.service, route.policy))
        }
    }
}

fn complete(raw: RawConfig) -> Result<Config, Wrong> {
    let default = raw
        .dir
        .map_or_else(Config::default, |dir| Config::default().in_folder(&dir));
    let policy = raw.policy.unwrap_or_default();
    let duration = |field: &str, text: Option<String>, default| {
        text.map_or(Ok(default), |text| parse_duration(&text))
            .map_err(|detail| (field.to_owned(), detail))
    };
    Ok(Config {
        listen: raw.listen.map_or(default.listen, |it| it.0),
        admin: raw.admin.map(|it| it.0),
        stats: raw.stats.map(|it| it.0),
        routes: rules::routes(raw.routes, policy)?,
        fixed: rules::fixed(raw.fixed)?,
        template: raw.template,
        file: raw.file.unwrap_or(default.file),
        socket: raw.socket.unwrap_or(default.socket),
        master: raw.master.unwrap_or(default.master),
        program: raw.program.unwrap_or(default.program),
        attach: raw.attach.unwrap_or(default.attach),
        keep: raw.keep.unwrap_or(default.keep),
        slots: raw.slots.unwrap_or(default.slots),
        drain: duration("drain", raw.drain, default.drain)?,
        check: raw.check,
        wait: raw
            .wait
            .map_or(Ok(default.wait), |text| text.parse())
            .map_err(|detail| ("wait".to_owned(), detail))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("written");
        Config::load(file.path()).map_err(|e| e.to_string())
    }

    #[test]
    fn the_file_in_the_docs_is_one() {
        let text = include_str!("../../../docs/haproxy.md");
        let (_, text) = text.split_once("```toml\n").expect("there is one");
        let (text, _) = text.split_once("```").expect("it ends");
        let config = loaded(text).expect("a good file");
        assert_eq!((config.routes.len(), config.fixed.len()), (2, 1));
    }

    #[test]
    fn a_whole_file() {
        let config = loaded(
            r#"
            listen = ["127.0.0.1:80", "[::1]:80"]
            stats = "127.0.0.1:8404"
            dir = "/run/t"
            program = "/usr/sbin/haproxy"
            slots = 16
            drain = "10s"
            check = "/health"
            policy = "least-connections"
            [[route]]
            path = "/"
            service = "web"
            [[route]]
            path = "/fair"
            service = "web"
            policy = "random"
            [[fixed]]
            service = "legacy"
            endpoints = ["127.0.0.1:1"]
            "#,
        )
        .expect("a good file");
        assert_eq!(config.listen.len(), 2);
        assert_eq!(config.file, Path::new("/run/t/haproxy.cfg"));
        assert_eq!(config.drain, Duration::from_secs(10));
        let names: Vec<_> = config
            .backends()
            .into_iter()
            .map(|b| b.0.to_string())
            .collect();
        assert_eq!(names, ["web", "web:random"]);
        assert_eq!(config.discovered(), ["web"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let route = "[[route]]\npath = \"/\"\nservice = \"w\"\n";
        for (text, expected) in [
            (
                "lisen = 1".to_owned(),
                "line 1, column 1: unknown field `lisen`",
            ),
            ("slots = 1".to_owned(), "no route"),
            (format!("slots = 0\n{route}"), ": slots: expected 1 to 4095"),
            (
                format!("listen = []\n{route}"),
                "listen: expected at least one",
            ),
            (
                format!("listen = \":80\"\n{route}"),
                "line 1, column 10: expected IP:PORT",
            ),
            (
                format!("listen = [\"h:80\"]\n{route}"),
                "expected IP:PORT, as 127.0.0.1:8080, or 0.0.0.0:8080 for all; found \"h:80\"",
            ),
            (
                format!("listen = 80\n{route}"),
                "expected an address, or a list of them",
            ),
            (
                format!("check = \"health\"\n{route}"),
                "check: expected a path",
            ),
            (
                format!("drain = \"10\"\n{route}"),
                "drain: expected a number",
            ),
            (
                format!("dir = \"{}\"\n{route}", "x".repeat(90)),
                "no path for a socket",
            ),
            (route.replace("\"/\"", "\"/a'b\""), "cannot hold this path"),
            (route.replace("\"/\"", "\"/{a}\""), "cannot hold this path"),
        ] {
            let error = loaded(&text).expect_err(&text);
            assert!(error.contains(expected), "{text}\n  gave {error}");
        }
    }
}
