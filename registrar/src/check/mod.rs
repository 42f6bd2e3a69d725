//! Health checks the registry runs itself: a request, a connection, a datagram or a program, again and again.
//!
//! A [`Runner`] keeps one task per check and hands what counts to a [`Report`]. It knows nothing of
//! services, indexes or HTTP servers; a check that is *told* its status (TTL) or takes it from other
//! checks (alias) belongs to the catalog, where time is an argument and nothing needs to be asked again.
//!
//! What clients of Consul can see follows Consul 1.8.7 (statuses, texts, thresholds), and for the
//! kinds that came later (UDP, HTTP/2 ping, OS service) the Consul that brought them, with six deliberate
//! differences:
//!
//! * the first run comes within [`FIRST_RUN_SPREAD`] instead of after a random part of the
//!   interval, and a check that has not succeeded yet is repeated sooner at first, so that a new
//!   instance joins soon after it listens;
//! * a redirect is followed only on the same scheme, host and port, because a check that may be
//!   sent anywhere lets whoever can register make this host fetch any address;
//! * link-local and cloud metadata addresses are refused for the same reason;
//! * silence of a UDP service is believed after a second at the latest, not after the whole timeout;
//! * a script's result counts when it ends, even if a child that it leaves behind keeps its output open (Consul waits for
//!   the child until the time is up); such a child is killed;
//! * most texts of failures are our own words (Consul prints those of Go's HTTP client).

mod h2;
mod http;
mod pace;
mod policy;
mod runner;
mod script;
mod spec;
mod tail;
mod target;
mod tcp;
mod thresholds;
mod tls;
mod udp;
mod zmtp;

use consul::types::Status;

pub use http::{BODY_READ_MAX, REDIRECTS_MAX};
pub use pace::{FIRST_RUN_SPREAD, WARM_UP_START};
pub use policy::{ScriptRefused, Scripts, Source};
pub use runner::{CONCURRENT_RUNS, Report, Runner};
pub use spec::{CheckKind, CheckSpec, DEFAULT_TIMEOUT, OUTPUT_MAX, SCRIPT_TIMEOUT, Tls};
pub use zmtp::greet;

/// What one run of a check found.
#[derive(Clone, Debug, PartialEq)]
struct Outcome {
    status: Status,
    output: String,
}

impl Outcome {
    fn passing(output: impl Into<String>) -> Self {
        Self {
            status: Status::Passing,
            output: output.into(),
        }
    }

    fn critical(output: impl Into<String>) -> Self {
        Self {
            status: Status::Critical,
            output: output.into(),
        }
    }
}

/// The innermost reason of an error, in one line without the number of the system call's error.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::from("unknown error"),
    }
}
