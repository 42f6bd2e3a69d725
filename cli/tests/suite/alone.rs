//! The commands that need no other part of turno: `microservice hello`, `registry`, `lb`.

use std::net::TcpListener;

use rustix::process::Signal;

use crate::harness::{Http, Registry, Turno, command, ends, get, json, until};

#[test]
fn hello_says_where_it_listens_and_stops_cleanly() {
    let mut hello = Turno::start("microservice hello --name web --instance web-a --message hi");
    let address = hello.address("web-a listening on http://127.0.0.1:");
    let (status, body) = get(address, "/").expect("it answers");
    assert_eq!(status, 200);
    assert!(body.contains("web-a") && body.contains("hi"), "{body}");
    assert_eq!(get(address, "/health").expect("it answers").0, 200);
    assert_eq!(hello.stop().code(), Some(0), "{}", hello.stderr());
    assert!(get(address, "/").is_err(), "still there");
}

#[test]
fn hello_takes_its_port_from_the_environment() {
    let first = Turno::start("microservice hello").address("listening");
    let mut line = command("microservice hello");
    line.env("PORT", first.port().to_string());
    let mut hello = Turno::spawn(line);
    assert_eq!(hello.address("listening").port(), first.port());

    let mut line = command("microservice hello");
    line.env("PORT", "http");
    let mut wrong = Turno::spawn(line);
    assert_eq!(wrong.ended().code(), Some(2));
    assert!(
        wrong.stderr().starts_with("turno: PORT=http"),
        "{}",
        wrong.stderr()
    );
}

#[test]
fn hello_registers_itself_and_leaves() {
    let registry = Registry::start();
    let line = format!(
        "microservice hello --register --instance hello-x --consul {}",
        registry.url()
    );
    let mut hello = Turno::start(&line);
    until("hello to pass its check", || {
        (registry.passing("hello") == ["hello-x"]).then_some(())
    });
    assert_eq!(hello.stop().code(), Some(0), "{}", hello.stderr());
    assert_eq!(registry.instances(), serde_json::json!({}));
}

#[test]
fn a_second_signal_stops_at_once() {
    let mut hello = Turno::start("microservice hello");
    let address = hello.address("listening");
    let mut busy = Http::open(address).expect("it listens");
    // A request in flight keeps a clean stop waiting.
    let asked = std::thread::spawn(move || busy.get("/sleep/30000").is_err());
    until("the request to be in flight", || {
        let (_, metrics) = get(address, "/metrics").ok()?;
        metrics
            .lines()
            .any(|l| l.contains("in_flight") && l.ends_with(" 2"))
            .then_some(())
    });
    hello.signal(Signal::INT);
    until("the first signal to be taken", || {
        hello.stderr().contains("second signal").then_some(())
    });
    hello.signal(Signal::INT);
    assert_eq!(hello.ended().code(), Some(130));
    assert!(asked.join().expect("no panic"), "it was answered");
}

#[test]
fn the_registry_answers_dns() {
    let mut registry = Turno::start("registry --listen 127.0.0.1:0 --dns-listen 127.0.0.1:0");
    let dns: std::net::SocketAddr = registry.line("where DNS is", |line| {
        line.strip_prefix("dns listening on ")?.parse().ok()
    });
    // consul.service.consul, type A, class IN, asked with recursion.
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["consul", "service", "consul"] {
        packet.push(label.len() as u8);
        packet.extend_from_slice(label.as_bytes());
    }
    packet.extend_from_slice(&[0, 0, 1, 0, 1]);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let limit = std::time::Duration::from_secs(20);
    socket
        .set_read_timeout(Some(limit))
        .expect("a timeout can be set");
    socket.send_to(&packet, dns).expect("it is sent");
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).expect("an answer");
    // The question again, one answer, and the registry's own address at the end.
    assert_eq!(answer[..2], packet[..2]);
    assert_eq!(answer[3] & 0xf, 0, "no error");
    assert_eq!(answer[7], 1, "one answer");
    assert_eq!(answer[length - 4..length], [127, 0, 0, 1]);
    assert_eq!(registry.stop().code(), Some(0), "{}", registry.stderr());
}

#[test]
fn the_registry_runs_scripts_only_if_told_to() {
    let body = r#"{"Name":"s","Check":{"Args":["true"],"Interval":"1s"}}"#;
    let register = |flags: &str| {
        let mut registry = Turno::start(&format!("registry --listen 127.0.0.1:0 {flags}"));
        let address = registry.address("registry listening");
        let mut http = Http::open(address).expect("it listens");
        // The body follows the head; what comes after it is no part of the request.
        let rest = format!("content-length: {}\r\n\r\n{body}", body.len());
        let put = "PUT /v1/agent/service/register";
        let (status, _) = http.ask(put, &rest).expect("it answers");
        let passes = || {
            let (_, checks) = get(address, "/v1/health/checks/s").ok()?;
            checks.contains("passing").then_some(())
        };
        if status == 200 {
            until("the script to pass", passes);
        }
        status
    };
    assert_eq!(register(""), 500);
    assert_eq!(register("--enable-local-script-checks"), 500);
    assert_eq!(register("--enable-script-checks"), 200);
}

#[test]
fn the_registry_speaks_consul() {
    let mut registry = Registry::start();
    registry
        .turno
        .line("ready", |line| (line == "turno: ready").then_some(()));
    let me = json(registry.address, "/v1/agent/self");
    assert_eq!(me["Config"]["Datacenter"], "dc1");
    assert_eq!(registry.turno.stop().code(), Some(0));

    let mut other = Turno::start("registry --listen 127.0.0.1:0 --node vm-1 --datacenter dc2");
    let address = other.address("registry listening on");
    let me = json(address, "/v1/agent/self");
    assert_eq!(
        (&me["Config"]["NodeName"], &me["Config"]["Datacenter"]),
        (&"vm-1".into(), &"dc2".into())
    );
}

#[test]
fn a_registry_beyond_loopback_says_that_it_is_open() {
    let mut open = Turno::start("registry --listen 0.0.0.0:0 --open-to-network");
    open.address("registry listening on");
    until("the warning", || {
        open.stderr().contains("NO access control").then_some(())
    });
}

#[test]
fn lb_waits_for_the_registry_and_says_so() {
    let registry = Registry::start();
    let (address, line) = (registry.address, format!("--listen {}", registry.address));
    drop(registry);
    let mut lb = Turno::start(&format!(
        "lb --listen 127.0.0.1:0 --admin 127.0.0.1:0 --route /=hello --consul http://{address}"
    ));
    until("the log to name the registry", || {
        lb.stderr().contains(&address.to_string()).then_some(())
    });
    assert_eq!(lb.stdout(), "", "it listens before it knows anything");

    let mut registry = Turno::start(&format!("registry {line}"));
    registry.address("registry listening on");
    let mut hello = Turno::start(&format!(
        "microservice hello --register --consul http://{address}"
    ));
    hello.address("listening");
    lb.line("ready", |line| (line == "turno: ready").then_some(()));
    let balancer = lb.address("balancer listening on");
    let admin = lb.address("admin listening on");
    until("the first answer", || {
        (get(balancer, "/").ok()?.0 == 200).then_some(())
    });
    assert_eq!(get(admin, "/health").expect("it answers").0, 200);
    assert_eq!(get(admin, "/nonsense").expect("it answers").0, 404);
    assert_eq!(lb.stop().code(), Some(0), "{}", lb.stderr());
}

#[test]
fn a_waiting_lb_can_be_stopped() {
    let mut lb = Turno::start("lb --listen 127.0.0.1:0 --route /=web --consul http://127.0.0.1:1");
    until("it to wait", || {
        lb.stderr().contains("127.0.0.1:1").then_some(())
    });
    assert_eq!(lb.stop().code(), Some(0), "{}", lb.stderr());
}

#[test]
fn the_admin_listener_wants_its_token() {
    let registry = Registry::start();
    let mut line = command("lb --listen 127.0.0.1:0 --admin 0.0.0.0:0 --route /=web");
    line.args(["--consul", &registry.url()])
        .env("TURNO_ADMIN_TOKEN", "s3cret");
    let mut lb = Turno::spawn(line);
    let port = lb.address("admin listening on").port();
    let mut admin = Http::open(([127, 0, 0, 1], port).into()).expect("it listens");
    for (field, want) in [
        ("", 401),
        ("authorization: Bearer wrong\r\n", 401),
        ("authorization: Bearer s3cret\r\n", 200),
    ] {
        assert_eq!(
            admin.ask("GET /health", field).expect("it answers").0,
            want,
            "{field}"
        );
    }
}

#[test]
fn the_balancer_takes_routes_from_a_changed_file_and_keeps_them_from_a_broken_one() {
    let registry = Registry::start();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lb.toml");
    let routes = |path: &str| {
        let text = "listen = \"127.0.0.1:0\"\n[[route]]\nservice = \"web\"\npath = ";
        std::fs::write(&file, format!("{text}{path}\n")).expect("it is written");
    };
    routes("\"/one\"");
    let line = format!("lb --config {} --consul {}", file.display(), registry.url());
    let mut lb = Turno::start(&line);
    let address = lb.address("balancer listening on");
    let status = |path: &str| get(address, path).expect("it answers").0;
    assert_eq!((status("/one"), status("/two")), (503, 404));

    routes("\"/two\"");
    until("the new route", || (status("/two") == 503).then_some(()));
    assert_eq!(status("/one"), 404);

    routes("two");
    until("the broken file to be named", || {
        let place = format!("{}: line 4", file.display());
        lb.stderr().contains(&place).then_some(())
    });
    assert_eq!(status("/two"), 503);

    lb.signal(Signal::HUP);
    until("the signal to be taken", || {
        (lb.stderr()
            .matches(&format!("{}: line 4", file.display()))
            .count()
            == 2)
            .then_some(())
    });
    assert_eq!(lb.stop().code(), Some(0), "{}", lb.stderr());
}

#[test]
fn a_log_that_nobody_reads_does_not_stop_the_program_from_stopping() {
    let mut line = command("microservice hello");
    line.env("RUST_LOG", "trace");
    line.stdout(std::process::Stdio::piped());
    line.stderr(std::process::Stdio::piped());
    let mut hello = line.spawn().expect("the program is built");
    // From here on every log line fails with a broken pipe.
    drop(hello.stderr.take());
    let mut first = String::new();
    let mut stdout = std::io::BufReader::new(hello.stdout.take().expect("it is piped"));
    std::io::BufRead::read_line(&mut stdout, &mut first).expect("it says where it listens");
    let address = first
        .trim()
        .rsplit("http://")
        .next()
        .and_then(|a| a.parse().ok());
    assert_eq!(get(address.expect(&first), "/").expect("it answers").0, 200);
    rustix::process::kill_process(rustix::process::Pid::from_child(&hello), Signal::TERM)
        .expect("it runs");
    let ended = until("it to end", || {
        hello.try_wait().expect("it can be waited for")
    });
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn health_greets_a_zeromq_peer_and_asks_an_http_server() {
    let ports = "--bind tcp://127.0.0.1:0 --no-worker-bind";
    let mut broker = Turno::start(&format!("mq broker --no-register {ports}"));
    let zmtp = broker.line("where it listens", |line| {
        let (_, after) = line.split_once("listening on tcp://")?;
        after.split_whitespace().next().map(str::to_owned)
    });
    let mut service = Turno::start("microservice hello");
    let hello = service.address("listening");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let closed = silent.local_addr().expect("it listens");
    drop(silent);
    for (url, code) in [
        (format!("zmtp://{zmtp}"), 0),
        (format!("zmtp://{hello}"), 1),
        (format!("zmtp://{closed}"), 1),
        (format!("http://{hello}/health"), 0),
        (format!("http://{hello}/status/503"), 1),
        ("zmtp://host".to_owned(), 2),
        ("ftp://host:1/".to_owned(), 2),
    ] {
        let asked = ends(&format!("health {url}"));
        assert_eq!(asked.code, Some(code), "{url}: {}", asked.stderr);
    }
}
