//! `turno scale`: tells a running `turno up` how many replicas to keep, and waits until it does.
//!
//! It speaks to the admin listener only; how replicas are started is none of its business.

use std::{net::SocketAddr, str::FromStr, time::Duration};

use clap::Args;
use http::Method;
use tokio::time;

use crate::{
    admin::AdminToken,
    failure::Failure,
    http_client, output,
    up::api::{MAX_REPLICAS, SCALE_PATH, Scaled, UpView, VIEW_PATH},
};

/// The replicas wished for are in rotation within this, or something is wrong: a stop takes up to the
/// grace of its requests in flight, a start a second or so on a busy machine.
const SETTLE: Duration = Duration::from_secs(30);

/// How often we look.
const LOOK_EVERY: Duration = Duration::from_millis(50);

const AFTER_HELP: &str = "\
Examples:
  turno scale hello=5
  turno scale hello=1 --admin 127.0.0.1:9081";

/// Starts or stops replicas of the running `turno up`
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ScaleArgs {
    /// The service and how many replicas it should have
    #[arg(value_name = "SERVICE=N")]
    target: Target,
    /// The admin address of the running `turno up`
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8081")]
    admin: SocketAddr,
    #[command(flatten)]
    token: AdminToken,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    service: String,
    replicas: usize,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, count) = text
            .split_once('=')
            .ok_or("expected SERVICE=N, as hello=5")?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if service.is_empty() || !service.bytes().all(plain) {
            return Err(format!("{service:?} is not the name of a service"));
        }
        match count.parse() {
            Ok(replicas) if replicas <= MAX_REPLICAS => Ok(Self {
                service: service.to_owned(),
                replicas,
            }),
            _ => Err(format!("{count:?} replicas: expected 0 to {MAX_REPLICAS}")),
        }
    }
}

/// Sets the number and waits until the balancer sends requests to that many.
pub(crate) async fn run(args: ScaleArgs) -> Result<(), Failure> {
    let Target { service, replicas } = &args.target;
    let token = args.token.secret()?;
    let token = token.as_ref();
    let path = format!("{SCALE_PATH}?service={service}&replicas={replicas}");
    let answer = http_client::call(args.admin, token, Method::PUT, &path).await?;
    let Scaled { before, after, .. } = serde_json::from_slice(&answer).map_err(|error| {
        Failure::of(format!("{} is not a running turno up", args.admin), &error)
    })?;
    output::line(&format!("{service}: {before} -> {after} replicas"))?;

    let deadline = time::Instant::now() + SETTLE;
    loop {
        let answer = http_client::call(args.admin, token, Method::GET, VIEW_PATH).await?;
        let view: UpView = serde_json::from_slice(&answer)?;
        if view.desired != after {
            return Err(Failure::failed(format!(
                "somebody else has asked for {} replicas since",
                view.desired
            )));
        }
        if view.in_rotation == after && view.replicas.len() == after {
            return output::line(&format!("{service}: {after} in rotation"));
        }
        if time::Instant::now() > deadline {
            return Err(Failure::failed(format!(
                "{} of {after} replicas of {service} are in rotation after {SETTLE:?}: `turno explain {service}` says why",
                view.in_rotation
            )));
        }
        time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_a_name_and_a_number() {
        for (text, want) in [
            ("hello=5", Some(("hello", 5))),
            ("hello=0", Some(("hello", 0))),
            ("hello=65", None),
            ("hello", None),
            ("=5", None),
            ("hello=-1", None),
            ("a&b=1", None),
        ] {
            let got = text.parse::<Target>().ok();
            let want = want.map(|(s, n): (&str, _)| Target {
                service: s.to_owned(),
                replicas: n,
            });
            assert_eq!(got, want, "{text}");
        }
    }
}
