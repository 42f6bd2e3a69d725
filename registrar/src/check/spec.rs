//! What a check is: the values the catalog hands to the runner.
//!
//! Plain data, already read and judged by whoever accepted the registration. The only thing done
//! here is to keep secrets out of logs: headers, passwords and arguments are masked when printed.

use std::fmt;
use std::time::Duration;

use super::policy::Source;

/// How long a run may take when the check does not say (Consul's default for all but scripts).
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a script may take when the check does not say (Consul's default).
pub const SCRIPT_TIMEOUT: Duration = Duration::from_secs(30);

/// How many bytes of an answer's body are kept as output, at most (Consul's default; a check may
/// lower it, never raise it).
pub const OUTPUT_MAX: usize = 4096;

/// The shortest pause between two runs. Guards against an interval of zero; the registry's own
/// minimum for what arrives by its API is far above it.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// The longest pause between two runs, so that arithmetic on durations cannot overflow.
const LONGEST_INTERVAL: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// One check the runner keeps running.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckSpec {
    /// Unique among the runner's checks; what results are reported under.
    pub id: String,
    /// What a run does.
    pub kind: CheckKind,
    /// From the end of one run to the start of the next.
    pub interval: Duration,
    /// How long one run may take in all; zero means [`DEFAULT_TIMEOUT`], of a script [`SCRIPT_TIMEOUT`].
    pub timeout: Duration,
    /// Successes in a row before the check counts as passing; 0 and 1 mean at once.
    pub success_before_passing: u32,
    /// Failures in a row before the check counts as critical; 0 and 1 mean at once.
    pub failures_before_critical: u32,
    /// Failures in a row before the check is at least a warning; 0 means that it only ever becomes critical.
    pub failures_before_warning: u32,
    /// Bytes of the body kept as output; zero means [`OUTPUT_MAX`], more than that is lowered to it.
    pub output_max: usize,
}

impl CheckSpec {
    /// The interval within the runner's own bounds.
    pub(super) fn pause(&self) -> Duration {
        self.interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL)
    }

    /// The time limit of one run.
    pub(super) fn limit(&self) -> Duration {
        match (&self.kind, self.timeout) {
            (CheckKind::Script { .. }, Duration::ZERO) => SCRIPT_TIMEOUT,
            (_, Duration::ZERO) => DEFAULT_TIMEOUT,
            (_, timeout) => timeout.min(LONGEST_INTERVAL),
        }
    }

    /// The bytes of output to keep.
    pub(super) fn output_limit(&self) -> usize {
        if self.output_max == 0 {
            OUTPUT_MAX
        } else {
            self.output_max.min(OUTPUT_MAX)
        }
    }
}

/// How a check speaks TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The name that is asked for (SNI) and that the certificate must have; empty means the target's host.
    pub server_name: String,
    /// Accept any certificate.
    pub skip_verify: bool,
}

/// What one run does. Printing it for a log shows no header value, no password and no argument of a script.
#[derive(Clone, PartialEq)]
pub enum CheckKind {
    /// One HTTP request: 2xx is passing, 429 warning, everything else critical.
    Http {
        /// `http://` or `https://`.
        url: String,
        /// The method; empty means `GET`.
        method: String,
        /// Sent in this order; a name may come more than once. `Host` is honoured.
        headers: Vec<(String, String)>,
        /// The request's body; may be empty.
        body: String,
        /// For `https://`.
        tls: Tls,
        /// Take a redirect for the answer, which is critical.
        disable_redirects: bool,
    },
    /// One TCP connection: passing when it opens, and with TLS when the handshake succeeds. Nothing else is sent.
    Tcp {
        /// `host:port`.
        address: String,
        /// With TLS, and how.
        tls: Option<Tls>,
    },
    /// One datagram: critical when the other side says that nobody listens there, passing when it answers or is silent.
    Udp {
        /// `host:port`.
        address: String,
    },
    /// One call of gRPC's health service (`grpc.health.v1.Health/Check`): passing when it says SERVING.
    Grpc {
        /// `host:port`, or `host:port/service` to ask for one service of the server.
        target: String,
        /// With TLS, and how.
        tls: Option<Tls>,
    },
    /// One HTTP/2 connection with a PING: passing when it is acknowledged.
    H2Ping {
        /// `host:port`.
        address: String,
        /// With TLS, and how.
        tls: Option<Tls>,
    },
    /// One ZMTP 3 greeting (ZeroMQ): passing when the peer greets in turn.
    Zmtp {
        /// `host:port`.
        address: String,
    },
    /// One run of a program: exit 0 is passing, 1 warning, everything else critical.
    Script {
        /// The program and its arguments; no shell.
        args: Vec<String>,
        /// Who asked for it.
        source: Source,
    },
    /// Whether the machine's service manager says that a service is running.
    OsService {
        /// The name of a systemd unit.
        name: String,
    },
}

impl fmt::Debug for CheckKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http {
                url,
                method,
                headers,
                body,
                tls,
                disable_redirects,
            } => f
                .debug_struct("Http")
                .field("url", &without_password(url))
                .field("method", method)
                .field(
                    "headers",
                    &headers.iter().map(|(name, _)| name).collect::<Vec<_>>(),
                )
                .field("body_bytes", &body.len())
                .field("tls", tls)
                .field("disable_redirects", disable_redirects)
                .finish(),
            Self::Tcp { address, tls } => about(f, "Tcp", address, tls.as_ref()),
            Self::Udp { address } => about(f, "Udp", address, None),
            Self::Grpc { target, tls } => about(f, "Grpc", target, tls.as_ref()),
            Self::H2Ping { address, tls } => about(f, "H2Ping", address, tls.as_ref()),
            Self::Zmtp { address } => about(f, "Zmtp", address, None),
            Self::Script { args, source } => f
                .debug_struct("Script")
                .field("program", &args.first())
                .field("arguments", &args.len().saturating_sub(1))
                .field("source", source)
                .finish(),
            Self::OsService { name } => about(f, "OsService", name, None),
        }
    }
}

fn about(f: &mut fmt::Formatter<'_>, kind: &str, target: &str, tls: Option<&Tls>) -> fmt::Result {
    let mut shown = f.debug_struct(kind);
    shown.field("target", &target);
    if let Some(tls) = tls {
        shown.field("tls", tls);
    }
    shown.finish()
}

/// The URL as it was given, except that a password in it is masked.
pub(super) fn without_password(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => match parsed.set_password(Some("***")) {
            Ok(()) => parsed.into(),
            Err(()) => String::from("(a URL with a password)"),
        },
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(interval: Duration, timeout: Duration, output_max: usize) -> CheckSpec {
        CheckSpec {
            id: "service:web".into(),
            kind: CheckKind::Tcp {
                address: "127.0.0.1:80".into(),
                tls: None,
            },
            interval,
            timeout,
            success_before_passing: 0,
            failures_before_critical: 0,
            failures_before_warning: 0,
            output_max,
        }
    }

    #[test]
    fn absent_values_take_the_defaults_and_extreme_ones_the_bounds() {
        let zero = spec(Duration::ZERO, Duration::ZERO, 0);
        assert_eq!(zero.pause(), SHORTEST_INTERVAL);
        assert_eq!(zero.limit(), DEFAULT_TIMEOUT);
        assert_eq!(zero.output_limit(), OUTPUT_MAX);

        let huge = spec(Duration::MAX, Duration::MAX, usize::MAX);
        assert_eq!(huge.pause(), LONGEST_INTERVAL);
        assert_eq!(huge.limit(), LONGEST_INTERVAL);
        assert_eq!(huge.output_limit(), OUTPUT_MAX);

        let usual = spec(Duration::from_secs(10), Duration::from_secs(1), 100);
        assert_eq!(usual.pause(), Duration::from_secs(10));
        assert_eq!(usual.limit(), Duration::from_secs(1));
        assert_eq!(usual.output_limit(), 100);

        let script = CheckSpec {
            kind: CheckKind::Script {
                args: vec!["true".into()],
                source: Source::Local,
            },
            ..zero
        };
        assert_eq!(script.limit(), SCRIPT_TIMEOUT);
    }

    #[test]
    fn printing_a_check_shows_no_secret() {
        let kind = CheckKind::Http {
            url: "http://user:hunter2@127.0.0.1:80/health".into(),
            method: "GET".into(),
            headers: vec![("Authorization".into(), "Bearer s3cret".into())],
            body: "pa55".into(),
            tls: Tls::default(),
            disable_redirects: false,
        };
        let shown = format!("{kind:?}");
        for secret in ["hunter2", "s3cret", "pa55"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(
            shown.contains("Authorization") && shown.contains("127.0.0.1"),
            "{shown}"
        );

        let script = CheckKind::Script {
            args: vec!["check-db".into(), "--password=hunter2".into()],
            source: Source::Remote,
        };
        let shown = format!("{script:?}");
        assert!(
            shown.contains("check-db") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    #[test]
    fn a_url_without_a_password_stays_as_written() {
        for url in ["http://127.0.0.1:1", "http://user@host/x", "not a url"] {
            assert_eq!(without_password(url), url);
        }
    }
}
