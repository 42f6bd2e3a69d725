//! One route as a person writes it on the command line: `[HOST]/PATH=SERVICE[,OPTION]…`.

use std::fmt;
use std::str::FromStr;

use super::Policy;

/// A rule from host and path to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// The host, in lower case and without a port; `None`: any.
    pub host: Option<String>,
    /// The path prefix. Starts with `/`, has no final `/` but for the path `/` itself. It matches whole segments:
    /// `/api` matches `/api` and `/api/x`, not `/apis`.
    pub path: String,
    /// The service's name in the registry.
    pub service: String,
    /// Whether the prefix is taken off before the request goes on.
    pub strip_prefix: bool,
    /// How its upstreams are picked.
    pub policy: Policy,
}

/// Why a route cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("route {text:?}: {reason}; expected [HOST]/PATH=SERVICE[,strip-prefix][,policy=NAME]")]
pub struct RouteError {
    text: String,
    reason: String,
}

impl FromStr for RouteConfig {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        let error = |reason: &str| RouteError {
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        let (place, rest) = text
            .split_once('=')
            .ok_or_else(|| error("no '=' before the service"))?;
        let slash = place
            .find('/')
            .ok_or_else(|| error("no path; the path starts with '/'"))?;
        let (host, path) = place.split_at(slash);
        let mut options = rest.split(',');
        let service = options.next().unwrap_or_default();
        let mut route = Self::new(Some(host), path, service).map_err(|reason| error(&reason))?;
        for option in options {
            match option.split_once('=') {
                None if option == "strip-prefix" => route.strip_prefix = true,
                Some(("policy", name)) => {
                    route.policy = name
                        .parse()
                        .map_err(|e: super::ConfigError| error(&e.to_string()))?;
                }
                _ => return Err(error(&format!("unknown option {option:?}"))),
            }
        }
        Ok(route)
    }
}

impl RouteConfig {
    /// Checks the parts. The error is a reason for a person.
    pub(crate) fn new(host: Option<&str>, path: &str, service: &str) -> Result<Self, String> {
        if service.trim().is_empty() {
            return Err("no service".into());
        }
        if !path.starts_with('/') {
            return Err(format!("path {path:?} does not start with '/'"));
        }
        if path
            .bytes()
            .any(|b| !b.is_ascii_graphic() || matches!(b, b'?' | b'#' | b'%'))
        {
            return Err(format!(
                "path {path:?} has a character that no plain path has"
            ));
        }
        if path.contains("//")
            || path
                .split('/')
                .any(|segment| segment == "." || segment == "..")
        {
            return Err(format!("path {path:?} has an empty or a dot segment"));
        }
        let host = host.filter(|h| !h.is_empty()).map(str::to_ascii_lowercase);
        if let Some(host) = &host {
            let plain = |b: u8| {
                b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'[' | b']' | b':')
            };
            if !host.bytes().all(plain) {
                return Err(format!("host {host:?} is not a host name"));
            }
            if !host.starts_with('[') && host.contains(':') {
                return Err(format!(
                    "host {host:?} has a port; routes match the name only"
                ));
            }
        }
        let path = if path.len() > 1 {
            path.trim_end_matches('/')
        } else {
            path
        };
        Ok(Self {
            host,
            path: path.to_owned(),
            service: service.to_owned(),
            strip_prefix: false,
            policy: Policy::default(),
        })
    }
}

impl fmt::Display for RouteConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}={}",
            self.host.as_deref().unwrap_or_default(),
            self.path,
            self.service
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_as_people_write_them() {
        let route: RouteConfig = "Shop.Example/api/=api,strip-prefix,policy=random"
            .parse()
            .expect("a route");
        assert_eq!(route.host.as_deref(), Some("shop.example"));
        assert_eq!(
            (route.path.as_str(), route.service.as_str()),
            ("/api", "api")
        );
        assert!(route.strip_prefix);
        assert_eq!(route.policy, Policy::Random);
        let route: RouteConfig = "/=web".parse().expect("a route");
        assert_eq!(
            (route.host, route.path.as_str(), route.strip_prefix),
            (None, "/", false)
        );
    }

    #[test]
    fn what_cannot_be_a_route_says_why() {
        for (text, reason) in [
            ("web", "no '='"),
            ("api=web", "no path"),
            ("/api=", "no service"),
            ("/a b=web", "character"),
            ("/%41=web", "character"),
            ("/a/../b=web", "dot segment"),
            ("/a//b=web", "empty or a dot"),
            ("h:80/=web", "port"),
            ("h@x/=web", "host name"),
            ("/=web,fast", "unknown option"),
            ("/=web,policy=fast", "unknown policy"),
        ] {
            let error = text.parse::<RouteConfig>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
