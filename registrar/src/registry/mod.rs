//! The embedded registry: Consul's HTTP API over the catalog, for machines that have no Consul.
//!
//! It answers as Consul 1.8.7 does, with the newer fields of check definitions accepted. Behind it is one process:
//! what is registered through the agent endpoints is in the catalog at once. It listens where it is told; keeping to
//! loopback is the business of whoever starts it, because there are no access rules yet.
//!
//! A browser must not be made to write here by a page from elsewhere: a request that changes something and carries an
//! `Origin` that is not the host it was sent to, or `Sec-Fetch-Site: cross-site`, is refused with 403. Programs send
//! neither. (Reads are answered to everybody; without CORS headers a page cannot see them.)

mod agent;
mod agent_health;
mod answer;
mod blocking;
mod body;
mod catalog;
mod duration;
mod filter;
mod filtered;
mod health;
mod mux;
mod rendered;
mod request;
mod select;
mod state;
mod view;
mod waiters;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use daemon::http::{BodyError, Limits, Reply, read_body};
use daemon::net::ListenError;
use http::{HeaderMap, Method, Request, StatusCode, header};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::answer::{Answer, Failure};
use self::request::{BadEscape, Call};
use self::state::State;
use crate::catalog::{LocalNode, Status};

/// Most bytes of a request's body. Consul takes registrations of more than half a megabyte; nothing needs this much.
const BODY_LIMIT: usize = 4 * 1024 * 1024;
/// Connections at once: every waiting query holds one. The process may have fewer file descriptors; connections then
/// wait in the kernel's queue.
const CONNECTIONS: usize = 65_536;

/// How to run a registry.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// Where to listen; port 0 for any free one. The default is Consul's, `127.0.0.1:8500`.
    pub listen: SocketAddr,
    /// Name of the local node; the default is the machine's host name.
    pub node: String,
    /// Name of the datacenter; the default is `dc1`.
    pub datacenter: String,
    /// UUID of the local node; made at random where there is none.
    pub node_id: Option<String>,
    /// Limits of the HTTP listener.
    pub limits: Limits,
}

impl Default for RegistryConfig {
    fn default() -> RegistryConfig {
        RegistryConfig {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8500),
            node: host_name(),
            datacenter: "dc1".to_owned(),
            node_id: None,
            limits: Limits {
                connections: CONNECTIONS,
                body_bytes: BODY_LIMIT,
                ..Limits::default()
            },
        }
    }
}

/// Why a registry did not start.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The listener has no address; the system said so.
    #[error("cannot tell which address the registry listens on: {0}")]
    Address(#[source] std::io::Error),
    /// A name that no client could use.
    #[error("the registry needs a {0} name that is not empty")]
    Name(&'static str),
}

/// A registry that listens and waits to be run.
pub struct Registry {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
    state: Arc<State>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Listens; clients can connect from now on and are answered once it runs.
    ///
    /// # Errors
    /// The address is taken or not this machine's, or a name is empty.
    #[allow(clippy::unused_async)] // opening a data directory will wait
    pub async fn bind(config: RegistryConfig) -> Result<Registry, RegistryError> {
        if config.node.is_empty() {
            return Err(RegistryError::Name("node"));
        }
        if config.datacenter.is_empty() {
            return Err(RegistryError::Name("datacenter"));
        }
        let listener = daemon::net::listen(config.listen)?;
        let address = listener.local_addr().map_err(RegistryError::Address)?;
        let local = LocalNode {
            name: config.node,
            id: config.node_id.unwrap_or_else(random_uuid),
            address: node_address(address.ip()),
            datacenter: config.datacenter,
        };
        Ok(Registry {
            listener,
            address,
            limits: config.limits,
            state: State::new(local),
        })
    }

    /// Where it listens, with the port it got.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`; waiting queries are then answered at once with what there is.
    pub async fn run(self, shutdown: CancellationToken) {
        let Registry {
            listener,
            address,
            limits,
            state,
        } = self;
        tracing::info!(%address, node = state.local.name, "the registry listens");
        let handler = {
            let (state, body_limit) = (Arc::clone(&state), limits.body_bytes);
            move |request, _client| respond(Arc::clone(&state), request, body_limit)
        };
        let serving = daemon::http::serve(listener, limits, handler, shutdown.clone());
        let ending = async {
            shutdown.cancelled().await;
            state.stop();
        };
        tokio::join!(serving, ending, state.keep_time());
    }
}

/// What there is to call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    StatusLeader,
    StatusPeers,
    AclDisabled,
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
    CoordinateNodes,
    CoordinateDatacenters,
}

/// From request to reply: path, method, body, endpoint.
async fn respond(state: Arc<State>, request: Request<Incoming>, body_limit: usize) -> Reply {
    let (parts, body) = request.into_parts();
    if parts.uri.path().contains("//") {
        return answer::moved(&clean(parts.uri.path()), parts.uri.query());
    }
    let mut call = match Call::new(parts.method, &parts.uri, parts.headers) {
        Ok(call) => call,
        Err(BadEscape::Path) => {
            return Answer::from(Failure::invalid("400 Bad Request: invalid URL escape"))
                .into_reply();
        }
        Err(BadEscape::Query) => {
            return Answer::empty()
                .status(StatusCode::INTERNAL_SERVER_ERROR)
                .into_reply();
        }
    };
    let route = match mux::find(&call.path) {
        mux::Found::Endpoint(route, rest) => {
            call.rest = rest;
            route
        }
        mux::Found::Slash => {
            return answer::moved(&format!("{}/", parts.uri.path()), parts.uri.query());
        }
        mux::Found::Nothing if call.path == "/" => return answer::moved("/ui/", None),
        mux::Found::Nothing if call.path == "/ui" => {
            return answer::moved("/ui/", parts.uri.query());
        }
        mux::Found::Nothing => return answer::nothing(),
    };
    if call.method == Method::OPTIONS {
        return answer::methods(route.methods, None);
    }
    if !route.methods.contains(&call.method.as_str()) {
        return answer::methods(route.methods, Some(&call.method));
    }
    if call.method != Method::GET {
        if is_foreign_page(&call.headers) {
            let refused = Failure::new(
                StatusCode::FORBIDDEN,
                "refused: a web page from elsewhere may not write to this registry",
            );
            return Answer::from(refused).into_reply();
        }
        match read_body(body, body_limit).await {
            Ok(body) => call.body = body,
            Err(error) => return unreadable(&error).into_reply(),
        }
    }
    dispatch(&state, &call, route.endpoint)
        .await
        .unwrap_or_else(Answer::from)
        .into_reply()
}

async fn dispatch(state: &State, call: &Call, endpoint: Endpoint) -> Result<Answer, Failure> {
    match endpoint {
        Endpoint::StatusLeader => agent::answer(call, &agent::leader(state)),
        Endpoint::StatusPeers => agent::answer(call, &[agent::leader(state)]),
        Endpoint::AclDisabled => Err(Failure::new(
            StatusCode::UNAUTHORIZED,
            "ACL support disabled",
        )),
        Endpoint::AgentSelf => agent::this(state, call),
        Endpoint::AgentMembers => agent::members(state, call),
        Endpoint::AgentServices => agent::services(state, call),
        Endpoint::AgentService => agent::service(state, call).await,
        Endpoint::AgentChecks => agent::checks(state, call),
        Endpoint::AgentMaintenance => agent::node_maintenance(state, call),
        Endpoint::AgentReload => Ok(Answer::empty()),
        Endpoint::AgentMetrics => agent::metrics(call),
        Endpoint::AgentJoin => agent::join(call),
        Endpoint::AgentForceLeave => agent::force_leave(state, call),
        Endpoint::AgentHealthById => agent_health::by_id(state, call),
        Endpoint::AgentHealthByName => agent_health::by_name(state, call),
        Endpoint::ServiceRegister => agent::register_service(state, call),
        Endpoint::ServiceDeregister => agent::deregister_service(state, call),
        Endpoint::ServiceMaintenance => agent::service_maintenance(state, call),
        Endpoint::CheckRegister => agent::register_check(state, call),
        Endpoint::CheckDeregister => agent::deregister_check(state, call),
        Endpoint::CheckPass => agent::report(state, call, Status::Passing),
        Endpoint::CheckWarn => agent::report(state, call, Status::Warning),
        Endpoint::CheckFail => agent::report(state, call, Status::Critical),
        Endpoint::CheckUpdate => agent::update(state, call),
        Endpoint::CatalogRegister => catalog::register(state, call),
        Endpoint::CatalogDeregister => catalog::deregister(state, call),
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
        Endpoint::CoordinateNodes | Endpoint::CoordinateDatacenters => {
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

/// The path with runs of `/` made one.
fn clean(path: &str) -> String {
    let mut cleaned = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !cleaned.ends_with('/') {
            cleaned.push(c);
        }
    }
    cleaned
}

/// The address other machines would use: that of the listener unless it is on loopback or on every address.
fn node_address(listen: IpAddr) -> String {
    if listen.is_unspecified() || listen.is_loopback() {
        return Ipv4Addr::LOCALHOST.to_string();
    }
    listen.to_string()
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// A random (version 4) UUID. It identifies; it is no secret.
fn random_uuid() -> String {
    let bits = fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let text = format!("{bits:032x}");
    [
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..],
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_of_version_four() {
        let uuid = random_uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]), "{uuid}");
    }

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
        assert_eq!(clean("//v1///kv//x"), "/v1/kv/x");
    }
}
