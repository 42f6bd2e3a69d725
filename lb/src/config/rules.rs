//! Routes and fixed services as they stand in a file: the balancer's and HAProxy's files have them alike.

use serde::Deserialize;

use super::address::Address;
use super::{FixedService, Policy, RouteConfig};

/// A key of the file, and what is wrong with its value.
pub(crate) type Wrong = (String, String);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRoute {
    host: Option<String>,
    path: String,
    service: String,
    #[serde(default)]
    strip_prefix: bool,
    policy: Option<Policy>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFixed {
    service: String,
    endpoints: Vec<Address>,
}

/// The routes; `policy` is that of routes that name none.
pub(crate) fn routes(raw: Vec<RawRoute>, policy: Policy) -> Result<Vec<RouteConfig>, Wrong> {
    let complete = |(index, raw): (usize, RawRoute)| {
        let route = RouteConfig::new(raw.host.as_deref(), &raw.path, &raw.service)
            .map_err(|reason| (format!("route[{index}]"), reason))?;
        Ok(RouteConfig {
            strip_prefix: raw.strip_prefix,
            policy: raw.policy.unwrap_or(policy),
            ..route
        })
    };
    raw.into_iter().enumerate().map(complete).collect()
}

/// The services that are listed instead of being discovered.
pub(crate) fn fixed(raw: Vec<RawFixed>) -> Result<Vec<FixedService>, Wrong> {
    let complete = |(index, raw): (usize, RawFixed)| {
        if raw.endpoints.is_empty() {
            let reason = "expected at least one address".to_owned();
            return Err((format!("fixed[{index}].endpoints"), reason));
        }
        Ok(FixedService {
            service: raw.service,
            endpoints: raw.endpoints.into_iter().map(|it| it.0).collect(),
        })
    };
    raw.into_iter().enumerate().map(complete).collect()
}
