//! Request → route: by host, then by the longest path prefix.
//!
//! Prefixes match whole segments of the *normal* path, in which `//`, `%61` and the like cannot hide what the route
//! protects. Routing knows nothing of health, weights, registries or bodies.

mod path;

use std::collections::HashMap;
use std::sync::Arc;

use crate::pool::Pool;

pub(crate) use path::{PathError, normal};

/// The longest host name that can match (RFC 1035 §2.3.4: 255 octets).
const MAX_HOST: usize = 255;

/// One rule: what host and path lead to which pool.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) host: Option<Box<str>>,
    pub(crate) path: Box<str>,
    pub(crate) strip_prefix: bool,
    pub(crate) pool: Arc<Pool>,
}

/// All the rules of one moment. Published whole, never altered.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    hosts: HashMap<Box<[u8]>, Vec<Route>>,
    any: Vec<Route>,
}

impl RouteTable {
    pub(crate) fn new(routes: Vec<Route>) -> Self {
        let mut table = Self::default();
        for route in routes {
            match &route.host {
                Some(host) => table
                    .hosts
                    .entry(host.as_bytes().into())
                    .or_default()
                    .push(route),
                None => table.any.push(route),
            }
        }
        for routes in table.hosts.values_mut().chain([&mut table.any]) {
            routes.sort_by_key(|route| std::cmp::Reverse(route.path.len()));
        }
        table
    }

    /// The route of a request: among those of its host, else among those of any host, the one with the longest prefix.
    /// `host` may have a port and capitals; `path` is a [`normal`] one.
    pub(crate) fn find(&self, host: &[u8], path: &[u8]) -> Option<&Route> {
        if !self.hosts.is_empty()
            && let Some(route) = self.of_host(host).and_then(|routes| longest(routes, path))
        {
            return Some(route);
        }
        longest(&self.any, path)
    }

    /// Every route, in no particular order.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.hosts.values().flatten().chain(&self.any)
    }

    fn of_host(&self, host: &[u8]) -> Option<&Vec<Route>> {
        let name = without_port(host);
        let mut lower = [0; MAX_HOST];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        self.hosts.get(&*lower)
    }
}

fn longest<'a>(routes: &'a [Route], path: &[u8]) -> Option<&'a Route> {
    routes
        .iter()
        .find(|route| matches_prefix(route.path.as_bytes(), path))
}

/// Whether `path` is `prefix` or lies below it.
fn matches_prefix(prefix: &[u8], path: &[u8]) -> bool {
    prefix == b"/"
        || path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// A host without its port: `[::1]:80` → `[::1]`, `web:80` → `web`.
fn without_port(host: &[u8]) -> &[u8] {
    let end = match host.first() {
        Some(b'[') => host.iter().position(|b| *b == b']').map(|i| i + 1),
        _ => host.iter().position(|b| *b == b':'),
    };
    let name = end.map_or(host, |end| &host[..end]);
    // A final dot is the same name, fully qualified.
    name.strip_suffix(b".").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Policy;
    use crate::observe::Metrics;

    fn table(routes: &[&str]) -> RouteTable {
        let metrics = Metrics::new();
        let routes = routes.iter().map(|place| {
            let (host, path) = place.split_at(place.find('/').expect("a path"));
            let pool = Pool::new(
                (*place).into(),
                Policy::RoundRobin,
                metrics.service(place),
                Vec::new(),
                Arc::default(),
            );
            Route {
                host: (!host.is_empty()).then(|| host.into()),
                path: path.into(),
                strip_prefix: false,
                pool: Arc::new(pool),
            }
        });
        RouteTable::new(routes.collect())
    }

    #[test]
    fn the_host_and_then_the_longest_prefix_decide() {
        let table = table(&[
            "/",
            "/api",
            "/api/v2",
            "shop.example/",
            "shop.example/cart",
            "[::1]/six",
        ]);
        for (host, path, expected) in [
            ("x", "/", Some("/")),
            ("x", "/api", Some("/api")),
            ("x", "/api/", Some("/api")),
            ("x", "/apis", Some("/")),
            ("x", "/api/v2/a", Some("/api/v2")),
            ("x", "/api/v21", Some("/api")),
            ("shop.example", "/api", Some("shop.example/")),
            ("SHOP.Example:8080", "/cart/1", Some("shop.example/cart")),
            ("shop.example.", "/cart", Some("shop.example/cart")),
            ("[::1]:80", "/six", Some("[::1]/six")),
            ("[::1]:80", "/seven", Some("/")),
        ] {
            let found = table
                .find(host.as_bytes(), path.as_bytes())
                .map(|r| &*r.pool.service);
            assert_eq!(found, expected, "{host}{path}");
        }
        assert!(self::table(&["a/x"]).find(b"a", b"/").is_none());
        assert!(self::table(&["a/x"]).find(&[b'a'; 300], b"/x").is_none());
    }
}
