//! How a registry is to be run, and why one did not start.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use daemon::http::{Limits, TlsError, TlsFiles};
use daemon::net::ListenError;

use super::access::{AccessConfig, AccessError};
use crate::check::Scripts;
use crate::dns::DnsError;
use crate::durable::DurableError;

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
    /// Which script checks may be registered; the default is none.
    pub scripts: Scripts,
    /// The folder to keep everything in; the default is none: everything is in memory, and gone with the process.
    pub data_dir: Option<PathBuf>,
    /// A Consul to move to and pass everything on to from then on: its address. The default is none.
    pub join: Option<String>,
    /// How to reach a registry to move to, and the token for copying there; its address does not count.
    pub upstream: consul::Config,
    /// Where to answer DNS, over UDP and TCP; port 0 for any free one. The default is nowhere; Consul's port is 8600.
    pub dns_listen: Option<SocketAddr>,
    /// Who may do what; the default is that everybody may do everything.
    pub access: AccessConfig,
    /// TLS on the port of the HTTP API; the default is none.
    pub tls: Option<TlsFiles>,
    /// Listen beyond loopback though there is no access control. The default is to refuse to start then.
    pub open_to_network: bool,
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
            scripts: Scripts::Off,
            data_dir: None,
            join: None,
            upstream: consul::Config::new(""),
            dns_listen: None,
            access: AccessConfig::default(),
            tls: None,
            open_to_network: false,
        }
    }
}

/// Why a registry did not start.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// DNS cannot be served.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// The listener has no address; the system said so.
    #[error("cannot tell which address the registry listens on: {0}")]
    Address(#[source] std::io::Error),
    /// The folder cannot be used.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// The registry to move to cannot be used.
    #[error(transparent)]
    Join(#[from] consul::Error),
    /// It has moved, and to another place.
    #[error(
        "{folder} belongs to a registry that has moved to {moved}; it cannot move to {asked} from here. Say that address, \
         or name another folder"
    )]
    MovedElsewhere {
        /// The folder.
        folder: PathBuf,
        /// Where it went.
        moved: String,
        /// Where it should go now.
        asked: String,
    },
    /// The system does not give what the registry needs.
    #[error("cannot start a part of the registry: {0}")]
    System(#[source] std::io::Error),
    /// A token cannot be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Everybody who reaches the address could change everything, and nobody said that this is meant.
    #[error(
        "the registry would listen on {0}, which is not on loopback, without any access control: everybody who reaches it \
         could register, deregister, and have this machine send checks to any address. Give it a token (--acl-token-file \
         FILE), or say --open-to-network if that network is to be trusted, or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
    /// A name that no client could use.
    #[error("the registry needs a {0} name that is not empty")]
    Name(&'static str),
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}
