//! Starts the program, reads its lines, asks over HTTP, and waits for conditions with a limit.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

/// Beyond this a test has failed rather than been slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The program, with nothing of our environment that would steer it.
pub(crate) fn command(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turno"));
    command.args(line.split_whitespace()).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CONSUL_")
            || name.starts_with("TURNO_")
            || name == "RUST_LOG"
            || name == "PORT"
        {
            command.env_remove(name.as_ref());
        }
    }
    command
}

/// Runs a command that ends by itself.
pub(crate) fn ends(line: &str) -> Ended {
    let mut child = Turno::spawn(command(line));
    let status = child.ended();
    Ended {
        code: status.code(),
        stdout: child.stdout(),
        stderr: child.stderr(),
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("it writes text");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// A running program. It is killed when the test ends, however that ends.
#[derive(Debug)]
pub(crate) struct Turno {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Turno {
    /// Starts `turno` with these arguments.
    pub(crate) fn start(line: &str) -> Self {
        Self::spawn(command(line))
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program is built");
        let stdout = Lines::read(child.stdout.take().expect("it is piped"));
        let stderr = Lines::read(child.stderr.take().expect("it is piped"));
        Self {
            child,
            stdout,
            stderr,
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What it has printed so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits for a line on standard output for which `found` has an answer.
    pub(crate) fn line<T>(&mut self, what: &str, found: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = self.child.try_wait().expect("it can be waited for");
            if let Some(answer) = self.stdout().lines().find_map(&found) {
                return answer;
            }
            let gone = ended.map_or_else(String::new, |status| format!("; it ended: {status}"));
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "no line with {what}{gone}\nstdout:\n{}\nstderr:\n{}",
                self.stdout(),
                self.stderr()
            );
            thread::sleep(LOOK_EVERY);
        }
    }

    /// The address at the end of the line that contains `text`.
    pub(crate) fn address(&mut self, text: &str) -> SocketAddr {
        self.line(text, |line| {
            if !line.contains(text) {
                return None;
            }
            line.split_whitespace()
                .find_map(|word| word.strip_prefix("http://")?.parse().ok())
        })
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("it runs");
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let status = until("the program to end", || {
            self.child.try_wait().expect("it can be waited for")
        });
        self.stdout.finish();
        self.stderr.finish();
        status
    }

    /// Asks it to stop, and waits.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended()
    }
}

impl Drop for Turno {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a pipe has said so far.
#[derive(Debug)]
struct Lines {
    text: Arc<Mutex<String>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Lines {
    fn read(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let shared = Arc::clone(&text);
        let reader = thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let mut text = shared.lock().expect("no reader panics");
                text.push_str(&line);
                text.push('\n');
            }
        });
        Self {
            text,
            reader: Some(reader),
        }
    }

    fn text(&self) -> String {
        self.text.lock().expect("no reader panics").clone()
    }

    /// Waits for the end of the pipe, within the limit: a child that outlived its parent holds it.
    fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            until("the end of its output", || {
                reader.is_finished().then_some(())
            });
        }
    }
}

/// Waits until `condition` has an answer.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = condition() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        thread::sleep(LOOK_EVERY);
    }
}

/// One kept-open connection.
#[derive(Debug)]
pub(crate) struct Http {
    stream: BufReader<TcpStream>,
}

impl Http {
    pub(crate) fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a request without a body; returns status and body.
    pub(crate) fn ask(&mut self, request: &str, field: &str) -> std::io::Result<(u16, String)> {
        self.say(&format!("{request} HTTP/1.1\r\nhost: test\r\n{field}\r\n"))
    }

    pub(crate) fn put(&mut self, path: &str, body: &str) -> std::io::Result<(u16, String)> {
        let length = body.len();
        self.say(&format!(
            "PUT {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }

    /// Sends a whole request, and reads the answer to it.
    fn say(&mut self, request: &str) -> std::io::Result<(u16, String)> {
        self.stream.get_mut().write_all(request.as_bytes())?;
        let broken = || std::io::Error::other("not an HTTP answer");
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .ok_or_else(broken)?;
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(|_| broken())?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, String::from_utf8(body).map_err(|_| broken())?))
    }

    pub(crate) fn get(&mut self, path: &str) -> std::io::Result<(u16, String)> {
        self.ask(&format!("GET {path}"), "")
    }
}

/// One request over a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    Http::open(address)?.get(path)
}

/// The same, as JSON.
pub(crate) fn json(address: SocketAddr, path: &str) -> serde_json::Value {
    let (status, body) = get(address, path).expect("it answers");
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).expect("it is JSON")
}

/// An embedded registry.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) turno: Turno,
    pub(crate) address: SocketAddr,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let mut turno = Turno::start("registry --listen 127.0.0.1:0");
        let address = turno.address("registry listening on");
        Self { turno, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The ids of the instances of `service` whose checks pass.
    pub(crate) fn passing(&self, service: &str) -> Vec<String> {
        let entries = json(
            self.address,
            &format!("/v1/health/service/{service}?passing"),
        );
        let id = |entry: &serde_json::Value| entry["Service"]["ID"].as_str().map(str::to_owned);
        entries
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(id)
            .collect()
    }

    /// All instances, passing or not.
    pub(crate) fn instances(&self) -> serde_json::Value {
        json(self.address, "/v1/agent/services")
    }
}
