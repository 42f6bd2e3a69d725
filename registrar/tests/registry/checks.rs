//! Every kind of check, as a registration says it: it runs, and readers see what it found.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, UdpSocket};

use crate::support::{LIMIT, Running, start};

/// The check of a service, once a run of it has said something.
async fn outcome(registry: &Running, service: &str) -> Value {
    let seen = async {
        loop {
            let got = registry.get(&format!("/v1/health/checks/{service}")).await;
            let check = got.json()[0].clone();
            if check["Output"] != "" {
                return check;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, seen).await.expect("it runs")
}

async fn register(registry: &Running, name: &str, mut check: Value) -> Value {
    check["Interval"] = json!("1s");
    let body = json!({"Name": name, "Check": check});
    registry.register(&body.to_string()).await;
    outcome(registry, name).await
}

#[tokio::test]
async fn each_kind_runs_and_says_what_it_found() {
    let registry = start().await;
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let udp = silent.local_addr().expect("it is bound").to_string();
    let closed = "127.0.0.1:1";
    // (definition, Consul's type, status, what the output has).
    let table = [
        (json!({"UDP": udp}), "udp", "passing", "Success"),
        (json!({"UDP": closed}), "udp", "critical", "refused"),
        (
            json!({"GRPC": closed}),
            "grpc",
            "critical",
            "gRPC check 127.0.0.1:1: ",
        ),
        (
            json!({"GRPC": closed, "GRPCUseTLS": true}),
            "grpc",
            "critical",
            "refused",
        ),
        (
            json!({"H2PING": closed}),
            "h2ping",
            "critical",
            "HTTP2 ping",
        ),
        (
            json!({"H2PING": closed, "H2PingUseTLS": false}),
            "h2ping",
            "critical",
            "refused",
        ),
        (json!({"ZMTP": closed}), "zmtp", "critical", "refused"),
        (
            json!({"TCP": closed, "TCPUseTLS": true}),
            "tcp",
            "critical",
            "refused",
        ),
        (
            json!({"OSService": "turno-none.service"}),
            "os_service",
            "critical",
            "turno-none",
        ),
    ];
    for (n, (definition, kind, status, said)) in table.into_iter().enumerate() {
        let check = register(&registry, &format!("s{n}"), definition.clone()).await;
        assert_eq!(
            (&check["Type"], &check["Status"]),
            (&json!(kind), &json!(status)),
            "{check}"
        );
        let output = check["Output"].as_str().expect("a text");
        assert!(output.contains(said), "{definition}: {output}");
    }
}

#[tokio::test]
async fn a_broker_that_greets_passes() {
    let registry = start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let broker = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"\xff\0\0\0\0\0\0\0\x01\x7f\x03").await;
        }
    });
    let check = register(&registry, "broker", json!({"ZMTP": address})).await;
    assert_eq!(check["Status"], "passing", "{check}");
    broker.abort();
}

#[tokio::test]
async fn scripts_and_docker_are_refused() {
    let registry = start().await;
    let table = [
        (
            json!({"Args": ["true"], "Interval": "1s"}),
            500,
            "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true",
        ),
        (
            json!({"DockerContainerID": "x", "Args": ["true"], "Interval": "1s"}),
            500,
            "Scripts are disabled",
        ),
        (
            json!({"H2PING": "x", "H2PingUseTLS": 1, "Interval": "1s"}),
            400,
            "cannot unmarshal number",
        ),
        (
            json!({"UDP": "x"}),
            400,
            "Invalid check: Interval must be > 0",
        ),
    ];
    for (check, status, text) in table {
        let body = json!({"Name": "s", "Check": check}).to_string();
        let got = registry.put("/v1/agent/service/register", &body).await;
        assert_eq!(got.status, status, "{body}: {}", got.text());
        assert!(got.text().contains(text), "{body}: {}", got.text());
    }
    assert_eq!(registry.get("/v1/agent/services").await.json(), json!({}));
}
