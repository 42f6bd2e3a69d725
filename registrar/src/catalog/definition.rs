//! A check as somebody wrote it, and what it comes to: its kind, its id, and how it is to be run.
//! The rules and texts are those of Consul 1.8.7. It does not know JSON, nor what is stored already.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::CatalogError;
use super::model::Key;
use crate::check::{CheckKind, CheckSpec, ScriptRefused, Scripts, Source, Tls};

/// No check runs more often than this; a shorter interval is raised to it.
pub const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// How many bytes of output a check keeps unless its definition asks for fewer.
pub const OUTPUT_LIMIT: usize = 4096;
/// A check as written in a request or a definition file. Durations are nanoseconds and may be negative: a writer can
/// say so, and is then told what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // the fields are Consul's, documented in its check reference
pub struct CheckDefinition {
    pub id: String,
    pub name: String,
    pub notes: String,
    pub service_id: String,
    pub status: String,
    pub args: Vec<String>,
    pub http: String,
    pub method: String,
    pub header: BTreeMap<String, Vec<String>>,
    pub body: String,
    pub tcp: String,
    pub udp: String,
    pub grpc: String,
    pub h2ping: String,
    pub os_service: String,
    pub docker_container: String,
    pub alias_node: String,
    pub alias_service: String,
    /// A ZMTP greeting, turno's own.
    pub zmtp: String,
    pub tls_server_name: String,
    pub tls_skip_verify: bool,
    pub tcp_use_tls: bool,
    pub grpc_use_tls: bool,
    /// `H2PingUseTLS` is false; it is true unless said otherwise.
    pub h2ping_plain: bool,
    pub disable_redirects: bool,
    pub interval: i64,
    pub timeout: i64,
    pub ttl: i64,
    pub deregister_after: i64,
    pub success_before_passing: i64,
    pub failures_before_critical: i64,
    pub output_max: i64,
    /// Who asked, which decides whether a script may run.
    #[serde(with = "super::shape::SourceShape")]
    pub source: Source,
    /// Whether the registry's policy lets this check run its script; see [`CheckDefinition::permit_script`].
    pub script_permitted: bool,
    /// Newer than the first files of `durable`: absent at their end.
    #[serde(default)]
    pub failures_before_warning: i64,
}

/// How a check that was given no id gets one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckIdRule {
    /// The only check of its service: `service:<id>`.
    Only,
    /// The n-th of several, from 1: `service:<id>:<n>`.
    Nth(usize),
}

impl CheckIdRule {
    /// The id for a check of the instance `service_id`.
    pub fn id(self, service_id: &str) -> String {
        match self {
            CheckIdRule::Only => format!("service:{service_id}"),
            CheckIdRule::Nth(n) => format!("service:{service_id}:{n}"),
        }
    }
}

impl CheckDefinition {
    /// Nothing was written at all: such a `Check` is dropped silently, as Consul does.
    pub fn is_empty(&self) -> bool {
        *self == CheckDefinition::default()
    }

    fn is_alias(&self) -> bool {
        !self.alias_node.is_empty() || !self.alias_service.is_empty()
    }

    fn is_run_on_interval(&self) -> bool {
        !self.args.is_empty()
            || [
                &self.http,
                &self.tcp,
                &self.udp,
                &self.grpc,
                &self.h2ping,
                &self.os_service,
                &self.zmtp,
            ]
            .iter()
            .any(|target| !target.is_empty())
    }

    /// Consul's `Type` of the check.
    pub fn kind(&self) -> Key {
        let kind = if !self.grpc.is_empty() {
            "grpc"
        } else if !self.http.is_empty() {
            "http"
        } else if self.ttl > 0 {
            "ttl"
        } else if !self.tcp.is_empty() {
            "tcp"
        } else if !self.udp.is_empty() {
            "udp"
        } else if !self.h2ping.is_empty() {
            "h2ping"
        } else if !self.os_service.is_empty() {
            "os_service"
        } else if !self.zmtp.is_empty() {
            "zmtp"
        } else if self.is_alias() {
            "alias"
        } else if !self.docker_container.is_empty() {
            "docker"
        } else if !self.args.is_empty() {
            "script"
        } else {
            ""
        };
        kind.into()
    }

    /// Consul's rules for one check, in its order and words (without the `Invalid check: ` before them).
    ///
    /// # Errors
    /// The text of the first rule broken.
    pub fn validate(&self) -> Result<(), String> {
        let run = self.is_run_on_interval();
        let wrong = if self.interval > 0 && self.ttl > 0 {
            "Interval and TTL cannot both be specified"
        } else if run && self.interval <= 0 {
            "Interval must be > 0 for Script, HTTP, or TCP checks"
        } else if run && self.is_alias() {
            "Interval cannot be set for Alias checks"
        } else if self.is_alias() && self.ttl > 0 {
            "TTL must be not be set for Alias checks"
        } else if !run && !self.is_alias() && self.ttl <= 0 {
            "TTL must be > 0 for TTL checks"
        } else if self.output_max < 0 {
            "MaxOutputMaxSize must be positive"
        } else {
            return Ok(());
        };
        Err(wrong.to_owned())
    }

    /// Notes who asked for the check, and whether `scripts` lets it run a script if it has one.
    pub fn permit_script(&mut self, scripts: Scripts, source: Source) {
        // A definition that says nothing must go on saying nothing.
        if !self.args.is_empty() {
            self.source = source;
            self.script_permitted = scripts.permit(source).is_ok();
        }
    }

    /// Whether the registry can carry this check out.
    ///
    /// # Errors
    /// Scripts that are not permitted are refused with Consul's text; kinds that this registry does not run are refused
    /// rather than stored and never run.
    pub fn supported(&self) -> Result<(), CatalogError> {
        if !self.args.is_empty() && !self.script_permitted {
            let refused = match self.source {
                Source::Remote => ScriptRefused::Remote,
                Source::Local => ScriptRefused::Local,
            };
            return Err(CatalogError::Failed(refused.to_string()));
        }
        match &*self.kind() {
            "docker" => Err(CatalogError::Invalid(
                "Invalid check: docker checks are not run by this registry".into(),
            )),
            _ => Ok(()),
        }
    }

    /// The time without a sign of life after which a TTL check turns critical.
    pub(super) fn ttl(&self) -> Option<Duration> {
        positive(self.ttl).filter(|_| &*self.kind() == "ttl")
    }

    pub(super) fn deregister_after(&self) -> Option<Duration> {
        positive(self.deregister_after)
    }

    pub(super) fn output_limit(&self) -> usize {
        match usize::try_from(self.output_max) {
            Ok(limit) if limit > 0 => limit.min(OUTPUT_LIMIT),
            _ => OUTPUT_LIMIT,
        }
    }

    fn tls(&self) -> Tls {
        Tls {
            server_name: self.tls_server_name.clone(),
            skip_verify: self.tls_skip_verify,
        }
    }

    /// What the check runner is to do, if this is a check that is run.
    pub(super) fn spec(&self, id: &str) -> Option<CheckSpec> {
        let kind = match &*self.kind() {
            "http" => CheckKind::Http {
                url: self.http.clone(),
                method: if self.method.is_empty() {
                    "GET".to_owned()
                } else {
                    self.method.clone()
                },
                headers: self
                    .header
                    .iter()
                    .flat_map(|(name, values)| {
                        values.iter().map(|value| (name.clone(), value.clone()))
                    })
                    .collect(),
                body: self.body.clone(),
                tls: self.tls(),
                disable_redirects: self.disable_redirects,
            },
            "tcp" => CheckKind::Tcp {
                address: self.tcp.clone(),
                tls: self.tcp_use_tls.then(|| self.tls()),
            },
            "udp" => CheckKind::Udp {
                address: self.udp.clone(),
            },
            "grpc" => CheckKind::Grpc {
                target: self.grpc.clone(),
                tls: self.grpc_use_tls.then(|| self.tls()),
            },
            "h2ping" => CheckKind::H2Ping {
                address: self.h2ping.clone(),
                tls: (!self.h2ping_plain).then(|| self.tls()),
            },
            "zmtp" => CheckKind::Zmtp {
                address: self.zmtp.clone(),
            },
            "os_service" => CheckKind::OsService {
                name: self.os_service.clone(),
            },
            "script" => CheckKind::Script {
                args: self.args.clone(),
                source: self.source,
            },
            _ => return None,
        };
        Some(CheckSpec {
            id: id.to_owned(),
            kind,
            interval: positive(self.interval)
                .unwrap_or(MIN_INTERVAL)
                .max(MIN_INTERVAL),
            // Zero: the runner knows what each kind may take.
            timeout: positive(self.timeout).unwrap_or_default(),
            success_before_passing: count(self.success_before_passing),
            failures_before_critical: count(self.failures_before_critical),
            failures_before_warning: count(self.failures_before_warning),
            output_max: self.output_limit(),
        })
    }
}

fn positive(nanoseconds: i64) -> Option<Duration> {
    u64::try_from(nanoseconds)
        .ok()
        .filter(|n| *n > 0)
        .map(Duration::from_nanos)
}

fn count(n: i64) -> u32 {
    u32::try_from(n.max(0)).unwrap_or(u32::MAX)
}

/// Cuts the output of a TTL check: the first `limit` bytes (at a character's edge) and a note of how many there were.
pub(crate) fn cut_output(output: &str, limit: usize) -> String {
    if output.len() <= limit {
        return output.to_owned();
    }
    let mut end = limit;
    while !output.is_char_boundary(end) {
        end -= 1;
    }
    format!(
        "{} ... (captured {limit} of {} bytes)",
        &output[..end],
        output.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_before_there_was_the_last_field_can_be_read() {
        let written = CheckDefinition {
            id: "a".into(),
            ..CheckDefinition::default()
        };
        let mut bytes = rmp_serde::to_vec(&written).expect("it can be written");
        // An array of more than 15 fields: its length, big-endian, after the marker. A zero is one byte.
        assert_eq!((bytes[0], bytes.pop()), (0xdc, Some(0)));
        bytes[2] -= 1;
        let read: CheckDefinition = rmp_serde::from_slice(&bytes).expect("it can be read");
        assert_eq!((read.id.as_str(), read.failures_before_warning), ("a", 0));
    }
}
