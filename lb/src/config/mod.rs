//! A person's file or flags, made into a [`Config`] that is complete and true.
//!
//! What a person writes is parsed here once and never checked again inside. It must not know how the values are used.

mod address;
mod duration;
pub use address::parse_address;
pub(crate) use address::{Address, Addresses};
pub(crate) use duration::parse as parse_duration;
mod file;
pub(crate) use file::located;
mod route;
pub(crate) mod rules;
mod watch;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

pub use route::{RouteConfig, RouteError};
pub(crate) use watch::WatchedFile;
pub use watch::{ConfigFile, TouchedFile};

/// All that a balancer is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where requests are accepted.
    pub listen: SocketAddr,
    /// Where health, metrics and views are answered; `None`: nowhere.
    pub admin: Option<SocketAddr>,
    /// Worker threads, 1..=256; each has its own listener socket and its own connections.
    pub workers: usize,
    /// Which requests go to which service.
    pub routes: Vec<RouteConfig>,
    /// Services that are listed here instead of being discovered.
    pub fixed: Vec<FixedService>,
    /// How long, how large, how many.
    pub limits: Limits,
    /// Whether each request leaves a log line.
    pub access_log: bool,
    /// Whether a client that closes its side while it waits for an answer has left, if it had asked to keep the connection.
    /// Default yes. A client that resets the connection has left in any case.
    pub abort_on_close: bool,
}

/// A service whose endpoints a person has listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedService {
    /// The service's name, as routes name it.
    pub service: String,
    /// Its endpoints, in the order given, at least one.
    pub endpoints: Vec<SocketAddr>,
}

/// How one upstream of a pool is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// Each in turn, as often as its weight says, spread evenly.
    WeightedRoundRobin,
    /// The one with the fewest requests in flight.
    LeastConnections,
    /// The one with the fewest requests in flight for its weight.
    WeightedLeastConnections,
    /// The less busy of two chosen by chance.
    TwoChoices,
    /// Any, by chance.
    Random,
}

impl Policy {
    /// Every policy, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::RoundRobin,
        Self::WeightedRoundRobin,
        Self::LeastConnections,
        Self::WeightedLeastConnections,
        Self::TwoChoices,
        Self::Random,
    ];

    /// The name in flags, files and views.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::WeightedRoundRobin => "weighted-round-robin",
            Self::LeastConnections => "least-connections",
            Self::WeightedLeastConnections => "weighted-least-connections",
            Self::TwoChoices => "two-choices",
            Self::Random => "random",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Policy {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::ALL
            .into_iter()
            .find(|p| p.name() == text)
            .ok_or_else(|| {
                let names: Vec<_> = Self::ALL.iter().map(|p| p.name()).collect();
                ConfigError::Policy {
                    value: text.to_owned(),
                    expected: names.join(", "),
                }
            })
    }
}

/// The limits of the request flow. Each bounds what one peer can cost the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest request or response head, in bytes. 1,024..=65,536, default 16 KiB: what common servers take.
    pub head_bytes: usize,
    /// The most header fields in a head. 1..=100, default 100.
    pub headers: usize,
    /// The most client connections of all workers together; further ones wait in the kernel. Default 60,000.
    pub connections: usize,
    /// How long a client connection may be silent between requests. Default 60 s.
    pub idle: Duration,
    /// How long a request's head may take from its first byte. Default 10 s.
    pub head: Duration,
    /// How long connecting to an upstream may take. Default 2 s.
    pub connect: Duration,
    /// How long an upstream may take from the end of the request to the head of its answer. Default 60 s.
    pub response: Duration,
    /// How long a body may make no progress, in either direction. Default 60 s.
    pub stall: Duration,
    /// How long an unused connection to an upstream is kept. Default 20 s: below the 60 s and more after which servers
    /// close theirs.
    pub upstream_idle: Duration,
    /// Unused connections kept for each upstream and worker. Default 1,024.
    pub upstream_idle_connections: usize,
    /// How long requests in flight are given when the balancer stops. Default 15 s.
    pub drain: Duration,
    /// Upstreams one request may be tried on. 1..=16, default 3.
    pub tries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 16 * 1024,
            headers: 100,
            connections: 60_000,
            idle: Duration::from_secs(60),
            head: Duration::from_secs(10),
            connect: Duration::from_secs(2),
            response: Duration::from_secs(60),
            stall: Duration::from_secs(60),
            upstream_idle: Duration::from_secs(20),
            upstream_idle_connections: 1_024,
            drain: Duration::from_secs(15),
            tries: 3,
        }
    }
}

/// The most worker threads: more cores than that want more than one balancer.
pub const MAX_WORKERS: usize = 256;

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin: None,
            workers: std::thread::available_parallelism()
                .map_or(1, usize::from)
                .min(MAX_WORKERS),
            routes: Vec::new(),
            fixed: Vec::new(),
            limits: Limits::default(),
            access_log: false,
            abort_on_close: true,
        }
    }
}

impl Config {
    /// Reads a configuration file (TOML).
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, has an unknown key, or a value that cannot be: each names the file, and the
    /// line and column where there is one.
    pub fn load(path: impl Into<PathBuf>) -> Result<Self, ConfigError> {
        file::load(&path.into())
    }

    /// Checks what only the whole can show: at least one route, none twice.
    ///
    /// # Errors
    /// [`ConfigError::NoRoute`] or [`ConfigError::RouteTwice`].
    pub fn checked(self) -> Result<Self, ConfigError> {
        if self.routes.is_empty() {
            return Err(ConfigError::NoRoute);
        }
        for (i, route) in self.routes.iter().enumerate() {
            if self.routes[..i]
                .iter()
                .any(|r| r.host == route.host && r.path == route.path)
            {
                return Err(ConfigError::RouteTwice {
                    route: route.to_string(),
                });
            }
        }
        Ok(self)
    }

    /// The services that routes name and that are not listed as fixed: what discovery has to follow, none twice.
    #[must_use]
    pub fn discovered(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .routes
            .iter()
            .map(|route| route.service.as_str())
            .filter(|name| self.fixed.iter().all(|fixed| fixed.service != *name))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file's text is not what is expected; `detail` has line, column and what was expected.
    #[error("{}: {detail}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column, reason.
        detail: String,
    },
    /// A value that cannot be.
    #[error("{}: {field}: {detail}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, as it stands in the file.
        field: String,
        /// What was expected.
        detail: String,
    },
    /// A route that cannot be read.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// A policy nobody knows.
    #[error("unknown policy {value:?}; expected one of {expected}")]
    Policy {
        /// What was given.
        value: String,
        /// The names there are.
        expected: String,
    },
    /// The file's folder cannot be watched.
    #[error("cannot watch {}: {source}", path.display())]
    Watch {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: notify::Error,
    },
    /// Nothing to balance.
    #[error("no route: give at least one, as --route /=SERVICE or [[route]] in the file")]
    NoRoute,
    /// The same host and path twice.
    #[error("route {route} is given twice")]
    RouteTwice {
        /// The route.
        route: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_have_one_name_each() {
        for policy in Policy::ALL {
            assert_eq!(
                policy.name().parse::<Policy>().expect("its own name"),
                policy
            );
        }
        let error = "fastest"
            .parse::<Policy>()
            .expect_err("no such policy")
            .to_string();
        assert!(
            error.contains("\"fastest\"") && error.contains("two-choices"),
            "{error}"
        );
    }

    #[test]
    fn discovered_services_leave_out_the_fixed_and_repeats() {
        let config = Config {
            routes: ["/=web", "/api=api", "/v1=api", "/old=legacy"]
                .iter()
                .map(|r| r.parse().expect("a route"))
                .collect(),
            fixed: vec![FixedService {
                service: "legacy".into(),
                endpoints: vec![([127, 0, 0, 1], 1).into()],
            }],
            ..Config::default()
        };
        assert_eq!(config.discovered(), ["api", "web"]);
    }

    #[test]
    fn no_route_and_the_same_route_twice_are_refused() {
        assert!(matches!(
            Config::default().checked(),
            Err(ConfigError::NoRoute)
        ));
        let routes = vec![
            "/a=x".parse().expect("a route"),
            "/a=y".parse().expect("a route"),
        ];
        let error = Config {
            routes,
            ..Config::default()
        }
        .checked()
        .expect_err("twice");
        assert!(error.to_string().contains("given twice"), "{error}");
    }
}
