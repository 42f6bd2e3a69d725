//! Prepared queries: kept, listed, carried out by id, by name and by template.

use serde_json::json;

use crate::support::start;

#[tokio::test]
async fn queries_are_kept_and_carried_out() {
    let registry = start().await;
    registry
        .register(r#"{"Name":"web","ID":"w1","Tags":["blue"]}"#)
        .await;
    registry
        .register(r#"{"Name":"web","ID":"w2","Check":{"TTL":"10m"}}"#)
        .await;
    let body = r#"{"Name":"q","Service":{"Service":"web"},"DNS":{"TTL":"10s"}}"#;
    let made = registry.send("POST", "/v1/query", "", body).await.json();
    let id = made["ID"].as_str().expect("an id");
    let shown = registry.get(&format!("/v1/query/{id}")).await.json();
    assert_eq!(
        shown[0]["Service"]["Failover"],
        json!({"NearestN": 0, "Datacenters": null})
    );
    for name in [id, "q"] {
        let got = registry
            .get(&format!("/v1/query/{name}/execute"))
            .await
            .json();
        assert_eq!(
            got["Nodes"].as_array().map(Vec::len),
            Some(1),
            "the critical one is left out"
        );
        assert_eq!(
            (&got["Nodes"][0]["Service"]["ID"], &got["DNS"]["TTL"]),
            (&json!("w1"), &json!("10s"))
        );
    }
    let template = r#"{"Name":"to-","Template":{"Type":"name_prefix_match","Regexp":"^to-(.*)$"},
        "Service":{"Service":"${match(1)}","Tags":["!blue"]}}"#;
    assert_eq!(
        registry
            .send("POST", "/v1/query", "", template)
            .await
            .status,
        200
    );
    registry.put("/v1/agent/check/pass/service:w2", "").await;
    let got = registry.get("/v1/query/to-web/execute").await.json();
    assert_eq!(
        (&got["Service"], &got["Nodes"][0]["Service"]["ID"]),
        (&json!("web"), &json!("w2"))
    );
    assert_eq!(
        registry
            .put(
                &format!("/v1/query/{id}"),
                r#"{"Name":"r","Service":{"Service":"web"}}"#
            )
            .await
            .status,
        200
    );
    assert_eq!(registry.get("/v1/query/q/execute").await.status, 404);
    let explained = registry.get("/v1/query/r/explain").await.json();
    assert_eq!(explained["Query"]["ID"], json!(id));
    assert_eq!(
        registry
            .send("DELETE", &format!("/v1/query/{id}"), "", "")
            .await
            .status,
        200
    );
    assert_eq!(
        registry
            .send("DELETE", &format!("/v1/query/{id}"), "", "")
            .await
            .status,
        500
    );
}

#[tokio::test]
async fn a_query_goes_with_its_session_and_bad_ones_are_refused() {
    let registry = start().await;
    let session = registry.put("/v1/session/create", "").await.json();
    let session = session["ID"].as_str().expect("an id");
    let bound = format!(r#"{{"Session":"{session}","Service":{{"Service":"web"}}}}"#);
    assert_eq!(
        registry.send("POST", "/v1/query", "", &bound).await.status,
        200
    );
    registry
        .put(&format!("/v1/session/destroy/{session}"), "")
        .await;
    assert_eq!(registry.get("/v1/query").await.text(), "[]");
    let table = [
        ("{}", "Invalid prepared query: Must be bound to a session"),
        (
            r#"{"Name":"a"}"#,
            "Invalid prepared query: Must provide a Service name to query",
        ),
        (
            r#"{"Name":"a","Service":{"Service":"web"},"DNS":{"TTL":"abc"}}"#,
            "Invalid prepared query: Bad DNS TTL 'abc': time: invalid duration \"abc\"",
        ),
        (
            r#"{"Name":"a","Service":{"Service":"web"},"Session":"abc"}"#,
            "invalid session: index error: UUID must be 36 characters",
        ),
        (
            r#"{"Bad":1}"#,
            "Request decode failed: json: unknown field \"Bad\"",
        ),
    ];
    for (body, text) in table {
        assert_eq!(
            registry.send("POST", "/v1/query", "", body).await.text(),
            text,
            "{body}"
        );
    }
}
