//! Catalog writes, keys, sessions and transactions against a server that answers as scripted.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use consul::types::{
    Behavior, CatalogDeregistration, CatalogRegistration, HealthCheck, KvPut, Service,
    SessionRequest, Status, TxnStep,
};
use consul::{Client, Config, Error, Query};
use serde_json::{Value, json};
use support::{Script, indexed, status};

async fn client(script: &Script) -> Client {
    let config = Config::new(format!("http://{}", script.listen().await)).with_datacenter("dc2");
    Client::new(config).expect("a client")
}

fn bodies(script: &Script) -> Vec<Value> {
    let read = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| json!(text));
    script.seen().iter().map(|seen| read(&seen.body)).collect()
}

#[tokio::test]
async fn what_is_written_to_the_catalog() {
    let script = Script::new((0..3).map(|_| status("200 OK", "true")));
    let client = client(&script).await;
    let entry = CatalogRegistration {
        node: "vm-7".to_owned(),
        address: "10.0.0.7".to_owned(),
        node_meta: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        service: Some(Service {
            id: "web-1".to_owned(),
            service: "web".to_owned(),
            port: 80,
            ..Service::default()
        }),
        checks: vec![HealthCheck {
            node: "vm-7".to_owned(),
            check_id: "c".to_owned(),
            status: Status::Warning,
            service_id: "web-1".to_owned(),
            ..HealthCheck::default()
        }],
    };
    client.catalog_register(&entry).await.expect("accepted");
    let node = || "vm-7".to_owned();
    let service = CatalogDeregistration {
        node: node(),
        service_id: Some("web-1".to_owned()),
        check_id: None,
    };
    client.catalog_deregister(&service).await.expect("accepted");
    let all = CatalogDeregistration {
        node: node(),
        ..CatalogDeregistration::default()
    };
    client.catalog_deregister(&all).await.expect("accepted");
    let lines = script.lines();
    assert_eq!(lines[0], "PUT /v1/catalog/register?dc=dc2");
    assert_eq!(lines[2], "PUT /v1/catalog/deregister?dc=dc2");
    let sent = bodies(&script);
    assert_eq!(sent[0]["NodeMeta"], json!({"a": "b"}));
    assert_eq!(
        (&sent[0]["Service"]["ID"], &sent[0]["Service"]["Port"]),
        (&json!("web-1"), &json!(80))
    );
    assert_eq!(sent[0]["Checks"][0]["Status"], "warning");
    assert_eq!(sent[1], json!({"Node": "vm-7", "ServiceID": "web-1"}));
    assert_eq!(sent[2], json!({"Node": "vm-7"}));
}

#[tokio::test]
async fn nodes_and_their_checks_as_they_are_read() {
    let script = Script::new([
        indexed(3, r#"[{"Node":"vm-7","Meta":{"k":"v"}}]"#),
        indexed(
            3,
            r#"{"Node":{"Node":"vm-7"},"Services":{"a":{"ID":"a","Service":"web"}}}"#,
        ),
        indexed(3, "null"),
        indexed(3, r#"[{"CheckID":"c","Status":"passing"}]"#),
    ]);
    let client = client(&script).await;
    let query = Query {
        node_meta: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        ..Query::default()
    };
    assert_eq!(
        client.catalog_nodes(&query).await.expect("nodes").value[0].meta["k"],
        "v"
    );
    let node = client
        .catalog_node("vm-7")
        .await
        .expect("an answer")
        .expect("a node");
    assert_eq!(node.services["a"].service, "web");
    assert_eq!(client.catalog_node("gone").await.expect("an answer"), None);
    assert_eq!(
        client.health_node("vm-7").await.expect("checks")["c"].status,
        Status::Passing
    );
    assert_eq!(
        script.lines(),
        [
            "GET /v1/catalog/nodes?dc=dc2&node-meta=k%3Av",
            "GET /v1/catalog/node/vm-7?dc=dc2",
            "GET /v1/catalog/node/gone?dc=dc2",
            "GET /v1/health/node/vm-7?dc=dc2",
        ]
    );
}

#[tokio::test]
async fn keys() {
    let entry = r#"[{"Key":"a/b","Value":"AP8=","Flags":7,"LockIndex":1,"Session":"s","CreateIndex":1,"ModifyIndex":2}]"#;
    let script = Script::new([
        indexed(2, entry),
        status("404 Not Found", ""),
        indexed(9, r#"[{"Key":"a/","Value":null}]"#),
        status("404 Not Found", ""),
        status("200 OK", "true"),
        status("200 OK", "false"),
        status("200 OK", "true"),
    ]);
    let client = client(&script).await;
    let found = client
        .kv_get("a/b")
        .await
        .expect("an answer")
        .expect("a key");
    assert_eq!(
        (found.value.as_slice(), found.flags),
        ([0, 0xff].as_slice(), 7)
    );
    assert_eq!(found.session, "s");
    assert_eq!(client.kv_get("x").await.expect("an answer"), None);
    let query = Query {
        index: Some(5),
        wait: Some(Duration::from_secs(2)),
        ..Query::default()
    };
    let list = client.kv_list("a/", &query).await.expect("a list");
    assert_eq!((list.value[0].value.len(), list.index), (0, 9));
    let none = client
        .kv_list("x/", &Query::default())
        .await
        .expect("a list");
    assert_eq!((none.value.len(), none.index), (0, 0));
    let how = KvPut {
        flags: 3,
        cas: Some(0),
        acquire: Some("s".to_owned()),
        release: None,
    };
    assert!(
        client
            .kv_put("a/b c", vec![1, 2], &how)
            .await
            .expect("written")
    );
    assert!(
        !client
            .kv_put("a", Vec::new(), &KvPut::default())
            .await
            .expect("not written")
    );
    client.kv_delete("a").await.expect("deleted");
    let dots = client
        .kv_get("a/../b")
        .await
        .expect_err("a URL would swallow it");
    assert!(matches!(dots, Error::Argument(_)), "{dots}");
    assert_eq!(
        script.lines(),
        [
            "GET /v1/kv/a/b?dc=dc2",
            "GET /v1/kv/x?dc=dc2",
            "GET /v1/kv/a/?index=5&wait=2000ms&dc=dc2&recurse=true",
            "GET /v1/kv/x/?dc=dc2&recurse=true",
            "PUT /v1/kv/a/b%20c?dc=dc2&flags=3&cas=0&acquire=s",
            "PUT /v1/kv/a?dc=dc2",
            "DELETE /v1/kv/a?dc=dc2",
        ]
    );
}

#[tokio::test]
async fn sessions_and_transactions() {
    let script = Script::new([
        status("200 OK", r#"{"ID":"s-1"}"#),
        status("200 OK", "[]"),
        status("404 Not Found", "Session id 's-1' not found"),
        status("200 OK", "true"),
        status("200 OK", r#"{"Results":[],"Errors":null}"#),
        status(
            "409 Conflict",
            r#"{"Results":null,"Errors":[{"OpIndex":0,"What":"key exists"}]}"#,
        ),
        status("500 Internal Server Error", "No cluster leader"),
    ]);
    let client = client(&script).await;
    let request = SessionRequest {
        name: "n".to_owned(),
        ttl: "15s".to_owned(),
        lock_delay: "0s".to_owned(),
        behavior: Behavior::Delete,
        node_checks: [],
    };
    assert_eq!(client.create_session(&request).await.expect("made"), "s-1");
    let limit = Duration::from_secs(3);
    assert!(client.renew_session("s-1", limit).await.expect("an answer"));
    assert!(
        !client
            .renew_session("s-1", limit)
            .await
            .expect("it has ended")
    );
    client.destroy_session("s-1").await.expect("ended");
    let steps = [TxnStep::key_absent("k"), TxnStep::delete_node("vm-7")];
    assert!(client.transaction(&steps).await.expect("done"));
    assert!(
        !client
            .transaction(&steps)
            .await
            .expect("the condition did not hold")
    );
    assert!(
        client
            .transaction(&steps)
            .await
            .expect_err("no leader")
            .is_away()
    );
    let sent = bodies(&script);
    assert_eq!(
        sent[0],
        json!({"Name": "n", "TTL": "15s", "LockDelay": "0s", "Behavior": "delete", "NodeChecks": []})
    );
    assert_eq!(
        sent[4],
        json!([{"KV": {"Verb": "check-not-exists", "Key": "k"}}, {"Node": {"Verb": "delete", "Node": {"Node": "vm-7"}}}])
    );
    assert_eq!(script.lines()[1], "PUT /v1/session/renew/s-1?dc=dc2");
}
