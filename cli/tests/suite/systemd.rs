//! What the program tells systemd, and the socket it takes over. The manager is this test: a datagram socket and, for the
//! inherited socket, one that children get.

use std::{
    io::Write,
    net::TcpListener,
    os::{fd::AsRawFd, unix::net::UnixDatagram},
};

use rustix::process::Signal;

use crate::harness::{PATIENCE, Turno, command, get, until};

/// The end at which a service manager listens.
struct Manager {
    socket: UnixDatagram,
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
        Self {
            socket,
            _folder: folder,
            path,
        }
    }

    fn start(&self, line: &str) -> Turno {
        let mut command = command(line);
        command.env("NOTIFY_SOCKET", &self.path);
        command.env("WATCHDOG_USEC", "2000000");
        Turno::spawn(command)
    }

    /// The next message that does not only say that it lives.
    fn told(&self) -> String {
        loop {
            let message = self.any();
            if message != "WATCHDOG=1" {
                return message;
            }
        }
    }

    fn any(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("a message in time");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }
}

#[test]
fn a_registry_tells_that_it_serves_lives_and_stops() {
    let manager = Manager::new();
    let mut registry = manager.start("registry --listen 127.0.0.1:0");
    assert_eq!(manager.told(), "READY=1");
    assert_eq!(manager.any(), "WATCHDOG=1");
    assert_eq!(manager.any(), "WATCHDOG=1");
    registry.signal(Signal::TERM);
    assert_eq!(manager.told(), "STOPPING=1");
    assert_eq!(registry.ended().code(), Some(0), "{}", registry.stderr());
}

#[test]
fn a_message_broker_and_a_logger_tell_that_they_serve_live_and_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = folder.path().join("lines");
    let logger = format!(
        "mq logger --no-register --bind tcp://127.0.0.1:0 --file {}",
        lines.display()
    );
    let ports = "--bind tcp://127.0.0.1:0 --worker-bind tcp://127.0.0.1:0";
    for line in [logger, format!("mq broker --no-register {ports}")] {
        let manager = Manager::new();
        let mut part = manager.start(&line);
        assert_eq!(manager.told(), "READY=1", "{line}");
        assert_eq!(manager.any(), "WATCHDOG=1", "{line}");
        assert_eq!(manager.any(), "WATCHDOG=1", "{line}");
        part.signal(Signal::TERM);
        assert_eq!(manager.told(), "STOPPING=1", "{line}");
        assert_eq!(part.ended().code(), Some(0), "{}", part.stderr());
    }
}

#[test]
fn a_balancer_tells_how_a_reload_went() {
    let manager = Manager::new();
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let good = "listen = '127.0.0.1:0'\n[[route]]\npath = '/'\nservice = 'web'\n\
                [[fixed]]\nservice = 'web'\nendpoints = ['127.0.0.1:1']\n";
    file.write_all(good.as_bytes()).expect("written");
    let lb = manager.start(&format!("lb --config {}", file.path().display()));
    assert_eq!(manager.told(), "READY=1");
    assert_eq!(manager.any(), "WATCHDOG=1", "its workers turn");

    lb.signal(Signal::HUP);
    assert!(manager.told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(manager.told(), "STATUS=routes from the file: 1");
    assert_eq!(manager.told(), "READY=1");

    // It is told of the mistake once for the change and once for the signal, in either order.
    file.write_all(b"nonsense = 1\n").expect("written");
    lb.signal(Signal::HUP);
    until("the mistake", || {
        let message = manager.told();
        message
            .starts_with("STATUS=the file has a mistake: ")
            .then_some(())
    });
}

#[test]
fn a_balancer_takes_over_a_socket_and_leaves_it_to_the_next() {
    let mut hello = Turno::start("microservice hello --instance a");
    let upstream = hello.address("listening");
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    write!(
        file,
        "workers = 3\n[[route]]\npath = '/'\nservice = 'web'\n\
         [[fixed]]\nservice = 'web'\nendpoints = ['{upstream}']\n"
    )
    .expect("written");
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("it listens");
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty()).expect("children get it");
    let start = || {
        let mut line = command(&format!("lb --config {}", file.path().display()));
        line.env("LISTEN_FDS", "1");
        line.env("LISTEN_FDS_FIRST_FD", socket.as_raw_fd().to_string());
        let mut lb = Turno::spawn(line);
        lb.line("ready", |line| (line == "turno: ready").then_some(()));
        lb
    };
    let mut first = start();
    assert_eq!(first.address("balancer listening on"), address);
    for _ in 0..20 {
        assert_eq!(get(address, "/").expect("an answer").0, 200);
    }
    assert_eq!(first.stop().code(), Some(0), "{}", first.stderr());
    // Nobody accepts now: whoever connects waits.
    let waiting = std::thread::spawn(move || get(address, "/"));
    let _next = start();
    let (status, _) = waiting.join().expect("no panic").expect("an answer");
    assert_eq!(status, 200);
}

#[test]
fn a_socket_that_is_none_is_refused() {
    let mut line = command("lb --route /=web");
    line.env("LISTEN_FDS", "1").env("LISTEN_FDS_FIRST_FD", "0");
    let mut lb = Turno::spawn(line);
    assert_eq!(lb.ended().code(), Some(1));
    assert!(
        lb.stderr().contains("(LISTEN_FDS) cannot be used"),
        "{}",
        lb.stderr()
    );
}
