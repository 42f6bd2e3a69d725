//! The broker against peers that nobody here wrote: libzmq by pyzmq, and majortomo from PyPI.
//!
//! They are fetched by `scripts/real-parts`; without them these tests are skipped out loud, and fail where `CI=true` says that
//! they should be there. They are also what another ZeroMQ library behind `zsock` would have to pass.

#![allow(missing_docs, reason = "a test's name says what it is")]

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use broker::{
    core::Limits,
    exchange::Manner,
    federation::coordinator::Coordinator,
    server::{Config, Server},
    zsock::curve::{Guard, Keys},
};

use tokio_util::sync::CancellationToken;

/// No test waits longer for anything.
const LIMIT: Duration = Duration::from_secs(60);
const ANY_PORT: &str = "tcp://127.0.0.1:0";

/// A broker in this process, with a runtime for the test to talk to it.
struct Broker {
    runtime: tokio::runtime::Runtime,
    server: Server,
}

impl Broker {
    fn start() -> Self {
        Self::start_at(ANY_PORT)
    }

    fn start_at(front: &str) -> Self {
        Self::start_with(front, None)
    }

    fn start_with(front: &str, guard: Option<Guard>) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let config = Config {
            front: vec![front.to_owned()],
            back: vec![ANY_PORT.to_owned()],
            limits: Limits::default(),
            manner: Manner {
                default_service: "up".to_owned(),
                ..Manner::default()
            },
            drain: Duration::from_secs(5),
            logger: None,
            federation: None,
            data_dir: None,
            guard,
            logger_pass: None,
        };
        let server = runtime.block_on(Server::start(config)).expect("it starts");
        Self { runtime, server }
    }

    fn peer(&self, arguments: &[&str]) -> Peer {
        Peer::start(&self.server.front()[0], &self.server.back()[0], arguments)
    }

    /// A peer that says when it is ready.
    fn worker(&self, arguments: &[&str]) -> Peer {
        let mut worker = self.peer(arguments);
        worker.await_line("ready");
        worker
    }

    /// Lets a client do what it does, to its good end.
    fn client(&self, arguments: &[&str]) {
        self.peer(arguments).succeed();
    }

    fn await_requeued(&self) {
        let mut status = self.server.status();
        let requeued = status.wait_for(|status| status.counters.requeued > 0);
        let requeued = self
            .runtime
            .block_on(async { tokio::time::timeout(LIMIT, requeued).await.is_ok() });
        assert!(requeued, "the worker's end was noticed");
    }
}

/// A program of `peers.py`; killed when it is dropped.
struct Peer {
    what: String,
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Peer {
    fn start(front: &str, back: &str, arguments: &[&str]) -> Self {
        let (name, rest) = arguments.split_first().expect("a peer's name");
        Self::start_by(python(), "peers.py", (front, back), name, rest)
    }

    /// The same for a program of `peers.js`.
    fn start_node(front: &str, back: &str, name: &str) -> Self {
        Self::start_by(node(), "peers.js", (front, back), name, &[])
    }

    fn start_by(
        mut program: Command,
        script: &str,
        (front, back): (&str, &str),
        name: &str,
        rest: &[&str],
    ) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
        let mut child = program
            .arg(folder.join(script))
            .args([name, front, back])
            .args(rest)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be started");
        let lines = lines_of(child.stdout.take().expect("it is piped"));
        let what = [&[name], rest].concat().join(" ");
        Self { what, child, lines }
    }

    fn await_line(&mut self, want: &str) {
        let until = Instant::now() + LIMIT;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.starts_with(want) => return,
                Ok(_) => {}
                Err(_) => panic!("{}: did not say {want:?}", self.what),
            }
        }
    }

    fn succeed(mut self) {
        let until = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                assert!(
                    status.success(),
                    "{}: {status}; its reason is above",
                    self.what
                );
                return;
            }
            assert!(Instant::now() < until, "{}: still not done", self.what);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// `kill -9`.
    fn kill(mut self) {
        self.child.kill().expect("it runs");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(output: ChildStdout) -> mpsc::Receiver<String> {
    let (tell, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Python with the modules that `scripts/real-parts` has fetched, or those it has by itself.
fn python() -> Command {
    let unpacked = checkout().join(".real-parts/bin/python3");
    let program = env::var_os("TURNO_PYTHON").map(PathBuf::from);
    let program = program.or_else(|| unpacked.is_file().then_some(unpacked));
    let mut command = Command::new(program.unwrap_or_else(|| "python3".into()));
    command.env("PYTHONPATH", checkout().join(".real-parts/python"));
    command
}

/// Whether the peers are there. A test that gets `false` returns at once; what is missing has been said.
fn peers_are_there() -> bool {
    let probe = python()
        .args(["-c", "import zmq, majortomo"])
        .stdin(Stdio::null())
        .output();
    if probe.is_ok_and(|probe| probe.status.success()) {
        return true;
    }
    let missing =
        "python3 with pyzmq and majortomo is missing; `scripts/real-parts` would fetch them";
    let in_ci = env::var("CI").is_ok_and(|it| !it.is_empty() && it != "false" && it != "0");
    assert!(!in_ci, "{missing}");
    // Past the test runner, which would swallow it.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {missing}");
    false
}

/// Node.js with the module that `scripts/real-parts` has fetched.
fn node() -> Command {
    let program = env::var_os("TURNO_NODE").unwrap_or_else(|| "node".into());
    let mut command = Command::new(program);
    command.env(
        "NODE_PATH",
        checkout().join(".real-parts/node/node_modules"),
    );
    command
}

/// Whether Node's zeromq is there. Not every machine has Node.js, so without it even CI skips these tests, out loud.
fn node_is_there() -> bool {
    let works = |script: &str| {
        let probe = node().args(["-e", script]).stdin(Stdio::null()).output();
        probe.is_ok_and(|probe| probe.status.success())
    };
    if works("require('zeromq')") {
        return true;
    }
    let in_ci = env::var("CI").is_ok_and(|it| !it.is_empty() && it != "false" && it != "0");
    let missing =
        "Node's zeromq is missing; with Node.js and npm, `scripts/real-parts` would fetch it";
    assert!(!(in_ci && works("0")), "{missing}");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {missing}");
    false
}

#[test]
fn clients_and_workers_by_nodes_zeromq() {
    if !node_is_there() {
        return;
    }
    for worker in ["lb_worker", "cbw_worker"] {
        let broker = Broker::start();
        let (front, back) = (&broker.server.front()[0], &broker.server.back()[0]);
        let mut worker = Peer::start_node(front, back, worker);
        worker.await_line("ready");
        for client in ["req", "dealer"] {
            Peer::start_node(front, back, client).succeed();
        }
        let counters = broker.server.status().borrow().counters;
        assert_eq!((counters.requeued, counters.strays), (0, 0));
    }
}

#[test]
fn bare_clients_of_every_kind() {
    if !peers_are_there() {
        return;
    }
    let broker = Broker::start();
    let _worker = broker.worker(&["lb_worker"]);
    for client in ["req", "req_correlate", "dealer", "sizes", "heartbeats"] {
        broker.client(&[client]);
    }
    let counters = broker.server.status().borrow().counters;
    assert_eq!((counters.requeued, counters.strays), (0, 0));
}

#[test]
fn every_mdp_client_with_every_mdp_worker() {
    if !peers_are_there() {
        return;
    }
    for worker in ["mdp1_worker", "majortomo_worker", "lb_worker"] {
        let broker = Broker::start();
        let _worker = broker.worker(&[worker]);
        // Its offer may still be on its way: a client that does not ask first waits for it.
        broker.client(&["req"]);
        for client in ["mdp1_client", "mdp2_client", "majortomo_client"] {
            broker.client(&[client]);
        }
    }
}

#[test]
fn a_client_that_was_there_before_the_broker() {
    if !peers_are_there() {
        return;
    }
    // A port that was free a moment ago: what takes it meanwhile would fail the test, so it is tried again.
    let address = {
        let probe = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        format!("tcp://{}", probe.local_addr().expect("it is bound"))
    };
    let mut client = Peer::start(&address, &address, &["connect_before_bind"]);
    client.await_line("ready");
    let broker = Broker::start_at(&address);
    let _worker = broker.worker(&["lb_worker"]);
    client.succeed();
}

#[test]
fn the_cbw_lab() {
    if !peers_are_there() {
        return;
    }
    let broker = Broker::start();
    let clients: Vec<_> = ["one", "two"]
        .map(|name| broker.peer(&["cbw_client", name, "10"]))
        .into_iter()
        .collect();
    let _workers = [
        broker.worker(&["cbw_worker", "w1", "plain", "5"]),
        broker.worker(&["cbw_worker", "w2", "divided", "5"]),
        broker.worker(&["cbw_worker", "w3", "plain", "5"]),
        broker.worker(&["cbw_worker", "w4", "divided", "5"]),
    ];
    for client in clients {
        client.succeed();
    }
}

#[test]
fn a_worker_killed_with_a_request_in_hand() {
    if !peers_are_there() {
        return;
    }
    let broker = Broker::start();
    let client = broker.peer(&["cbw_client", "c", "1"]);
    let mut first = broker.worker(&["cbw_worker", "w1", "plain", "60000"]);
    first.await_line("got c-1");
    let mut second = broker.worker(&["cbw_worker", "w2", "plain", "50"]);
    let killed = Instant::now();
    first.kill();
    second.await_line("got c-1");
    let redelivered = killed.elapsed();
    client.succeed();
    broker.await_requeued();
    // Promised are 50 ms; a busy machine may make us wait to see it, so what is asserted is that no timer was needed: the
    // first that could have noticed is the connection's own ping.
    eprintln!("redelivered {redelivered:?} after kill -9");
    assert!(redelivered < Duration::from_secs(6), "{redelivered:?}");
}

#[test]
fn curve_keys_of_libzmq() {
    if !peers_are_there() {
        return;
    }
    let (ours, theirs) = (Keys::generate(), Keys::generate());
    let allowed = theirs.public();
    let server = ours.public().to_string();
    let guard = Guard::new(ours, move |key| key == allowed);
    let broker = Broker::start_with(ANY_PORT, Some(guard));
    let (public, secret) = (theirs.public().to_string(), theirs.expose_secret());
    broker.client(&["curve", &server, &public, &secret]);
}

#[test]
fn news_by_libzmq_through_a_coordinator_with_curve_keys() {
    if !peers_are_there() {
        return;
    }
    let (ours, theirs) = (Keys::generate(), Keys::generate());
    let allowed = theirs.public();
    let server = ours.public().to_string();
    let guard = Guard::new(ours, move |key| key == allowed);
    let (public, secret) = (theirs.public().to_string(), theirs.expose_secret());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let coordinator = Coordinator::bind(ANY_PORT, ANY_PORT, Some(&guard)).await;
        let coordinator = coordinator.expect("free ports");
        let keys = ["news", &server, &public, &secret];
        let peer = Peer::start(coordinator.inward(), coordinator.outward(), &keys);
        let stop = CancellationToken::new();
        let told = async {
            let told = tokio::task::spawn_blocking(|| peer.succeed());
            told.await
                .expect("it was told what was said, and nobody else");
            stop.cancel();
        };
        let (ended, ()) = tokio::join!(coordinator.run(stop.clone()), told);
        ended.expect("a clean end");
    });
}
