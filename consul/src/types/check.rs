//! Checks as they are defined, and the status they report.
//!
//! A definition is kept as it was written (durations stay text), so that a registry can judge it and a
//! registrar can send it on unchanged. How a check is run is not known here.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::decode::Fields;
use super::{Secret, format_duration};

/// The status of a check, from best to worst.
///
/// Deserializing is strict; use it for what people write. In lists a server sends, a word nobody knows is
/// read as [`Status::Critical`]: what is not understood must not get traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// All is well.
    Passing,
    /// In service, but with its warning weight.
    Warning,
    /// Out of service. Also what a check without a status starts with.
    #[default]
    Critical,
    /// Out of service because somebody said so; only as an aggregate, never the status of a check.
    Maintenance,
}

/// A word that is no status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown check status {0:?}: use 'passing', 'warning' or 'critical'")]
pub struct UnknownStatus(pub String);

impl Status {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Maintenance => "maintenance",
        }
    }

    /// Reads a status out of a server's list; unknown words are critical.
    pub(super) fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Option::<String>::deserialize(deserializer)?;
        Ok(word.and_then(|word| word.parse().ok()).unwrap_or_default())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        Ok(match word {
            "passing" => Self::Passing,
            "warning" => Self::Warning,
            "critical" => Self::Critical,
            "maintenance" => Self::Maintenance,
            _ => return Err(UnknownStatus(word.to_owned())),
        })
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A check as registered: within a service, or alone with a [`CheckDefinition::service_id`].
///
/// Durations are Go durations as text (`"10s"`), see [`super::parse_duration`]. Read under any
/// capitalization and with or without underscores.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckDefinition {
    /// The check's id; when absent the agent makes one, see [`super::ServiceRegistration::check_ids`].
    #[serde(rename = "CheckID", skip_serializing_if = "Option::is_none")]
    pub check_id: Option<String>,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Notes for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// The instance it belongs to; only for a check registered alone.
    #[serde(rename = "ServiceID", skip_serializing_if = "Option::is_none")]
    pub service_id: Option<String>,
    /// The status before the first result; critical when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Time between two runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// The longest a run may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// TTL check: the longest silence before it turns critical.
    #[serde(rename = "TTL", skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// HTTP check: the URL.
    #[serde(rename = "HTTP", skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// HTTP check: the method; GET when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// HTTP check: fields to send.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<String, Vec<String>>,
    /// HTTP check: a body to send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// HTTP check: do not verify the certificate.
    #[serde(rename = "TLSSkipVerify", skip_serializing_if = "is_false")]
    pub tls_skip_verify: bool,
    /// TCP check: `host:port` to connect to.
    #[serde(rename = "TCP", skip_serializing_if = "Option::is_none")]
    pub tcp: Option<String>,
    /// UDP check: `host:port` to send to; Consul 1.13 and newer.
    #[serde(rename = "UDP", skip_serializing_if = "Option::is_none")]
    pub udp: Option<String>,
    /// HTTP/2 check: `host:port` to ping; Consul 1.10 and newer.
    #[serde(rename = "H2PING", skip_serializing_if = "Option::is_none")]
    pub h2ping: Option<String>,
    /// HTTP/2 check: over TLS, which it is unless this says no.
    #[serde(rename = "H2PingUseTLS", skip_serializing_if = "Option::is_none")]
    pub h2ping_use_tls: Option<bool>,
    /// TCP check: with a TLS handshake; Consul 1.14 and newer.
    #[serde(rename = "TCPUseTLS", skip_serializing_if = "is_false")]
    pub tcp_use_tls: bool,
    /// ZeroMQ check: `host:port` to greet; only the embedded registry and turno's agents know it.
    #[serde(rename = "ZMTP", skip_serializing_if = "Option::is_none")]
    pub zmtp: Option<String>,
    /// The name of a service of the operating system that must run; Consul 1.15 and newer.
    #[serde(rename = "OSService", skip_serializing_if = "Option::is_none")]
    pub os_service: Option<String>,
    /// The host name that a certificate must be for; Consul 1.9 and newer.
    #[serde(rename = "TLSServerName", skip_serializing_if = "Option::is_none")]
    pub tls_server_name: Option<String>,
    /// HTTP check: take a redirect for the answer; Consul 1.13 and newer.
    #[serde(skip_serializing_if = "is_false")]
    pub disable_redirects: bool,
    /// The ACL token the agent is to use; only for a check registered alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// Script check: the command and its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// gRPC check: `host:port[/service]`.
    #[serde(rename = "GRPC", skip_serializing_if = "Option::is_none")]
    pub grpc: Option<String>,
    /// gRPC check: over TLS.
    #[serde(rename = "GRPCUseTLS", skip_serializing_if = "is_false")]
    pub grpc_use_tls: bool,
    /// Docker check: the container to run [`CheckDefinition::args`] in.
    #[serde(rename = "DockerContainerID", skip_serializing_if = "Option::is_none")]
    pub docker_container_id: Option<String>,
    /// Docker check: the shell to use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Alias check: the instance whose health this check repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias_service: Option<String>,
    /// Alias check: the node of that instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias_node: Option<String>,
    /// Good results in a row before it passes; 0 means at once.
    #[serde(skip_serializing_if = "is_zero")]
    pub success_before_passing: u32,
    /// Bad results in a row before it is critical; 0 means at once.
    #[serde(skip_serializing_if = "is_zero")]
    pub failures_before_critical: u32,
    /// Bad results in a row before it is at least a warning; 0 means never, only critical. Consul has it since 1.14.
    #[serde(skip_serializing_if = "is_zero")]
    pub failures_before_warning: u32,
    /// The most output kept, in bytes; 0 means the agent's default. Negative is for the registry to refuse.
    #[serde(skip_serializing_if = "is_no_size")]
    pub output_max_size: i64,
    /// Deregister the instance when the check was critical for this long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deregister_critical_service_after: Option<String>,
    /// Names of fields that were given but that nobody here knows; never sent.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

impl CheckDefinition {
    /// A check that asks for `url` every `interval`.
    #[must_use]
    pub fn http(url: impl Into<String>, interval: Duration) -> Self {
        let interval = Some(format_duration(interval));
        Self {
            http: Some(url.into()),
            interval,
            ..Self::default()
        }
    }

    /// A check that connects to `address` (`host:port`) every `interval`.
    #[must_use]
    pub fn tcp(address: impl Into<String>, interval: Duration) -> Self {
        let interval = Some(format_duration(interval));
        Self {
            tcp: Some(address.into()),
            interval,
            ..Self::default()
        }
    }

    /// A check that turns critical when nobody reported for `ttl`.
    #[must_use]
    pub fn ttl(ttl: Duration) -> Self {
        Self {
            ttl: Some(format_duration(ttl)),
            ..Self::default()
        }
    }
}

impl<'de> Deserialize<'de> for CheckDefinition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        let id = fields.take_text("id")?;
        let script_args: Vec<String> = fields.take("scriptargs")?;
        let args: Vec<String> = fields.take("args")?;
        let status = fields.take_text("status")?;
        Ok(Self {
            check_id: fields.take_text("checkid")?.or(id),
            name: fields.take_text("name")?,
            notes: fields.take_text("notes")?,
            service_id: fields.take_text("serviceid")?,
            status: status
                .map(|word| word.parse().map_err(serde::de::Error::custom))
                .transpose()?,
            interval: fields.take_duration("interval")?,
            timeout: fields.take_duration("timeout")?,
            ttl: fields.take_duration("ttl")?,
            http: fields.take_text("http")?,
            method: fields.take_text("method")?,
            header: fields.take("header")?,
            body: fields.take_text("body")?,
            tls_skip_verify: fields.take("tlsskipverify")?,
            tcp: fields.take_text("tcp")?,
            udp: fields.take_text("udp")?,
            h2ping: fields.take_text("h2ping")?,
            h2ping_use_tls: fields.take("h2pingusetls")?,
            tcp_use_tls: fields.take("tcpusetls")?,
            zmtp: fields.take_text("zmtp")?,
            os_service: fields.take_text("osservice")?,
            tls_server_name: fields.take_text("tlsservername")?,
            disable_redirects: fields.take("disableredirects")?,
            token: fields
                .take::<Option<Secret>, _>("token")?
                .filter(|token| !token.0.is_empty()),
            args: if args.is_empty() { script_args } else { args },
            grpc: fields.take_text("grpc")?,
            grpc_use_tls: fields.take("grpcusetls")?,
            docker_container_id: fields.take_text("dockercontainerid")?,
            shell: fields.take_text("shell")?,
            alias_service: fields.take_text("aliasservice")?,
            alias_node: fields.take_text("aliasnode")?,
            success_before_passing: fields.take_count("successbeforepassing")?,
            failures_before_critical: fields.take_count("failuresbeforecritical")?,
            failures_before_warning: fields.take_count("failuresbeforewarning")?,
            output_max_size: fields.take("outputmaxsize")?,
            deregister_critical_service_after: fields
                .take_duration("deregistercriticalserviceafter")?,
            unknown: fields.left(),
        })
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

fn is_no_size(value: &i64) -> bool {
    *value == 0
}
