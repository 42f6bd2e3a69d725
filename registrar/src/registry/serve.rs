//! From a request to a reply: path, method, who sent it, body, and then the endpoint. The endpoints themselves are in
//! the modules named after Consul's.
//!
//! A browser must not be made to write here by a page from elsewhere: a request that changes something and carries an
//! `Origin` that is not the host it was sent to, or `Sec-Fetch-Site: cross-site`, is refused with 403. Programs send
//! neither. (Reads are answered to everybody; without CORS headers a page cannot see them.)

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use daemon::http::{BodyError, Reply, read_body};
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use hyper::body::Incoming;

use super::answer::{self, Answer, Failure};
use super::request::{BadEscape, Call};
use super::state::State;
use super::{
    acl, agent, agent_health, catalog, event, gzip, health, joining, kv, mux, prepared, session,
    snapshot, txn, ui,
};
use crate::catalog::Status;

/// What there is to call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    StatusLeader,
    StatusPeers,
    AclDisabled,
    AclSelf,
    AgentSelf,
    AgentMembers,
    AgentServices,
    AgentService,
    AgentChecks,
    AgentMaintenance,
    AgentReload,
    AgentMetrics,
    AgentJoin,
    AgentForceLeave,
    AgentHealthById,
    AgentHealthByName,
    ServiceRegister,
    ServiceDeregister,
    ServiceMaintenance,
    CheckRegister,
    CheckDeregister,
    CheckPass,
    CheckWarn,
    CheckFail,
    CheckUpdate,
    CatalogRegister,
    CatalogDeregister,
    CatalogDatacenters,
    CatalogNodes,
    CatalogServices,
    CatalogService,
    CatalogConnect,
    CatalogNode,
    CatalogNodeServices,
    HealthService,
    HealthConnect,
    HealthChecks,
    HealthNode,
    HealthState,
    Kv,
    SessionCreate,
    SessionDestroy,
    SessionRenew,
    SessionInfo,
    SessionNode,
    SessionList,
    Queries,
    Query,
    EventFire,
    EventList,
    Txn,
    Snapshot,
    CoordinateNodes,
    CoordinateDatacenters,
    TurnoJoin,
}

/// From request to reply: path, method, body, endpoint.
pub(super) async fn respond(
    state: Arc<State>,
    request: Request<Incoming>,
    body_limit: usize,
) -> Reply {
    let (parts, body) = request.into_parts();
    let gzip = gzip::is_wanted(&parts.headers);
    if let Some(path) = clean(parts.uri.path()) {
        return answer::moved(&parts.method, &path, parts.uri.query());
    }
    let mut call = match Call::new(parts.method.clone(), &parts.uri, parts.headers) {
        Ok(call) => call,
        Err(BadEscape::Path) => {
            return Answer::from(Failure::invalid("400 Bad Request"))
                .without_vary()
                .into_reply(gzip);
        }
        Err(BadEscape::Query) => {
            return Answer::empty()
                .status(StatusCode::INTERNAL_SERVER_ERROR)
                .into_reply(gzip);
        }
    };
    let own = joining::is_own(&call.path);
    if let Some(upstream) = state.joining.upstream().filter(|_| !own) {
        return pass_on(&state, upstream, &call, &parts.uri, body, body_limit).await;
    }
    let route = match mux::find(&call.path) {
        mux::Found::Endpoint(route, rest) => {
            call.rest = rest;
            route
        }
        mux::Found::Slash => {
            let path = format!("{}/", parts.uri.path());
            return answer::moved(&call.method, &path, parts.uri.query());
        }
        mux::Found::Nothing if call.path == "/" => {
            return answer::moved(&call.method, "/ui/", None);
        }
        mux::Found::Nothing if call.path == "/ui" => {
            return answer::moved(&call.method, "/ui/", parts.uri.query());
        }
        mux::Found::Nothing if call.path == "/ui/" && call.method == Method::GET => {
            return ui::page();
        }
        mux::Found::Nothing => return answer::nothing(),
    };
    if call.method == Method::OPTIONS {
        return answer::methods(route.methods, None, gzip);
    }
    if !route.methods.contains(&call.method.as_str()) {
        return answer::methods(route.methods, Some(&call.method), gzip);
    }
    let body_limit = match snapshot::body_limit(&state, &call, route.endpoint, body_limit) {
        Ok(limit) => limit,
        Err(failure) => return Answer::from(failure).into_reply(gzip),
    };
    if call.method != Method::GET {
        match read_write(&call.headers, body, body_limit).await {
            Ok(body) => call.body = body,
            Err(refused) => return refused.into_reply(gzip),
        }
    }
    let answering = async {
        let began = Instant::now();
        let answer = dispatch(&state, &call, route.endpoint).await;
        let answer = answer.unwrap_or_else(Answer::from);
        count(&state, &call, route, began, answer.status);
        answer.into_reply(gzip)
    };
    if own {
        return answering.await;
    }
    let body = call.body.clone();
    if call.method == Method::GET {
        // A query that waits when the registry moves is asked again there.
        tokio::select! {
            biased;
            upstream = state.joining.moved() => {
                joining::forward(&state, upstream, &call, &parts.uri, body).await
            }
            reply = answering => reply,
        }
    } else {
        let _writing = state.joining.writing().await;
        match state.joining.upstream() {
            Some(upstream) => joining::forward(&state, upstream, &call, &parts.uri, body).await,
            None => answering.await,
        }
    }
}

/// Passes a request on to the registry that this one has moved to.
async fn pass_on(
    state: &State,
    upstream: &joining::Upstream,
    call: &Call,
    uri: &Uri,
    body: Incoming,
    limit: usize,
) -> Reply {
    let body = if matches!(call.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        Bytes::new()
    } else {
        match read_write(&call.headers, body, limit).await {
            Ok(body) => body,
            Err(refused) => return refused.into_reply(false),
        }
    };
    joining::forward(state, upstream, call, uri, body).await
}

/// The body of a request that changes something, unless it may not.
pub(super) async fn read_write(
    headers: &HeaderMap,
    body: Incoming,
    limit: usize,
) -> Result<Bytes, Answer> {
    if is_foreign_page(headers) {
        return Err(Answer::from(Failure::new(
            StatusCode::FORBIDDEN,
            "refused: a web page from elsewhere may not write to this registry",
        )));
    }
    read_body(body, limit)
        .await
        .map_err(|error| unreadable(&error))
}

/// Counts an answered request.
fn count(state: &State, call: &Call, route: &mux::Route, began: Instant, status: StatusCode) {
    let method = route.methods.iter().find(|name| **name == call.method);
    let name = (method.copied().unwrap_or_default(), route.path);
    let refused = status == StatusCode::FORBIDDEN;
    state.metrics.answered(name, began.elapsed(), refused);
}

async fn dispatch(state: &Arc<State>, call: &Call, endpoint: Endpoint) -> Result<Answer, Failure> {
    match endpoint {
        Endpoint::StatusLeader => agent::status(state, call, false),
        Endpoint::StatusPeers => agent::status(state, call, true),
        Endpoint::AclDisabled => Err(acl::disabled()),
        Endpoint::AclSelf => acl::own_token(state, call),
        Endpoint::AgentSelf => agent::this(state, call),
        Endpoint::AgentMembers => agent::members(state, call),
        Endpoint::AgentServices => agent::services(state, call),
        Endpoint::AgentService => agent::service(state, call).await,
        Endpoint::AgentChecks => agent::checks(state, call),
        Endpoint::AgentMaintenance => agent::node_maintenance(state, call).await,
        Endpoint::AgentReload => agent::reload(state, call).await,
        Endpoint::AgentMetrics => agent::numbers(state, call),
        Endpoint::AgentJoin => agent::join(state, call),
        Endpoint::AgentForceLeave => agent::force_leave(state, call),
        Endpoint::AgentHealthById => agent_health::by_id(state, call),
        Endpoint::AgentHealthByName => agent_health::by_name(state, call),
        Endpoint::ServiceRegister => agent::register_service(state, call).await,
        Endpoint::ServiceDeregister => agent::deregister_service(state, call).await,
        Endpoint::ServiceMaintenance => agent::service_maintenance(state, call).await,
        Endpoint::CheckRegister => agent::register_check(state, call).await,
        Endpoint::CheckDeregister => agent::deregister_check(state, call).await,
        Endpoint::CheckPass => agent::report(state, call, Status::Passing).await,
        Endpoint::CheckWarn => agent::report(state, call, Status::Warning).await,
        Endpoint::CheckFail => agent::report(state, call, Status::Critical).await,
        Endpoint::CheckUpdate => agent::update(state, call).await,
        Endpoint::CatalogRegister => catalog::register(state, call).await,
        Endpoint::CatalogDeregister => catalog::deregister(state, call).await,
        Endpoint::CatalogDatacenters => catalog::datacenters(state, call),
        Endpoint::CatalogNodes => catalog::nodes(state, call).await,
        Endpoint::CatalogServices => catalog::services(state, call).await,
        Endpoint::CatalogService => catalog::service(state, call, false).await,
        Endpoint::CatalogConnect => catalog::service(state, call, true).await,
        Endpoint::CatalogNode => catalog::node(state, call, false).await,
        Endpoint::CatalogNodeServices => catalog::node(state, call, true).await,
        Endpoint::HealthService => health::service(state, call, false).await,
        Endpoint::HealthConnect => health::service(state, call, true).await,
        Endpoint::HealthChecks => health::checks(state, call).await,
        Endpoint::HealthNode => health::node(state, call).await,
        Endpoint::HealthState => health::in_state(state, call).await,
        Endpoint::Kv => kv::endpoint(state, call).await,
        Endpoint::SessionCreate => session::create(state, call).await,
        Endpoint::SessionDestroy => session::destroy(state, call).await,
        Endpoint::SessionRenew => session::renew(state, call).await,
        Endpoint::SessionInfo => session::info(state, call).await,
        Endpoint::SessionNode => session::of_node(state, call).await,
        Endpoint::SessionList => session::list(state, call).await,
        Endpoint::Queries => prepared::all(state, call).await,
        Endpoint::Query => prepared::one(state, call).await,
        Endpoint::EventFire => event::fire(state, call),
        Endpoint::EventList => event::list(state, call).await,
        Endpoint::Txn => txn::endpoint(state, call).await,
        Endpoint::Snapshot => snapshot::endpoint(state, call).await,
        Endpoint::TurnoJoin => joining::endpoint(state, call),
        Endpoint::CoordinateNodes => {
            state.rights(call)?;
            let none: [u8; 0] = [];
            Ok(agent::answer(call, &none)?.indexed(1, None))
        }
        Endpoint::CoordinateDatacenters => {
            state.rights(call)?;
            let none: [u8; 0] = [];
            agent::answer(call, &none)
        }
    }
}

fn unreadable(error: &BodyError) -> Answer {
    let status = match error {
        BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    };
    Failure::new(status, error.to_string()).into()
}

/// Whether a browser says that a page from elsewhere sent this.
fn is_foreign_page(headers: &HeaderMap) -> bool {
    let text = |name: &header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let fetch_site = headers.get("sec-fetch-site");
    if fetch_site.is_some_and(|site| site == "cross-site") {
        return true;
    }
    if !headers.contains_key(header::ORIGIN) {
        return false;
    }
    let origin = text(&header::ORIGIN).and_then(|origin| origin.split_once("://"));
    let own = origin.map(|(_, host)| host);
    own.is_none() || own != text(&header::HOST)
}

/// The path without empty, `.` and `..` segments, if it has any: Go's `path.Clean`, with the `/` at the end kept.
fn clean(path: &str) -> Option<String> {
    let odd = path.contains("//") || path.split('/').any(|word| matches!(word, "." | ".."));
    if !odd {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for word in path.split('/') {
        match word {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            word => kept.push(word),
        }
    }
    let end = if path.ends_with('/') && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    Some(format!("/{}{end}", kept.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_from_elsewhere_are_known_by_their_headers() {
        let table: &[(&[(&str, &str)], bool)] = &[
            (&[("host", "127.0.0.1:8500")], false),
            (
                &[
                    ("host", "127.0.0.1:8500"),
                    ("origin", "http://127.0.0.1:8500"),
                ],
                false,
            ),
            (
                &[
                    ("host", "127.0.0.1:8500"),
                    ("origin", "http://evil.example"),
                ],
                true,
            ),
            (&[("host", "127.0.0.1:8500"), ("origin", "null")], true),
            (
                &[("host", "127.0.0.1:8500"), ("sec-fetch-site", "cross-site")],
                true,
            ),
            (
                &[
                    ("host", "127.0.0.1:8500"),
                    ("sec-fetch-site", "same-origin"),
                ],
                false,
            ),
        ];
        for (headers, foreign) in table {
            let mut map = HeaderMap::new();
            for (name, value) in *headers {
                map.insert(*name, value.parse().expect("a valid header"));
            }
            assert_eq!(is_foreign_page(&map), *foreign, "{headers:?}");
        }
    }

    #[test]
    fn paths_are_cleaned() {
        let table = [
            ("//v1///kv//x", Some("/v1/kv/x")),
            ("/v1/../v1/kv/./", Some("/v1/kv/")),
            ("/../..", Some("/")),
            ("/v1/kv/..x", None),
            ("/v1/kv/", None),
        ];
        for (path, expected) in table {
            assert_eq!(clean(path).as_deref(), expected, "{path}");
        }
    }
}
