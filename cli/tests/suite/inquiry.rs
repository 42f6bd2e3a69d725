//! `turno services` and `turno explain`: what a person asks when something gets no traffic.

use crate::harness::{Http, Registry, Turno, ends, until};

fn put(registry: &Registry, path: &str) {
    let mut http = Http::open(registry.address).expect("it listens");
    let (status, body) = http
        .ask(&format!("PUT {path}"), "content-length: 0\r\n")
        .expect("it answers");
    assert_eq!(status, 200, "{path}: {body}");
}

#[test]
fn each_instance_is_explained() {
    let registry = Registry::start();
    let url = registry.url();
    let start = |id: &str| {
        let mut hello = Turno::start(&format!(
            "microservice hello --register --instance {id} --consul {url}"
        ));
        hello.address("listening");
        hello
    };
    let _running = (start("hello-a"), start("hello-b"));
    until("both to pass", || {
        (registry.passing("hello").len() == 2).then_some(())
    });
    put(
        &registry,
        "/v1/agent/service/maintenance/hello-b?enable=true&reason=new%20disk",
    );

    let explained = ends(&format!("explain hello --consul {url}"));
    assert_eq!(explained.code, Some(0), "{}", explained.stderr);
    let row = |id: &str| {
        explained
            .stdout
            .lines()
            .find(|line| line.starts_with(id))
            .expect("a row")
            .to_owned()
    };
    assert!(
        row("hello-a").contains(" in ") && row("hello-a").contains("passing"),
        "{}",
        explained.stdout
    );
    assert!(
        row("hello-b").contains(" out ") && row("hello-b").contains("new disk"),
        "{}",
        explained.stdout
    );

    let json = ends(&format!("explain hello --json --consul {url}")).stdout;
    let rows: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(
        (&rows[0]["in_rotation"], &rows[1]["in_rotation"]),
        (&true.into(), &false.into()),
        "{json}"
    );

    let services = ends(&format!("services --consul {url}"));
    let hello = services
        .stdout
        .lines()
        .find(|line| line.starts_with("hello"))
        .expect("a row");
    assert!(hello.contains("1/2"), "{}", services.stdout);
    let json = ends(&format!("services --json --consul {url}")).stdout;
    let rows: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    let hello = rows
        .as_array()
        .and_then(|rows| rows.iter().find(|row| row["service"] == "hello"));
    assert_eq!(hello.expect("a row")["instances"], 2, "{json}");
}

#[test]
fn a_service_that_nobody_registered_is_a_failure() {
    let registry = Registry::start();
    let ended = ends(&format!("explain web --consul {}", registry.url()));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(
        ended.stderr.contains("no instance of \"web\""),
        "{}",
        ended.stderr
    );
}
