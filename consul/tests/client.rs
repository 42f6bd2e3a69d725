//! The client against a server that answers as scripted: what is sent, and what is made of the answers.

mod support;

use std::time::Duration;

use consul::types::{CheckDefinition, ServiceRegistration, Status, Weights};
use consul::{Client, Config, Error, Query};
use support::{Script, Step, answer, indexed, status};

async fn client(script: &Script) -> Client {
    Client::new(Config::new(format!("http://{}", script.listen().await))).expect("a client")
}

#[tokio::test]
async fn what_a_registration_sends() {
    let script = Script::new([status("200 OK", ""), status("200 OK", "")]);
    let config = Config::new(format!("http://{}", script.listen().await)).with_token("s3cret");
    let client = Client::new(config).expect("a client");
    let mut service = ServiceRegistration::new("web", "127.0.0.1", 8080);
    service.id = "web-1".to_owned();
    service.weights = Some(Weights {
        passing: 3,
        warning: 1,
    });
    service.checks = vec![CheckDefinition::http(
        "http://127.0.0.1:8080/health",
        Duration::from_secs(2),
    )];
    client.register_service(&service).await.expect("accepted");
    client.replace_service(&service).await.expect("accepted");

    let seen = script.seen();
    assert_eq!(seen[0].line, "PUT /v1/agent/service/register");
    assert_eq!(
        seen[1].line,
        "PUT /v1/agent/service/register?replace-existing-checks=true"
    );
    assert!(seen[0].head.contains("x-consul-token: s3cret"));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&seen[0].body).expect("JSON"),
        serde_json::json!({
            "ID": "web-1", "Name": "web", "Address": "127.0.0.1", "Port": 8080,
            "Weights": {"Passing": 3, "Warning": 1},
            "Checks": [{"HTTP": "http://127.0.0.1:8080/health", "Interval": "2s"}],
        })
    );
}

#[tokio::test]
async fn the_lines_of_all_requests() {
    let script = Script::new((0..12).map(|_| status("200 OK", "")));
    let client = client(&script).await;
    client
        .deregister_service("a/b c?d")
        .await
        .expect("accepted");
    client
        .service_maintenance("web", Some("new disk"))
        .await
        .expect("accepted");
    client
        .service_maintenance("web", None)
        .await
        .expect("accepted");
    client
        .pass_check("service:web", "")
        .await
        .expect("accepted");
    client
        .warn_check("service:web", "slow & hot")
        .await
        .expect("accepted");
    client
        .fail_check("service:web", "x")
        .await
        .expect("accepted");
    client
        .update_check("service:web", Status::Warning, "out")
        .await
        .expect("accepted");
    client.deregister_check("über").await.expect("accepted");
    let check = CheckDefinition {
        check_id: Some("c".to_owned()),
        ..CheckDefinition::tcp("h:1", Duration::from_millis(1500))
    };
    client.register_check(&check).await.expect("accepted");
    assert_eq!(
        script.lines(),
        [
            "PUT /v1/agent/service/deregister/a%2Fb%20c%3Fd",
            "PUT /v1/agent/service/maintenance/web?enable=true&reason=new+disk",
            "PUT /v1/agent/service/maintenance/web?enable=false",
            "PUT /v1/agent/check/pass/service:web",
            "PUT /v1/agent/check/warn/service:web?note=slow+%26+hot",
            "PUT /v1/agent/check/fail/service:web?note=x",
            "PUT /v1/agent/check/update/service:web",
            "PUT /v1/agent/check/deregister/%C3%BCber",
            "PUT /v1/agent/check/register",
        ]
    );
    let bodies: Vec<String> = script.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies[6], r#"{"Status":"warning","Output":"out"}"#);
    assert_eq!(bodies[8], r#"{"ID":"c","Interval":"1500ms","TCP":"h:1"}"#);
}

#[tokio::test]
async fn names_that_a_url_would_swallow_are_not_sent() {
    let script = Script::default();
    let client = client(&script).await;
    for name in ["", ".", ".."] {
        let error = client.deregister_service(name).await.expect_err("refused");
        assert!(matches!(error, Error::Argument(_)), "{error}");
        let error = client
            .health_service(name, &Query::default())
            .await
            .expect_err("refused");
        assert!(matches!(error, Error::Argument(_)), "{error}");
    }
    assert!(script.lines().is_empty());
}

#[tokio::test]
async fn catalog_answers_with_their_headers() {
    let headers =
        "X-Consul-Index: 17\r\nX-Consul-KnownLeader: false\r\nX-Consul-LastContact: 40\r\n";
    let script = Script::new([
        Step::Answer(answer("200 OK", headers, r#"{"web":["b","a"],"db":null}"#)),
        indexed(1, "null"),
        indexed(
            2,
            r#"[{"Node":"n","CheckID":"c","Status":"odd","Type":"http","ServiceTags":null}]"#,
        ),
    ]);
    let config = Config::new(format!("http://{}", script.listen().await)).with_datacenter("dc2");
    let client = Client::new(config).expect("a client");
    let services = client
        .catalog_services(&Query::default())
        .await
        .expect("an answer");
    assert_eq!(services.value["web"], ["a", "b"]);
    assert!(services.value["db"].is_empty());
    assert_eq!((services.index, services.known_leader), (17, false));
    assert_eq!(services.last_contact, Duration::from_millis(40));
    let query = Query {
        index: Some(17),
        wait: Some(Duration::from_secs(3)),
        passing: true,
        ..Query::default()
    };
    assert!(
        client
            .health_service("web", &query)
            .await
            .expect("an answer")
            .value
            .is_empty()
    );
    let checks = client
        .health_state("any", &Query::default())
        .await
        .expect("an answer")
        .value;
    assert_eq!(checks[0].status, Status::Critical, "a word nobody knows");
    assert_eq!(
        script.lines(),
        [
            "GET /v1/catalog/services?dc=dc2",
            "GET /v1/health/service/web?index=17&wait=3000ms&passing=1&dc=dc2",
            "GET /v1/health/state/any?dc=dc2",
        ]
    );
}

#[tokio::test]
async fn the_agents_own_answers() {
    let script = Script::new([
        status(
            "200 OK",
            r#"{"Config":{"Datacenter":"dc1","NodeName":"n1","Version":"1.8.7"},"Member":null,"Stats":{"x":{}}}"#,
        ),
        status("200 OK", "\"127.0.0.1:8300\""),
        status("200 OK", "\"\""),
        status(
            "200 OK",
            r#"{"w":{"ID":"w","Service":"web","Tags":null,"Port":80,"Weights":null,"New":[1]}}"#,
        ),
        status(
            "200 OK",
            r#"{"service:w":{"CheckID":"service:w","Status":"passing","Interval":10000000000,"Definition":{}}}"#,
        ),
    ]);
    let client = client(&script).await;
    assert_eq!(
        client
            .agent_self()
            .await
            .expect("an answer")
            .config
            .node_name,
        "n1"
    );
    assert_eq!(
        client.status_leader().await.expect("an answer").as_deref(),
        Some("127.0.0.1:8300")
    );
    assert_eq!(client.status_leader().await.expect("an answer"), None);
    let service = &client.agent_services().await.expect("an answer")["w"];
    assert_eq!((service.port, service.weights), (80, Weights::default()));
    let check = &client.agent_checks().await.expect("an answer")["service:w"];
    assert_eq!(
        (check.status, check.interval.as_deref()),
        (Status::Passing, Some("10000000000ns"))
    );
}

#[tokio::test]
async fn errors_say_what_and_where() {
    let script = Script::new([
        status("500 Internal Server Error", "No cluster\nleader"),
        status("403 Forbidden", "Permission denied"),
        Step::Answer(answer(
            "301 Moved Permanently",
            "Location: http://127.0.0.1:1/\r\n",
            "",
        )),
        status("200 OK", "<html>"),
        indexed(3, r#"[{"Node":{"Node":"n1""#),
        Step::Cut(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{".to_vec()),
        Step::Cut(b"SSH-2.0-OpenSSH\r\n".to_vec()),
    ]);
    let address = format!("http://{}", script.listen().await);
    let client = Client::new(Config::new(&address).with_token("s3cret")).expect("a client");
    for expected in [
        "Consul refused GET /v1/health/service/web: 500 No cluster leader",
        "Consul refused GET /v1/health/service/web: 403 Permission denied",
        "Consul refused GET /v1/health/service/web: 301 ",
        "cannot read Consul's answer to /v1/health/service/web: expected value",
        "cannot read Consul's answer to /v1/health/service/web: EOF while parsing",
        &format!("cannot reach Consul at {address}: "),
        &format!("cannot reach Consul at {address}: "),
    ] {
        let error = client
            .health_service("web", &Query::default())
            .await
            .expect_err("no answer");
        let text = error.to_string();
        assert!(text.starts_with(expected), "{text}");
        assert!(!text.contains('\n'), "{text}");
        assert!(!format!("{error:?}{client:?}").contains("s3cret"));
    }
}

#[tokio::test]
async fn nobody_listens() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("a bound address")
    };
    let client = Client::new(Config::new(address.to_string())).expect("a client");
    let error = client.agent_services().await.expect_err("nobody there");
    assert_eq!(
        error.to_string(),
        format!(
            "cannot reach Consul at http://{address}: connection refused; is it running? set CONSUL_HTTP_ADDR or --consul"
        )
    );
    assert!(error.is_away());
}

#[tokio::test]
async fn deregistering_what_is_not_there_is_done() {
    let script = Script::new([
        status("404 Not Found", "Unknown service ID \"x\""),
        status("404 Not Found", "Unknown check ID \"x\""),
        status("500 Internal Server Error", "x"),
    ]);
    let client = client(&script).await;
    client.deregister_service("x").await.expect("done");
    client.deregister_check("x").await.expect("done");
    client.deregister_service("x").await.expect_err("refused");
}

#[tokio::test]
async fn a_large_list_is_read_and_an_endless_one_is_not() {
    let one = support::entry("web-1", 80, "passing", &"x".repeat(4000), 5);
    let one = one.trim_matches(['[', ']']);
    let list = format!("[{}]", vec![one; 2200].join(","));
    assert!(list.len() > 10_000_000);
    let endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let megabyte = format!("100000\r\n{}\r\n", " ".repeat(1 << 20)).repeat(65);
    let endless = [endless.as_slice(), megabyte.as_bytes()].concat();
    let script = Script::new([
        Step::Answer(answer("200 OK", "", &list)),
        Step::Answer(endless),
    ]);
    let client = client(&script).await;
    let answer = client
        .health_service("web", &Query::default())
        .await
        .expect("an answer");
    assert_eq!(answer.value.len(), 2200);
    let error = client
        .health_service("web", &Query::default())
        .await
        .expect_err("too much");
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_left_after_the_longest_honest_wait() {
    // The kernel accepts for a listener that nobody serves: connected, sent, and never an answer.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let client = Client::new(Config::new(address.to_string())).expect("a client");
    let blocking = |wait| Query {
        index: Some(1),
        wait: Some(Duration::from_secs(wait)),
        ..Query::default()
    };
    for (query, limit) in [
        (Query::default(), 10.0),
        (blocking(16), 22.0),
        (blocking(600), 642.5),
    ] {
        let error = client
            .health_service("web", &query)
            .await
            .expect_err("no answer");
        let Error::Timeout { limit: waited, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(waited.as_secs_f32(), limit);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn over_a_unix_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("consul.sock");
    let address = format!("unix://{}", path.display());
    let client = Client::new(Config::new(&address)).expect("a client");
    let error = client.status_leader().await.expect_err("not there yet");
    assert!(
        error.to_string().starts_with(&format!(
            "cannot reach Consul at {address}: there is no such socket"
        )),
        "{error}"
    );

    let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
    let script = Script::new([status("200 OK", "\"x:1\"")]);
    let serving = script.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serving.clone().serve(stream));
        }
    });
    assert_eq!(
        client.status_leader().await.expect("an answer").as_deref(),
        Some("x:1")
    );
    assert_eq!(script.lines(), ["GET /v1/status/leader"]);
    assert_eq!(client.address(), address);
}

#[test]
fn wrong_settings_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "nothing").expect("a file");
    let none = folder.path().join("none");
    let https = || Config::new("https://127.0.0.1:1");
    for (config, part) in [
        (Config::new("ftp://x"), "unknown scheme"),
        (Config::new("http://u:s3cret@x"), "user name"),
        (Config::default().with_token("a\nb"), "the Consul token"),
        (
            Config::default().with_token_file(&none),
            "CONSUL_HTTP_TOKEN_FILE",
        ),
        (https().with_ca_cert(&none), "CONSUL_CACERT"),
        (https().with_ca_cert(&empty), "no PEM certificate"),
        (
            https()
                .with_ca_cert(&empty)
                .with_client_cert(&empty, &empty),
            "CONSUL_CACERT",
        ),
    ] {
        let error = Client::new(config).expect_err(part);
        assert!(matches!(error, Error::Config { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn a_connection_that_is_dropped_reminds_of_the_limit_of_connections() {
    let script = Script::new([Step::Cut(Vec::new()), Step::Cut(Vec::new())]);
    let error = client(&script)
        .await
        .status_leader()
        .await
        .expect_err("dropped");
    assert!(error.is_away());
    let text = error.to_string();
    assert!(text.contains("http_max_conns_per_client"), "{text}");
}
