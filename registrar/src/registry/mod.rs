//! The embedded registry: Consul's HTTP API over the catalog, for machines that have no Consul.
//!
//! It answers as Consul 1.8.7 does, with the newer fields of check definitions accepted. Behind it is one process:
//! what is registered through the agent endpoints is in the catalog at once. Without access control it keeps to loopback
//! unless told otherwise.

mod access;
mod acl;
mod agent;
mod agent_health;
mod answer;
mod blocking;
mod body;
mod catalog;
mod config;
mod duration;
mod event;
mod filter;
mod filtered;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gzip;
mod health;
mod joining;
mod kv;
mod metrics;
mod mux;
mod places;
mod prepared;
mod rendered;
mod request;
mod select;
mod serve;
mod session;
mod snapshot;
mod state;
pub(crate) mod told;
mod txn;
mod ui;
mod view;
mod waiters;
mod zone;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use daemon::http::TlsFiles;
use daemon::http::{Limits, Tls};
use tokio::net::TcpListener;
use tokio::signal::unix::SignalKind;
use tokio_util::sync::CancellationToken;

use self::access::Access;
pub use self::access::{AccessConfig, AccessError, BadSecret, Otherwise, Secret};
pub use self::config::{RegistryConfig, RegistryError};
use self::joining::Joining;
use self::state::State;
use crate::catalog::LocalNode;
use crate::dns;
use crate::durable::{Journal, Moved, Opened};

/// A registry that listens and waits to be run.
pub struct Registry {
    listener: TcpListener,
    address: SocketAddr,
    dns: Option<dns::Server>,
    limits: Limits,
    state: Arc<State>,
    join: Option<String>,
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
    /// The address is taken or not this machine's, a name is empty, or the folder cannot be used.
    pub async fn bind(config: RegistryConfig) -> Result<Registry, RegistryError> {
        if config.node.is_empty() {
            return Err(RegistryError::Name("node"));
        }
        if config.datacenter.is_empty() {
            return Err(RegistryError::Name("datacenter"));
        }
        // Whoever needs a certificate is known, too.
        let known = config
            .tls
            .as_ref()
            .is_some_and(|tls| tls.client_ca.is_some());
        let guarded = config.access.is_on() || known || config.open_to_network;
        if !config.listen.ip().is_loopback() && !guarded {
            return Err(RegistryError::Open(config.listen));
        }
        let read = tokio::task::spawn_blocking(move || {
            let tls = config.tls.map(Tls::load).transpose()?;
            Ok::<_, RegistryError>((Access::load(config.access)?, tls))
        });
        let read = read.await.map_err(std::io::Error::other);
        let (access, tls) = read.map_err(RegistryError::System)??;
        let listener = daemon::net::listen(config.listen)?;
        let address = listener.local_addr().map_err(RegistryError::Address)?;
        let dns = match config.dns_listen {
            Some(address) => Some(dns::Server::bind(address).await?),
            None => None,
        };
        let mut local = LocalNode {
            name: config.node,
            id: config.node_id.clone().unwrap_or_else(random_uuid),
            address: node_address(address.ip()),
            datacenter: config.datacenter,
        };
        let note = moved(config.data_dir.as_deref(), config.join.as_deref())?;
        let folder = config.data_dir.clone().filter(|_| note.is_none());
        let opened = open(folder, &local, note.is_some()).await?;
        if let Some(opened) = &opened
            && config.node_id.is_none()
        {
            local.id = opened.catalog.local_node().id.to_string();
        }
        Ok(Registry {
            listener,
            address,
            dns,
            limits: config.limits,
            state: {
                let joining = Joining::new(config.upstream, config.data_dir);
                let state = State::new(local, config.scripts, access, tls, opened, joining);
                let state = state.map_err(RegistryError::System)?;
                joining::resume(&state, note.as_ref(), config.join.as_deref())?;
                state
            },
            join: config.join.filter(|_| note.is_none()),
        })
    }

    /// Where it listens, with the port it got.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Whether it speaks TLS, and wants certificates of its clients.
    pub fn is_tls(&self) -> bool {
        self.state.tls.is_some()
    }

    /// Where it answers DNS, with the port it got, if it does.
    pub fn dns_addr(&self) -> Option<SocketAddr> {
        self.dns.as_ref().map(dns::Server::local_addr)
    }

    /// A token for whoever runs this registry in the same process: it may do everything, and what comes with it counts
    /// as defined on this machine. Not for others.
    pub fn own_token(&self) -> &Secret {
        self.state.access.own()
    }

    /// The address of the registry that everything is passed on to, if this one has moved or has nothing to move.
    pub fn forwards_to(&self) -> Option<&str> {
        let upstream = self.state.joining.upstream();
        upstream.map(|upstream| upstream.address.as_str())
    }

    /// Serves until `shutdown`; waiting queries are then answered at once with what there is.
    pub async fn run(self, shutdown: CancellationToken) {
        let Registry {
            listener,
            address,
            dns,
            limits,
            state,
            join,
        } = self;
        tracing::info!(%address, node = state.local.name, "the registry listens");
        if let Some(address) = join
            && let Err(failure) = joining::begin(&state, address, None)
        {
            tracing::error!(reason = failure.text, "cannot move");
        }
        let handler = {
            let (state, body_limit) = (Arc::clone(&state), limits.body_bytes);
            move |request, _client| serve::respond(Arc::clone(&state), request, body_limit)
        };
        let tls = state.tls.clone();
        let serving = daemon::http::serve_with(listener, tls, limits, handler, shutdown.clone());
        let names = names(dns, Arc::clone(&state), shutdown.clone());
        let ending = async {
            shutdown.cancelled().await;
            state.stop();
        };
        let reloading = reload_on_hangup(&state, &shutdown);
        let renewing = renew(state.tls.clone(), shutdown.clone());
        tokio::join!(
            serving,
            names,
            ending,
            state.keep_time(),
            reloading,
            renewing
        );
        state.close().await;
    }
}

/// Follows the files of the certificate, if there is one, until `shutdown`.
async fn renew(tls: Option<Arc<Tls>>, shutdown: CancellationToken) {
    if let Some(tls) = tls {
        tls.follow(shutdown).await;
    }
}

/// Reads tokens and certificates again at each SIGHUP, until `shutdown`. What is wrong with them is logged, and changes nothing.
async fn reload_on_hangup(state: &Arc<State>, shutdown: &CancellationToken) {
    let mut hangups = match tokio::signal::unix::signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => {
            tracing::warn!(%error, "the registry will not reload at SIGHUP");
            return;
        }
    };
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(()) = hangups.recv() => match state.reload().await {
                Ok(()) => tracing::info!("the registry has read its files again"),
                Err(error) => tracing::error!(error, "the registry goes on as it was: a file cannot be used"),
            },
        }
    }
}

/// Answers DNS, if it is served, until `shutdown`.
async fn names(server: Option<dns::Server>, state: Arc<State>, shutdown: CancellationToken) {
    let Some(server) = server else {
        return;
    };
    let until = shutdown.child_token();
    let moved = async {
        let upstream = state.joining.moved().await;
        until.cancel();
        upstream
    };
    let own = Arc::clone(&state);
    let answer = move |packet: &[u8], transport| {
        let rights = own.anonymous();
        let zone = zone::Zone {
            catalog: &own.see(&rights),
            access: &own.access,
            local: &own.local.name,
        };
        dns::respond(packet, &zone, transport, &mut dns::Moment::now())
    };
    let serving = server.run(answer, until.clone());
    tokio::select! {
        biased;
        () = serving => {}
        _ = moved => {}
    }
    if let Some(upstream) = state.joining.upstream() {
        joining::relay(server, upstream, shutdown).await;
    }
}

/// Whether the registry of this folder has moved, and where to.
fn moved(folder: Option<&Path>, join: Option<&str>) -> Result<Option<Moved>, RegistryError> {
    let Some(folder) = folder else {
        return Ok(None);
    };
    let note = Moved::read(folder)?;
    match (&note, join) {
        (Some(note), Some(asked)) if note.address != asked => Err(RegistryError::MovedElsewhere {
            folder: folder.to_owned(),
            moved: note.address.clone(),
            asked: asked.to_owned(),
        }),
        _ => Ok(note),
    }
}

/// Reads the folder, if there is one, and says what there is to say about it.
async fn open(
    data_dir: Option<PathBuf>,
    local: &LocalNode,
    has_moved: bool,
) -> Result<Option<Opened>, RegistryError> {
    let Some(path) = data_dir else {
        if has_moved {
            return Ok(None);
        }
        tracing::info!("the registry is in memory only: when it ends, everything is forgotten");
        return Ok(None);
    };
    // Without a handler a limit on the size of files ends the process; with one, writing returns an error.
    let signal = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    drop(tokio::signal::unix::signal(signal).map_err(RegistryError::System)?);
    let local = local.clone();
    let shown = path.clone();
    let opened = tokio::task::spawn_blocking(move || Journal::open(&path, &local))
        .await
        .map_err(|error| RegistryError::System(std::io::Error::other(error)))??;
    tracing::info!(
        folder = %shown.display(), index = opened.catalog.index(),
        "the registry keeps every write on disk"
    );
    Ok(Some(opened))
}

/// The address other machines would use: that of the listener unless it is on loopback or on every address.
fn node_address(listen: IpAddr) -> String {
    if listen.is_unspecified() || listen.is_loopback() {
        return Ipv4Addr::LOCALHOST.to_string();
    }
    listen.to_string()
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
}
