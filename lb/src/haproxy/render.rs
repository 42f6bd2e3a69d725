//! HAProxy's file as text: the template, with what the configuration and the slots say as its data.
//!
//! What a template may read is written down in `docs/haproxy.md`; it cannot ask the registry anything itself, so that its
//! text is a function of what HAProxy has been told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::config::Config;
use super::slots::{Backend, Occupant};
use super::word::{Word, sum};
use crate::config::{Policy, RouteConfig};
use crate::template::{Engine, Knowledge, TemplateError};

/// The template that comes with turno.
const SHIPPED: &str = include_str!("../../../templates/haproxy.cfg.hbs");

/// A server that nobody stands in has an address all the same: HAProxy wants one. It is never connected to.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// A template that can be rendered.
#[derive(Debug)]
pub(super) struct Page {
    path: PathBuf,
    /// The template as it was read.
    source: String,
    engine: Engine,
}

/// The backends by name, with their slots.
pub(super) type Backends = BTreeMap<Word, Backend>;

impl Page {
    /// Reads the template at `path`, or the one that comes with turno.
    pub(super) fn load(path: Option<&Path>) -> Result<Self, TemplateError> {
        match path {
            None => Self::new(Path::new("haproxy.cfg.hbs"), SHIPPED),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|source| TemplateError::File {
                    what: "read",
                    path: path.to_owned(),
                    source,
                })?;
                Self::new(path, &text)
            }
        }
    }

    /// Takes `text` as the template at `path`.
    pub(super) fn new(path: &Path, text: &str) -> Result<Self, TemplateError> {
        Ok(Self {
            path: path.to_owned(),
            source: text.to_owned(),
            engine: Engine::new(path, text)?,
        })
    }

    /// The template's own text.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The file's text.
    pub(super) fn text(
        &self,
        config: &Config,
        backends: &Backends,
    ) -> Result<String, TemplateError> {
        let data = data(config, backends);
        let rendering = self
            .engine
            .render_with(&Knowledge::default(), &data, SystemTime::now())?;
        rendering.text.ok_or_else(|| TemplateError::Template {
            path: self.path.clone(),
            line: 0,
            column: 0,
            reason:
                "it asks the registry itself; here a template has its data from `backends` and \
                     `routes` (`turno template` renders such a one)"
                    .to_owned(),
        })
    }

    /// A sum of all of the file that is not who stands in which slot: where it differs, HAProxy has to read the file anew.
    pub(super) fn skeleton(
        &self,
        config: &Config,
        backends: &Backends,
    ) -> Result<u32, TemplateError> {
        let empty = |backend: &Backend| Backend {
            slots: vec![None; backend.slots.len()],
            unplaced: 0,
        };
        let backends = backends.iter().map(|(name, b)| (name.clone(), empty(b)));
        Ok(sum(&self.text(config, &backends.collect())?))
    }
}

/// What a template sees.
fn data(config: &Config, backends: &Backends) -> Value {
    let routes = sorted(&config.routes);
    let any = routes
        .iter()
        .find(|route| route.host.is_none() && route.path == "/");
    json!({
        "listen": config.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "stats": config.stats.map(|address| address.to_string()),
        "runtime_socket": absolute(&config.socket),
        "drain": format!("{}ms", config.drain.as_millis()),
        "check": config.check,
        "default_backend": any.map(|route| config.backend(route).to_string()),
        "hosts": hosts(&routes),
        "routes": routes.iter().enumerate().map(|(i, r)| route(config, i, r)).collect::<Vec<_>>(),
        "backends": config.backends().iter().map(|(name, service, policy)| {
            let slots = backends.get(name).map(|b| b.slots.as_slice()).unwrap_or_default();
            json!({
                "name": name.to_string(),
                "service": service,
                "policy": policy.name(),
                "balance": balance(*policy),
                "servers": slots.iter().enumerate().map(|(i, s)| server(i, s.as_ref())).collect::<Vec<_>>(),
            })
        }).collect::<Vec<_>>(),
    })
}

/// The path from the root, as HAProxy must have it: it may change its folder.
pub(super) fn absolute(path: &Path) -> String {
    std::path::absolute(path)
        .unwrap_or_else(|_| path.to_owned())
        .display()
        .to_string()
}

/// The routes in the order in which the first that matches is the right one: of a host before of any, long before short.
fn sorted(routes: &[RouteConfig]) -> Vec<&RouteConfig> {
    let mut sorted: Vec<_> = routes.iter().collect();
    sorted.sort_by_key(|r| {
        (
            r.host.is_none(),
            std::cmp::Reverse(r.path.len()),
            &r.host,
            &r.path,
        )
    });
    sorted
}

fn hosts(routes: &[&RouteConfig]) -> bool {
    routes.iter().any(|route| route.host.is_some())
}

fn route(config: &Config, index: usize, route: &RouteConfig) -> Value {
    json!({
        "name": format!("route-{}", index + 1),
        "host": route.host,
        "path": route.path,
        "everything": route.path == "/",
        "backend": config.backend(route).to_string(),
        "service": route.service,
        // What is taken off: the prefix and the slash after it.
        "strip": (route.strip_prefix && route.path != "/").then(|| route.path.len() + 1),
    })
}

fn server(index: usize, occupant: Option<&Occupant>) -> Value {
    let name = Word::slot(index).to_string();
    match occupant {
        None => {
            json!({ "name": name, "address": NOWHERE.to_string(), "weight": 1, "state": "maint" })
        }
        Some(o) => json!({
            "name": name,
            "address": o.address.to_string(),
            "weight": if o.drained { 0 } else { o.weight },
            "state": if o.drained { "drain" } else { "ready" },
        }),
    }
}

/// HAProxy's name for a policy (configuration manual, `balance`).
fn balance(policy: Policy) -> &'static str {
    match policy {
        Policy::RoundRobin | Policy::WeightedRoundRobin => "roundrobin",
        Policy::LeastConnections | Policy::WeightedLeastConnections => "leastconn",
        Policy::TwoChoices => "random(2)",
        Policy::Random => "random(1)",
    }
}

/// Whether the weights of the registry count.
pub(super) fn is_weighted(policy: Policy) -> bool {
    matches!(
        policy,
        Policy::WeightedRoundRobin | Policy::WeightedLeastConnections
    )
}
