//! Registries to test against: the embedded one in this process, and a real Consul as a process of our own.
//!
//! A Consul that is not there is skipped out loud, and an error in CI.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use consul::{Client, Config};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ports;
use crate::registry::{AccessConfig, Registry, RegistryConfig};

/// Nothing here takes this long unless it is broken.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// How often a Consul is started before something else must be wrong than a port that is taken.
const STARTS: usize = 3;

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
        for _ in 0..STARTS {
            let mut backend = Self::start(&program);
            if backend.is_up().await {
                return Some(backend);
            }
        }
        panic!("consul ended at its start, {STARTS} times");
    }

    fn start(program: &Path) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let ports: [u16; 4] = ports::free();
        let mut command = Command::new(program);
        command.args("agent -dev -node here -bind 127.0.0.1 -client 127.0.0.1".split(' '));
        command.args("-log-level err -dns-port -1 -grpc-port -1".split(' '));
        let flags = [
            "-http-port",
            "-server-port",
            "-serf-lan-port",
            "-serf-wan-port",
        ];
        for (flag, port) in flags.iter().zip(ports) {
            command.args([flag.to_string(), port.to_string()]);
        }
        let child = command
            .current_dir(data.path())
            .env_clear()
            .env("HOME", data.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("consul can be started");
        Self {
            name: "consul",
            address: SocketAddr::from(([127, 0, 0, 1], ports[0])),
            shutdown: CancellationToken::new(),
            consul: Some((child, data)),
        }
    }

    /// Waits until Consul knows itself. `false`: it has ended, as it does when somebody took one of its ports meanwhile.
    async fn is_up(&mut self) -> bool {
        let client = self.client();
        let mut lives = true;
        eventually("consul to know itself", async || {
            let ended = self.consul.as_mut().map(|(child, _)| child.try_wait());
            lives = matches!(ended, Some(Ok(None)));
            let node = client.catalog_node("here").await.ok().flatten();
            !lives || node.is_some_and(|node| !node.services.is_empty())
        })
        .await;
        lives
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
