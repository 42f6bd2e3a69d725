//! The same questions to a real Consul, where there is one: the table is still true, and ours agrees.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Transport;
use super::fixture::{Fixture, requests};
use super::measured::{ours, table};
use super::show::Question;
use crate::ports;

/// How long the agent may take to be ready.
const START: Duration = Duration::from_secs(60);
/// How often it is started before something else must be wrong than a port that is taken.
const STARTS: usize = 3;
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Where Consul is: named by `TURNO_CONSUL`, unpacked by `scripts/real-parts`, or on the PATH.
fn consul() -> Option<PathBuf> {
    let named = std::env::var_os("TURNO_CONSUL").map(PathBuf::from);
    let unpacked = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../.real-parts/bin/consul"
    ));
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&paths).map(|folder| folder.join("consul"));
    named
        .into_iter()
        .chain([unpacked])
        .chain(on_path)
        .find(|path| path.is_file())
}

/// A real agent in memory, ended when dropped.
struct Agent {
    child: Child,
    http: SocketAddr,
    dns: SocketAddr,
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Fails only if it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Agent {
    fn start(program: &PathBuf) -> Agent {
        for _ in 0..STARTS {
            let mut agent = Agent::spawn(program);
            if agent.is_up() {
                return agent;
            }
        }
        panic!("Consul ended at its start, {STARTS} times");
    }

    fn spawn(program: &PathBuf) -> Agent {
        let ports: [u16; 5] = ports::free();
        let flags = [
            "-http-port",
            "-dns-port",
            "-serf-lan-port",
            "-serf-wan-port",
            "-server-port",
        ];
        let mut command = Command::new(program);
        command
            .args("agent -dev -node n1 -bind 127.0.0.1 -client 127.0.0.1 -grpc-port -1".split(' '));
        for (flag, port) in flags.iter().zip(&ports) {
            command.args([flag.to_string(), port.to_string()]);
        }
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Consul starts");
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        Agent {
            child,
            http: at(ports[0]),
            dns: at(ports[1]),
        }
    }

    /// Waits until it can be asked. `false`: it has ended, as it does when somebody took one of its ports meanwhile.
    fn is_up(&mut self) -> bool {
        let started = Instant::now();
        loop {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            if self.is_ready() {
                return true;
            }
            assert!(started.elapsed() < START, "Consul is not ready");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Has a leader, and has brought its own node into the catalog.
    fn is_ready(&self) -> bool {
        let question = Question::read("n1.node.consul TXT");
        TcpStream::connect(self.http).is_ok()
            && self
                .call("GET", "/v1/health/node/n1", "")
                .contains("serfHealth")
            && self
                .ask(&question)
                .is_some_and(|answer| answer.contains("network-segment"))
    }

    fn call(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.http).expect("Consul listens");
        stream
            .set_read_timeout(Some(ANSWER))
            .expect("a timeout can be set");
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("Consul listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("Consul answers");
        answer
    }

    fn ask(&self, question: &Question) -> Option<String> {
        let packet = question.packet();
        let answer = match question.transport {
            Transport::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0").ok()?;
                socket.set_read_timeout(Some(ANSWER)).ok()?;
                socket.send_to(&packet, self.dns).ok()?;
                let mut answer = vec![0; 65_536];
                let length = socket.recv(&mut answer).ok()?;
                answer.truncate(length);
                answer
            }
            Transport::Tcp => {
                let mut stream = TcpStream::connect(self.dns).ok()?;
                stream.set_read_timeout(Some(ANSWER)).ok()?;
                let length = u16::try_from(packet.len()).ok()?;
                stream.write_all(&length.to_be_bytes()).ok()?;
                stream.write_all(&packet).ok()?;
                let mut length = [0; 2];
                stream.read_exact(&mut length).ok()?;
                let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut answer).ok()?;
                answer
            }
        };
        Some(question.show(&answer))
    }
}

#[test]
fn a_real_consul_answers_the_same() {
    let Some(program) = consul() else {
        assert!(
            std::env::var_os("CI").is_none(),
            "Consul is missing; scripts/real-parts brings it"
        );
        eprintln!("skipped: no consul here; scripts/real-parts brings it");
        return;
    };
    let agent = Agent::start(&program);
    for (method, path, body) in requests() {
        let answer = agent.call(method, path, &body.to_string());
        assert!(answer.contains(" 200 OK\r\n"), "{body}: {answer}");
    }
    let fixture = Fixture::new();
    let (mut differences, mut written) = (String::new(), String::new());
    for (question, expected) in table() {
        let real = agent.ask(&question).expect("Consul answers");
        let found = ours(&fixture, &question);
        let line = &question.line;
        if real != expected || real != found {
            differences.push_str(&format!(
                "{line}\nreal: {real}ours: {found}table: {expected}\n"
            ));
        }
        let indented: String = real.lines().map(|line| format!("  {line}\n")).collect();
        written.push_str(&format!("{line}\n{indented}"));
    }
    // For whoever adds a question: writes the table anew.
    if let Some(file) = std::env::var_os("TURNO_DNS_TABLE") {
        std::fs::write(file, written).expect("the table can be written");
    }
    assert!(differences.is_empty(), "{differences}");
}
