//! `agent/metrics`: real numbers, in Consul's shape and as Prometheus reads them.

use serde_json::Value;

use super::support::start;

fn gauge(metrics: &Value, name: &str, status: Option<&str>) -> Option<u64> {
    let gauges = metrics["Gauges"].as_array().expect("a list");
    let mut named = gauges.iter().filter(|gauge| gauge["Name"] == name);
    let wanted = named.find(|gauge| gauge["Labels"]["status"].as_str() == status);
    wanted?["Value"].as_u64()
}

#[tokio::test]
async fn numbers_are_those_of_what_there_is_and_was_done() {
    let registry = start().await;
    registry
        .register(r#"{"Name": "web", "Check": {"TTL": "1h"}}"#)
        .await;
    registry
        .register(r#"{"Name": "db", "Check": {"TTL": "1h", "Status": "passing"}}"#)
        .await;
    registry.put("/v1/kv/a", "b").await;
    let index = registry.get("/v1/health/service/web").await.index();
    let waiting = registry.waiting("/v1/health/service/web", index).await;
    let metrics = registry.get("/v1/agent/metrics").await.json();
    for (name, status, value) in [
        ("consul.rpc.queries_blocking", None, 1),
        ("turno.registry.services", None, 3),
        ("turno.registry.instances", None, 3),
        ("turno.registry.keys", None, 1),
        ("turno.registry.nodes", None, 1),
        // The node's own and that of `db`.
        ("turno.registry.checks", Some("passing"), 2),
        ("turno.registry.checks", Some("critical"), 1),
    ] {
        assert_eq!(
            gauge(&metrics, name, status),
            Some(value),
            "{name} {status:?}: {metrics}"
        );
    }
    let samples = metrics["Samples"].as_array().expect("a list");
    for sample in samples {
        let count = sample["Count"].as_u64();
        assert!(count.is_some_and(|count| count > 0), "{sample}");
    }
    assert!(
        metrics["Timestamp"]
            .as_str()
            .is_some_and(|text| text.ends_with(" +0000 UTC"))
    );
    registry.put("/v1/agent/check/pass/service:web", "").await;
    waiting.await.expect("an answer");
    let text = registry.get("/v1/agent/metrics?format=prometheus").await;
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let text = text.text();
    for line in [
        "# TYPE turno_registry_checks gauge",
        "turno_registry_checks{status=\"passing\"} 3",
        "consul_rpc_queries_blocking 0",
        "turno_registry_wakes 1",
        "turno_registry_refused 0",
        "# TYPE consul_http_PUT_v1_agent_service_register summary",
        "consul_http_PUT_v1_agent_service_register_count 2",
        "consul_http_PUT_v1_kv___count 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}
