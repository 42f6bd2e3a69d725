//! Registering, reading back, checks that run, TTL, maintenance.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::start;

#[tokio::test]
async fn what_is_registered_is_in_every_list_in_consuls_shape() {
    let registry = start().await;
    registry
        .register(r#"{"Name":"web","ID":"w1","Port":80,"Address":"10.0.0.1","Tags":["a"],"Meta":{"k":"v"},"Check":{"TTL":"10m","Notes":"n"}}"#)
        .await;
    let health = registry.get("/v1/health/service/WEB").await;
    assert_eq!(health.status, 200);
    assert_eq!(
        health.header("x-consul-effective-consistency"),
        Some("leader")
    );
    let entry = &health.json()[0];
    assert_eq!(entry["Node"]["Node"], "here");
    assert_eq!(
        entry["Service"]["TaggedAddresses"]["lan_ipv4"],
        json!({"Address": "10.0.0.1", "Port": 80})
    );
    assert_eq!(
        entry["Service"]["Proxy"],
        json!({"MeshGateway": {}, "Expose": {}})
    );
    let ids: Vec<_> = entry["Checks"]
        .as_array()
        .expect("checks")
        .iter()
        .map(|c| &c["CheckID"])
        .collect();
    assert_eq!(ids, ["serfHealth", "service:w1"]);
    assert_eq!(
        registry.get("/v1/health/service/web?passing").await.text(),
        "[]"
    );
    assert_eq!(
        registry
            .put("/v1/agent/check/pass/service:w1?note=well", "")
            .await
            .status,
        200
    );
    let passing = registry
        .get("/v1/health/service/web?passing&tag=A")
        .await
        .json();
    assert_eq!(passing[0]["Checks"][1]["Output"], "well");
    assert_eq!(
        registry
            .get("/v1/health/service/web?passing&tag=b")
            .await
            .text(),
        "[]"
    );
    let services = registry.get("/v1/catalog/services").await.json();
    assert_eq!(services, json!({"consul": [], "web": ["a"]}));
    let agent = registry.get("/v1/agent/services").await.json();
    assert_eq!(agent["w1"]["Weights"], json!({"Passing": 1, "Warning": 1}));
    assert!(agent.get("consul").is_none());
    let checks = registry.get("/v1/agent/checks").await.json();
    assert_eq!(checks["service:w1"]["Definition"], json!({}));
    assert_eq!(
        registry
            .put("/v1/agent/service/deregister/w1", "")
            .await
            .status,
        200
    );
    assert_eq!(registry.get("/v1/health/service/web").await.text(), "[]");
    assert_eq!(
        registry
            .put("/v1/agent/service/deregister/w1", "")
            .await
            .status,
        200,
        "unknown now"
    );
}

#[tokio::test]
async fn an_http_check_runs_and_its_result_wakes_the_reader() {
    let origin = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = origin.local_addr().expect("it listens");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = origin.accept().await {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let registry = start().await;
    registry
        .register(&format!(
            r#"{{"Name":"web","Check":{{"HTTP":"http://{address}/","Interval":"1s"}}}}"#
        ))
        .await;
    let mut index = 0;
    let entry = loop {
        let got = registry
            .get(&format!(
                "/v1/health/service/web?passing&index={index}&wait=5s"
            ))
            .await;
        index = got.index();
        if let Some(entry) = got.json().get(0) {
            break entry.clone();
        }
    };
    let output = entry["Checks"][1]["Output"].as_str().expect("a text");
    assert!(output.contains("200 OK Output: ok"), "{output}");
}

#[tokio::test]
async fn a_ttl_check_expires_and_its_instance_is_removed_in_its_time() {
    let registry = start().await;
    registry
        .register(r#"{"Name":"web","Check":{"TTL":"200ms","Status":"passing","DeregisterCriticalServiceAfter":"300ms"}}"#)
        .await;
    let first = registry.get("/v1/health/service/web?passing").await;
    assert_eq!(first.json().as_array().map(Vec::len), Some(1));
    let expired = registry
        .get(&format!(
            "/v1/health/service/web?index={}&wait=10s",
            first.index()
        ))
        .await;
    let output = &expired.json()[0]["Checks"][1]["Output"];
    assert_eq!(output, "TTL expired");
    let gone = registry
        .get(&format!(
            "/v1/health/service/web?index={}&wait=10s",
            expired.index()
        ))
        .await;
    assert_eq!(gone.text(), "[]");
    assert!(gone.index() > expired.index());
}

#[tokio::test]
async fn health_is_also_a_status_code() {
    let registry = start().await;
    registry
        .register(r#"{"Name":"web","ID":"w1","Check":{"TTL":"10m"}}"#)
        .await;
    let path = "/v1/agent/health/service/id/w1";
    for (action, code, word) in [
        ("pass", 200, "passing"),
        ("warn", 429, "warning"),
        ("fail", 503, "critical"),
    ] {
        registry
            .put(&format!("/v1/agent/check/{action}/service:w1"), "")
            .await;
        let got = registry.get(path).await;
        assert_eq!(
            (got.status, got.header("x-consul-reason")),
            (code, Some(word))
        );
        assert_eq!(
            registry.get(&format!("{path}?format=text")).await.text(),
            word
        );
    }
    registry
        .put(
            "/v1/agent/service/maintenance/w1?enable=true&reason=disk",
            "",
        )
        .await;
    let got = registry.get(path).await;
    assert_eq!(
        (got.status, got.json()["AggregatedStatus"].as_str()),
        (503, Some("maintenance"))
    );
    assert_eq!(
        registry
            .get("/v1/agent/health/service/name/none")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn one_instance_can_be_watched_by_the_hash_of_its_contents() {
    let registry = start().await;
    registry.register(r#"{"Name":"web","Port":1}"#).await;
    let first = registry.get("/v1/agent/service/web").await;
    let hash = first
        .header("x-consul-contenthash")
        .expect("a hash")
        .to_owned();
    let path = format!("/v1/agent/service/web?hash={hash}");
    let same = registry.get(&format!("{path}&wait=10ms")).await;
    assert_eq!(same.header("x-consul-contenthash"), Some(hash.as_str()));
    let waiting = registry.waiting(&path, 0).await;
    registry.register(r#"{"Name":"web","Port":2}"#).await;
    let got = waiting.await.expect("no panic");
    assert_eq!(got.json()["Port"], 2);
    let unknown = registry.get("/v1/agent/service/none").await;
    assert_eq!(
        (unknown.status, unknown.text().as_str()),
        (404, "unknown service ID: none")
    );
}

#[tokio::test]
async fn external_nodes_are_stored_beside_the_own() {
    let registry = start().await;
    let body = r#"{"Node":"ext","Address":"1.2.3.4","NodeMeta":{"z":"1"},"Service":{"Service":"db","Port":5},
        "Check":{"Name":"c","ServiceID":"db","Status":"passing"}}"#;
    assert_eq!(
        registry.put("/v1/catalog/register", body).await.text(),
        "true"
    );
    let rows = registry
        .get("/v1/catalog/service/db?node-meta=z:1")
        .await
        .json();
    assert_eq!(rows[0]["ServiceMeta"], json!({}));
    assert_eq!(rows[0]["Address"], "1.2.3.4");
    assert_eq!(
        registry
            .get("/v1/catalog/service/db?node-meta=z:2")
            .await
            .text(),
        "[]"
    );
    assert_eq!(
        registry.get("/v1/health/service/db").await.json()[0]["Service"]["Meta"],
        json!(null)
    );
    let nodes = registry.get("/v1/catalog/nodes?near=_agent").await.json();
    assert_eq!(
        (&nodes[0]["Node"], &nodes[1]["Node"]),
        (&json!("here"), &json!("ext"))
    );
    assert_eq!(registry.get("/v1/catalog/node/none").await.text(), "null");
    assert_eq!(
        registry
            .put("/v1/catalog/deregister", r#"{"Node":"ext"}"#)
            .await
            .text(),
        "true"
    );
    assert_eq!(registry.get("/v1/catalog/service/db").await.text(), "[]");
    tokio::time::timeout(Duration::from_secs(1), registry.get("/v1/catalog/nodes"))
        .await
        .expect("at once");
}
