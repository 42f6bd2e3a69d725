//! The part of Consul's API by which programs report their TTL checks, alone: for an agent that is no registry. Paths,
//! bodies and texts are those of the whole API, and so are the limits for pages from elsewhere. It keeps nothing.

use consul::types::Status;
use daemon::http::Reply;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;

use super::answer::{self, Answer, Failure};
use super::body;
use super::request::{BadEscape, Call};
use super::serve::{Endpoint, read_write};
use super::{gzip, mux};
use crate::catalog::{OUTPUT_LIMIT, cut_output};

/// Longest body of a report: an output is cut to far less, but should not be refused for that.
const BODY_LIMIT: usize = 1024 * 1024;

/// What a program says of its check.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) status: Status,
    pub(crate) output: String,
}

/// Answers one request; `tell` says whether there is such a check.
pub(crate) async fn respond(
    request: Request<Incoming>,
    tell: impl Fn(Told) -> bool + Send,
) -> Reply {
    let gzip = gzip::is_wanted(request.headers());
    let (parts, body) = request.into_parts();
    let mut call = match Call::new(parts.method, &parts.uri, parts.headers) {
        Ok(call) => call,
        Err(BadEscape::Path) => {
            return Answer::from(Failure::invalid("400 Bad Request: invalid URL escape"))
                .into_reply(gzip);
        }
        Err(BadEscape::Query) => {
            return Answer::empty()
                .status(StatusCode::INTERNAL_SERVER_ERROR)
                .into_reply(gzip);
        }
    };
    let mux::Found::Endpoint(route, rest) = mux::find(&call.path) else {
        return answer::nothing();
    };
    call.rest = rest;
    if !matches!(
        route.endpoint,
        Endpoint::CheckPass | Endpoint::CheckWarn | Endpoint::CheckFail | Endpoint::CheckUpdate
    ) {
        return answer::nothing();
    }
    if call.method == Method::OPTIONS {
        return answer::methods(route.methods, None, gzip);
    }
    if !route.methods.contains(&call.method.as_str()) {
        return answer::methods(route.methods, Some(&call.method), gzip);
    }
    match read_write(&call.headers, body, BODY_LIMIT).await {
        Ok(body) => call.body = body,
        Err(refused) => return refused.into_reply(gzip),
    }
    let answer = take(&call, route.endpoint, tell);
    answer.unwrap_or_else(Answer::from).into_reply(gzip)
}

fn take(call: &Call, endpoint: Endpoint, tell: impl Fn(Told) -> bool) -> Result<Answer, Failure> {
    let note = || call.parameter("note").unwrap_or("").to_owned();
    let (status, output) = match endpoint {
        Endpoint::CheckPass => (Status::Passing, note()),
        Endpoint::CheckWarn => (Status::Warning, note()),
        Endpoint::CheckFail => (Status::Critical, note()),
        _ => {
            let update = body::check_update(&call.body)?;
            let status = match update.status.as_str() {
                "passing" => Status::Passing,
                "warning" => Status::Warning,
                "critical" => Status::Critical,
                other => {
                    let text = format!("Invalid check status: '{other}'");
                    return Err(Failure::invalid(text));
                }
            };
            (status, update.output)
        }
    };
    let told = Told {
        id: call.rest.clone(),
        status,
        output: cut_output(&output, OUTPUT_LIMIT),
    };
    let missing = format!("CheckID {:?} does not have associated TTL", told.id);
    if tell(told) {
        Ok(Answer::empty())
    } else {
        Err(Failure::failed(missing))
    }
}
