//! DNS of a running registry: what is registered over HTTP has a name at once, and prepared queries have theirs.

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use registrar::registry::{Registry, RegistryConfig};
use serde_json::json;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use crate::support::{LIMIT, Running};

async fn start() -> (Running, std::net::SocketAddr) {
    let free = "127.0.0.1:0".parse().expect("an address");
    let config = RegistryConfig {
        listen: free,
        node: "here".into(),
        dns_listen: Some(free),
        ..RegistryConfig::default()
    };
    let registry = Registry::bind(config).await.expect("free ports");
    let (address, dns) = (registry.local_addr(), registry.dns_addr());
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(registry.run(shutdown.clone()));
    let running = Running {
        address,
        shutdown,
        task,
    };
    (running, dns.expect("it answers DNS"))
}

/// The code, and each answer as text with how long it may be kept.
async fn ask(
    dns: std::net::SocketAddr,
    name: &str,
    kind: RecordType,
) -> (ResponseCode, Vec<String>) {
    let mut question = Message::new(7, MessageType::Query, OpCode::Query);
    question.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let packet = question.to_vec().expect("it can be written");
    socket.send_to(&packet, dns).await.expect("it is sent");
    let mut answer = [0; 512];
    let received = tokio::time::timeout(LIMIT, socket.recv(&mut answer)).await;
    let length = received.expect("in time").expect("an answer");
    let answer = Message::from_vec(&answer[..length]).expect("it can be read");
    let records = answer.answers.iter();
    let shown = records.map(|record| format!("{} {}", record.ttl, record.data));
    (answer.metadata.response_code, shown.collect())
}

#[tokio::test]
async fn an_instance_has_a_name_from_its_registration_until_it_fails() {
    let (registry, dns) = start().await;
    let name = "web.service.consul.";
    let (code, _) = ask(dns, name, RecordType::A).await;
    assert_eq!(code, ResponseCode::NXDomain);

    let body = json!({
        "ID": "web-1", "Name": "web", "Address": "10.1.2.3", "Port": 8080,
        "Weights": {"Passing": 9, "Warning": 4}, "Check": {"TTL": "1h", "Status": "passing"},
    });
    registry.register(&body.to_string()).await;
    let (code, found) = ask(dns, name, RecordType::A).await;
    assert_eq!(
        (code, found),
        (ResponseCode::NoError, vec!["0 10.1.2.3".to_owned()])
    );
    let (_, found) = ask(dns, name, RecordType::SRV).await;
    assert_eq!(found, ["0 1 9 8080 0a010203.addr.dc1.consul."]);

    registry.put("/v1/agent/check/warn/service:web-1", "").await;
    let (_, found) = ask(dns, name, RecordType::SRV).await;
    assert_eq!(found, ["0 1 4 8080 0a010203.addr.dc1.consul."]);

    registry.put("/v1/agent/check/fail/service:web-1", "").await;
    let (code, _) = ask(dns, name, RecordType::SRV).await;
    assert_eq!(code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn a_maintained_node_hides_what_it_carries() {
    let (registry, dns) = start().await;
    let body = json!({"Name": "web", "Address": "10.1.2.3"}).to_string();
    registry.register(&body).await;
    registry.put("/v1/agent/maintenance?enable=true", "").await;
    let (code, _) = ask(dns, "web.service.consul.", RecordType::A).await;
    assert_eq!(code, ResponseCode::NXDomain);
    let (code, _) = ask(dns, "here.node.consul.", RecordType::A).await;
    assert_eq!(code, ResponseCode::NoError, "the node itself has its name");
}

#[tokio::test]
async fn a_prepared_query_has_a_name_and_its_own_time_to_live() {
    let (registry, dns) = start().await;
    let body = json!({"Name": "web", "Address": "10.1.2.3", "Tags": ["v1"]}).to_string();
    registry.register(&body).await;
    for (name, tag) in [("new", "v2"), ("old", "v1")] {
        let query = json!({
            "Name": name, "Service": {"Service": "web", "Tags": [tag]}, "DNS": {"TTL": "30s"},
        });
        let got = registry
            .send("POST", "/v1/query", "", &query.to_string())
            .await;
        assert_eq!(got.status, 200, "{}", got.text());
    }
    let (_, found) = ask(dns, "old.query.consul.", RecordType::A).await;
    assert_eq!(found, ["30 10.1.2.3"]);
    for name in ["new.query.consul.", "none.query.consul."] {
        let (code, _) = ask(dns, name, RecordType::A).await;
        assert_eq!(code, ResponseCode::NXDomain, "{name}");
    }
}
