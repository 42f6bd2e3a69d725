//! `turno registry join URL`: tells a running embedded registry to move to a Consul, and follows how far it is.
//!
//! It asks and prints; the move itself is the registry's.

use std::time::{Duration, Instant};

use clap::Args;
use consul::{Client, RawRequest};
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use crate::{
    args::{Global, Secret, duration},
    connect,
    failure::Failure,
    output,
    validate::counted,
};

const AFTER_HELP: &str = "\
Examples:
  turno registry join http://consul:8500
  turno registry join http://consul:8500 --target-token TOKEN --timeout 5m
  turno registry join --cancel

The registry at --consul goes on answering by itself until the target shows every instance as
healthy as it does; then everything is passed on. When --timeout is over, this command ends with
status 1; the registry goes on trying until --cancel.";

/// How often the registry is asked how far it is.
const LOOK: Duration = Duration::from_millis(200);
/// The registry answers from memory.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// Moves a running embedded registry to a real Consul, without a stop
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct JoinArgs {
    /// The Consul to move to, as http://HOST:PORT
    #[arg(value_name = "URL", required_unless_present = "cancel")]
    target: Option<String>,
    /// The token for registering there [default: the one the registry was started with]
    #[arg(long, value_name = "TOKEN")]
    target_token: Option<Secret>,
    /// How long to wait for it, as 30s or 5m
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    timeout: Duration,
    /// Give up a move that has not happened yet. What was copied stays in the target
    #[arg(long, conflicts_with_all = ["target", "target_token"])]
    cancel: bool,
}

/// Tells the registry, and waits.
pub(crate) async fn run(args: JoinArgs, global: &Global) -> Result<(), Failure> {
    let client = connect::client(global)?;
    if args.cancel {
        ask(&client, Method::DELETE, None).await?;
        return output::line("the registry goes on by itself");
    }
    let body = json!({
        "Address": args.target, "Token": args.target_token.as_ref().map(Secret::expose),
    });
    let mut progress = ask(&client, Method::PUT, Some(&body)).await?;
    let begun = Instant::now();
    let mut said = String::new();
    while text(&progress, "State") == "copying" {
        let error = text(&progress, "Error");
        if !error.is_empty() && error != said {
            output::line(&format!("not yet: {}", output::printable(error)))?;
            error.clone_into(&mut said);
        }
        if begun.elapsed() > args.timeout {
            return Err(Failure::failed(format!(
                "the registry has not moved within {:?}; it goes on trying (turno registry join --cancel gives it up)",
                args.timeout
            )));
        }
        tokio::time::sleep(LOOK).await;
        progress = ask(&client, Method::GET, None).await?;
    }
    if text(&progress, "State") != "forwarding" {
        return Err(Failure::failed("the move was given up"));
    }
    report(&progress)
}

fn report(progress: &Value) -> Result<(), Failure> {
    let moved = &progress["Moved"];
    let count = |name: &str, one: &str, many: &str| {
        let number = moved[name].as_u64().unwrap_or_default();
        counted(usize::try_from(number).unwrap_or(usize::MAX), one, many)
    };
    output::line(&format!(
        "moved to {}: {}, {}, {}, {}; everything is passed on there",
        output::printable(text(progress, "Address")),
        count("Services", "instance", "instances"),
        count("Nodes", "node from outside", "nodes from outside"),
        count("Keys", "key", "keys"),
        count("Queries", "prepared query", "prepared queries"),
    ))?;
    for left in moved["Left"].as_array().into_iter().flatten() {
        let left = left.as_str().unwrap_or_default();
        output::line(&format!("not moved: {}", output::printable(left)))?;
    }
    Ok(())
}

fn text<'a>(progress: &'a Value, name: &str) -> &'a str {
    progress[name].as_str().unwrap_or_default()
}

async fn ask(client: &Client, method: Method, body: Option<&Value>) -> Result<Value, Failure> {
    let request = RawRequest {
        method,
        target: "/v1/turno/join".to_owned(),
        headers: HeaderMap::new(),
        body: body
            .map(|body| body.to_string().into_bytes())
            .unwrap_or_default(),
        limit: REQUEST_LIMIT,
        most: RawRequest::MOST,
    };
    let answer = client.pass_on(request).await?;
    let said = String::from_utf8_lossy(&answer.body);
    if answer.status.as_u16() == 404 {
        return Err(Failure::failed(format!(
            "{} is no registry of turno's; name the one that is to move with --consul",
            client.address()
        )));
    }
    if !answer.status.is_success() {
        return Err(Failure::failed(output::printable(said.trim())));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|error| Failure::of(format!("the answer of {}", client.address()), &error))
}
