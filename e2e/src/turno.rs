//! Starts turno's own programs, as built beside the test that runs: the balancer, replicas of `hello`, wrapped programs.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::Signal;

use crate::http;
use crate::process::{self, Ended, Process};
use crate::wait;

/// A clean stop deregisters, drains and exits; the drain has a limit of its own below this.
const STOP_LIMIT: Duration = Duration::from_secs(40);

/// A command that should end by itself has this long to do it.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// The program to test: `TURNO_BIN`, or the one in the target folder of the running test.
///
/// # Panics
/// If it is not built.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TURNO_BIN") {
        return PathBuf::from(path);
    }
    let test = std::env::current_exe().expect("a running program has a path");
    let found = test
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("turno"))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "no `turno` beside {}: run `cargo build` first, as scripts/test does",
            test.display()
        )
    })
}

/// A `turno` command, with nothing of the caller's environment that would steer it.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments);
    for name in [
        "CONSUL_HTTP_ADDR",
        "CONSUL_HTTP_TOKEN",
        "CONSUL_HTTP_TOKEN_FILE",
        "CONSUL_HTTP_SSL",
        "CONSUL_HTTP_SSL_VERIFY",
        "CONSUL_CACERT",
        "CONSUL_CLIENT_CERT",
        "CONSUL_CLIENT_KEY",
        "CONSUL_DATACENTER",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs a `turno` command that is expected to end by itself.
///
/// # Panics
/// If it does not.
pub fn run(arguments: &[&str]) -> Ended {
    process::run(command(arguments), COMMAND_LIMIT).expect("turno can be started")
}

/// A running balancer.
#[derive(Debug)]
pub struct Balancer {
    /// Where it listens for requests.
    pub address: SocketAddr,
    /// Where its admin listener is.
    pub admin: SocketAddr,
    /// The program.
    pub process: Process,
    _folder: tempfile::TempDir,
}

/// What a test wants of a balancer, beyond ports and the registry.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// The registry to follow, or `None` for fixed endpoints only.
    pub registry: Option<SocketAddr>,
    /// Lines of `lb.toml` that stand before the first table.
    pub settings: &'a str,
    /// Tables of `lb.toml`.
    pub tables: &'a str,
}

impl Balancer {
    /// Routes everything to the service `web` with the policy named.
    pub fn start(registry: SocketAddr, policy: &str) -> Balancer {
        Balancer::with(&Setup {
            registry: Some(registry),
            settings: &format!("policy = \"{policy}\"\n"),
            tables: "[[route]]\npath = \"/\"\nservice = \"web\"\n",
        })
    }

    /// Starts a balancer and waits until it listens.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn with(setup: &Setup<'_>) -> Balancer {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let config = folder.path().join("lb.toml");
        let text = format!(
            "listen = \"127.0.0.1:0\"
admin = \"127.0.0.1:0\"
{}
{}",
            setup.settings, setup.tables
        );
        fs::write(&config, text).expect("the folder was just made");
        let mut command = command(&["lb", "--config", path(&config)]);
        if let Some(registry) = setup.registry {
            command.arg("--consul").arg(format!("http://{registry}"));
        }
        let mut process = Process::start("turno lb", command);
        let address = listening(&mut process, "balancer listening on http://");
        let admin = listening(&mut process, "admin listening on http://");
        Balancer {
            address,
            admin,
            process,
            _folder: folder,
        }
    }

    /// Waits until `service` has `count` upstreams that may be picked.
    ///
    /// # Panics
    /// If that does not come true.
    pub fn await_rotation(&mut self, count: usize) {
        wait::until_true(format!("{count} instances in rotation"), wait::SOON, || {
            self.process.assert_running();
            self.in_rotation() == count
        });
    }

    /// The sum of a counter over all its series, from `/metrics`; 0 if it has none yet.
    pub fn metric(&self, name: &str) -> u64 {
        http::get(self.admin, "/metrics")
            .map(|answer| metric(&answer.text(), name))
            .unwrap_or(0)
    }

    /// How many instances answer, judged by the requests of one client: a bound high enough that each has its turn.
    fn in_rotation(&self) -> usize {
        let mut client = match http::Connection::open(self.address) {
            Ok(client) => client,
            Err(_) => return 0,
        };
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..ASKED {
            match client.get("/") {
                Ok(answer) if answer.status == 200 => seen.insert(answer.text()),
                _ => return 0,
            };
        }
        seen.len()
    }
}

/// Requests after which every instance of a test has had its turn, whatever the policy.
const ASKED: usize = 40;

/// One replica of `turno microservice hello`.
#[derive(Debug)]
pub struct Hello {
    /// The instance it says it is.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The program.
    pub process: Process,
}

impl Hello {
    /// Starts a replica on a free port, registered nowhere.
    pub fn start(id: &str) -> Hello {
        let command = command(&[
            "microservice",
            "hello",
            "--listen",
            "127.0.0.1:0",
            "--instance",
            id,
        ]);
        let mut process = Process::start(id, command);
        let address = listening(&mut process, " listening on http://");
        Hello {
            id: id.to_owned(),
            address,
            process,
        }
    }
}

/// Waits until a program prints where it listens, after `words`.
///
/// # Panics
/// If it ends instead.
pub fn listening(process: &mut Process, words: &str) -> SocketAddr {
    let (address, _) = wait::until(format!("{words:?}"), wait::SOON, || {
        process.assert_running();
        let output = process.output();
        // The line is there in full once it has an end.
        let (line, _) = output.split_once(words)?.1.split_once('\n')?;
        line.trim().parse().ok()
    });
    address
}

/// The sum of all series of a Prometheus text whose name ends so.
fn metric(text: &str, name: &str) -> u64 {
    let series = text.lines().filter(|line| !line.starts_with('#'));
    let values = series.filter_map(|line| {
        let (key, value) = line.rsplit_once(' ')?;
        key.split('{')
            .next()?
            .ends_with(name)
            .then(|| value.parse::<f64>().ok())
            .flatten()
    });
    values.sum::<f64>() as u64
}

/// A program wrapped by `turno run`, registered by it.
#[derive(Debug)]
pub struct Wrapped {
    /// The program.
    pub process: Process,
}

impl Wrapped {
    /// Runs a replica of `hello` under `turno run`, as one instance of the service `web`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn hello(registry: SocketAddr, instance: &str) -> Wrapped {
        let mut command = command(&[
            "run",
            "--name",
            "web",
            "--id",
            instance,
            "--check-http",
            "/health",
        ]);
        command
            .args(["--consul", &format!("http://{registry}"), "--"])
            .arg(binary());
        command.args(["microservice", "hello", "--instance", instance]);
        Wrapped {
            process: Process::start(instance, command),
        }
    }

    /// Asks it to stop, as an init system would, and waits.
    pub fn stop(&mut self) -> ExitStatus {
        self.process.signal(Signal::TERM);
        self.process.wait(STOP_LIMIT)
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}
