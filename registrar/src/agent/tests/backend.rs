//! Registries to test against: the embedded one in this process, and a real Consul as a process of our own.
//!
//! A Consul that is not there is skipped out loud, and an error in CI.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use consul::{Client, Config};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::registry::{AccessConfig, Registry, RegistryConfig};

/// Nothing here takes this long unless it is broken.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// A running registry; it ends with the value.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    shutdown: CancellationToken,
    consul: Option<(Child, tempfile::TempDir)>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some((child, _)) = &mut self.consul {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Backend {
    pub(super) fn client(&self) -> Client {
        client(self.address)
    }

    pub(super) async fn embedded() -> Self {
        Self::with_access(AccessConfig::default()).await
    }

    /// The embedded registry, where not everybody may do everything.
    pub(super) async fn with_access(access: AccessConfig) -> Self {
        let config = RegistryConfig {
            listen: "127.0.0.1:0".parse().expect("an address"),
            node: "here".into(),
            access,
            ..RegistryConfig::default()
        };
        let registry = Registry::bind(config).await.expect("a free port");
        let address = registry.local_addr();
        let shutdown = CancellationToken::new();
        tokio::spawn(registry.run(shutdown.clone()));
        Self {
            name: "the embedded registry",
            address,
            shutdown,
            consul: None,
        }
    }

    /// A real Consul, if there is one.
    pub(super) async fn consul() -> Option<Self> {
        let Some(program) = find() else {
            let text = "consul is not installed; `scripts/real-parts` would install it, or TURNO_CONSUL may name it";
            let ci = std::env::var("CI").is_ok_and(|ci| !matches!(ci.as_str(), "" | "0" | "false"));
            assert!(!ci, "{text}");
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {text}");
            return None;
        };
        let data = tempfile::tempdir().expect("a folder");
        let ports: [u16; 4] = free_ports();
        let child = Command::new(program)
            .args([
                "agent",
                "-dev",
                "-node",
                "here",
                "-bind",
                "127.0.0.1",
                "-client",
                "127.0.0.1",
            ])
            .args(["-log-level", "err", "-dns-port", "-1", "-grpc-port", "-1"])
            .args([
                "-http-port",
                &ports[0].to_string(),
                "-server-port",
                &ports[1].to_string(),
            ])
            .args([
                "-serf-lan-port",
                &ports[2].to_string(),
                "-serf-wan-port",
                &ports[3].to_string(),
            ])
            .current_dir(data.path())
            .env_clear()
            .env("HOME", data.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("consul can be started");
        let backend = Self {
            name: "consul",
            address: SocketAddr::from(([127, 0, 0, 1], ports[0])),
            shutdown: CancellationToken::new(),
            consul: Some((child, data)),
        };
        let client = backend.client();
        eventually("consul to know itself", async || {
            let node = client.catalog_node("here").await.ok().flatten();
            node.is_some_and(|node| !node.services.is_empty())
        })
        .await;
        Some(backend)
    }

    /// All there are.
    pub(super) async fn all() -> Vec<Self> {
        let mut all = vec![Self::embedded().await];
        all.extend(Self::consul().await);
        all
    }
}

pub(super) fn client(address: SocketAddr) -> Client {
    Client::new(Config::new(address.to_string())).expect("a client")
}

fn find() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("TURNO_CONSUL") {
        return Some(path.into());
    }
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::iter::once(checkout.join(".real-parts/bin")).chain(std::env::split_paths(&path));
    folders
        .map(|folder| folder.join("consul"))
        .find(|program| program.is_file())
}

/// Ports the kernel has just given out, held together so that they differ.
fn free_ports<const N: usize>() -> [u16; N] {
    let held: [_; N] = std::array::from_fn(|_| {
        loop {
            let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = tcp.local_addr().expect("it is bound");
            // Gossip wants the same port for both.
            if let Ok(udp) = UdpSocket::bind(address) {
                return (address.port(), tcp, udp);
            }
        }
    });
    held.map(|(port, _, _)| port)
}

/// Waits until `condition` holds, within [`LIMIT`].
pub(super) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < LIMIT, "waited {LIMIT:?} for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A line to a registry that can be cut: what is on its way stays there, and nothing new gets through.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) address: SocketAddr,
    open: tokio::sync::watch::Sender<bool>,
}

impl Line {
    pub(super) async fn to(target: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let open = tokio::sync::watch::Sender::new(true);
        let state = open.subscribe();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut state = state.clone();
                tokio::spawn(async move {
                    until(&mut state, true).await;
                    let Ok(mut far) = TcpStream::connect(target).await else {
                        return;
                    };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        () = until(&mut state, false) => {}
                    }
                    // Held open and silent, as when packets are lost.
                    until(&mut state, true).await;
                });
            }
        });
        Self { address, open }
    }

    pub(super) fn cut(&self) {
        self.open.send_replace(false);
    }

    pub(super) fn mend(&self) {
        self.open.send_replace(true);
    }
}

async fn until(open: &mut tokio::sync::watch::Receiver<bool>, want: bool) {
    // The guard must not live across an await of the caller.
    let _ = open.wait_for(|open| *open == want).await.map(drop);
}
