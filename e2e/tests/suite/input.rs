//! What a person gets who makes a mistake: one clear line that says what and where, and an exit status.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use e2e::load::Origin;
use e2e::ports;
use e2e::process::Ended;
use e2e::turno::{self, Balancer, Setup};

/// Understood, and failed.
const FAILED: i32 = 1;

/// Not understood.
const USAGE: i32 = 2;

#[test]
fn a_wrong_flag() {
    assert_complains(
        &turno::run(&["lb", "--lisen", "127.0.0.1:1"]),
        USAGE,
        &["--lisen"],
    );
    assert_complains(
        &turno::run(&["no-such-command"]),
        USAGE,
        &["no-such-command"],
    );
    assert_complains(
        &turno::run(&["lb", "--listen", "8080"]),
        USAGE,
        &["--listen", "8080"],
    );
}

#[test]
fn an_unknown_key_in_the_configuration() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let config = folder.path().join("lb.toml");
    let text = "listen = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\nservice = \"web\"\nweigth = 3\n";
    std::fs::write(&config, text).expect("the folder was just made");
    let path = config.to_str().expect("a plain name");

    let ended = turno::run(&["lb", "--config", path]);

    assert_complains(&ended, FAILED, &["lb.toml", "line 5", "weigth"]);
}

#[test]
fn a_configuration_that_is_not_there() {
    assert_complains(
        &turno::run(&["lb", "--config", "/no/such/lb.toml"]),
        FAILED,
        &["/no/such/lb.toml"],
    );
}

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    assert_complains(
        &turno::run(&["registry", "--listen", &address]),
        FAILED,
        &[&address, "in use"],
    );
    assert_complains(
        &turno::run(&["microservice", "hello", "--listen", &address]),
        FAILED,
        &[&address, "in use"],
    );

    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let config = folder.path().join("lb.toml");
    let text = format!(
        "listen = \"{address}\"\nadmin = \"{}\"\n[[route]]\npath = \"/\"\nservice = \"web\"\n\
         [[fixed]]\nservice = \"web\"\nendpoints = [\"127.0.0.1:1\"]\n",
        ports::free_address()
    );
    std::fs::write(&config, text).expect("the folder was just made");
    let path = config.to_str().expect("a plain name");
    assert_complains(
        &turno::run(&["lb", "--config", path]),
        FAILED,
        &[&address, "in use"],
    );
}

#[test]
fn an_unreachable_registry() {
    let nobody = ports::free_address();
    let url = format!("http://{nobody}");
    assert_complains(
        &turno::run(&["services", "--consul", &url]),
        FAILED,
        &[&nobody.to_string()],
    );
    assert_complains(
        &turno::run(&["explain", "web", "--consul", &url]),
        FAILED,
        &[&nobody.to_string()],
    );
}

#[test]
fn a_client_that_does_not_speak_http() {
    let origin = Origin::start("a", Duration::ZERO);
    let tables = format!(
        "[[route]]\npath = \"/\"\nservice = \"web\"\n[[fixed]]\nservice = \"web\"\nendpoints = [\"{}\"]\n",
        origin.address
    );
    let mut balancer = Balancer::with(&Setup {
        registry: None,
        settings: "",
        tables: &tables,
    });
    balancer.await_rotation(1);
    let before = origin.requests();
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let answer = say_to(balancer.address, nonsense);
        let line = answer.lines().next().unwrap_or_default();
        assert!(
            line.starts_with("HTTP/1.1 4") || line.starts_with("HTTP/1.1 505"),
            "{:?} got {answer:?}",
            String::from_utf8_lossy(nonsense)
        );
    }
    assert_eq!(
        origin.requests(),
        before,
        "nonsense must not reach an origin"
    );
    balancer.process.assert_running();
    assert!(
        !balancer.process.output().contains("panicked"),
        "{}",
        balancer.process.output()
    );
}

/// Sends `bytes` and reads until the other side closes.
fn say_to(server: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server).expect("the balancer listens");
    stream
        .set_read_timeout(Some(e2e::wait::SOON))
        .expect("a timeout above zero is fine");
    stream.write_all(bytes).expect("the balancer reads");
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .expect("the balancer answers and closes");
    String::from_utf8_lossy(&answer).into_owned()
}

/// One line on stderr that says everything in `words`, and nothing that only its author could read.
fn assert_complains(ended: &Ended, code: i32, words: &[&str]) {
    let line = ended.stderr.trim_end();
    assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{ended:?}");
    assert_eq!(
        line.lines().count(),
        1,
        "more or less than one line:\n{line}"
    );
    for word in words {
        assert!(line.contains(word), "no {word:?} in: {line}");
    }
    for word in ["panicked", "backtrace", "Os {", "Custom {"] {
        assert!(!line.contains(word), "{word:?} in: {line}");
    }
}
