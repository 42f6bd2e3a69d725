//! Keys and values, sessions and their locks, transactions.

use serde_json::json;

use crate::support::{Running, start};

async fn session(registry: &Running, body: &str) -> String {
    let got = registry.put("/v1/session/create", body).await.json();
    got["ID"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn values_are_set_read_listed_and_deleted() {
    let registry = start().await;
    assert_eq!(
        registry.put("/v1/kv/a?flags=42", "hello").await.text(),
        "true"
    );
    assert_eq!(registry.put("/v1/kv/a/b", "").await.text(), "true");
    assert_eq!(registry.put("/v1/kv/x%2Fy%20z", "1").await.text(), "true");
    let row = &registry.get("/v1/kv/a").await.json()[0];
    assert_eq!(
        (&row["Value"], &row["Flags"], &row["LockIndex"]),
        (&json!("aGVsbG8="), &json!(42), &json!(0))
    );
    assert_eq!(
        registry.get("/v1/kv/a/b").await.json()[0]["Value"],
        json!(null)
    );
    let raw = registry.get("/v1/kv/a?raw").await;
    assert_eq!(
        (raw.text().as_str(), raw.header("content-security-policy")),
        ("hello", Some("sandbox"))
    );
    assert_eq!(
        registry.get("/v1/kv/?keys").await.json(),
        json!(["a", "a/b", "x/y z"])
    );
    assert_eq!(
        registry.get("/v1/kv/?keys&separator=/").await.json(),
        json!(["a", "a/", "x/"])
    );
    assert_eq!(
        registry
            .get("/v1/kv/a?recurse")
            .await
            .json()
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    let none = registry.get("/v1/kv/none").await;
    assert_eq!((none.status, none.text().as_str()), (404, ""));
    assert!(none.index() > 0, "something to wait on");
    assert_eq!(
        registry
            .send("DELETE", "/v1/kv/a?recurse", "", "")
            .await
            .text(),
        "true"
    );
    assert_eq!(registry.get("/v1/kv/?keys").await.json(), json!(["x/y z"]));
}

#[tokio::test]
async fn conditions_hold_or_do_not() {
    let registry = start().await;
    assert_eq!(registry.put("/v1/kv/a?cas=0", "1").await.text(), "true");
    assert_eq!(registry.put("/v1/kv/a?cas=0", "2").await.text(), "false");
    let index = registry.get("/v1/kv/a").await.index();
    assert_eq!(
        registry
            .put(&format!("/v1/kv/a?cas={index}"), "3")
            .await
            .text(),
        "true"
    );
    assert_eq!(
        registry
            .put(&format!("/v1/kv/a?cas={index}"), "4")
            .await
            .text(),
        "false"
    );
    assert_eq!(
        registry
            .send("DELETE", "/v1/kv/a?cas=1", "", "")
            .await
            .text(),
        "false"
    );
    let table = [
        ("/v1/kv/", 400, "Missing key name"),
        (
            "/v1/kv/a?flags=abc",
            500,
            "strconv.ParseUint: parsing \"abc\": invalid syntax",
        ),
        (
            "/v1/kv/a?acquire=x&release=y",
            400,
            "Conflicting flags: acquire=x&release=y",
        ),
        (
            "/v1/kv/a?acquire=x",
            500,
            "failed session lookup: index error: UUID must be 36 characters",
        ),
        ("/v1/kv/a?acquire=", 500, "missing session"),
    ];
    for (path, status, text) in table {
        let got = registry.put(path, "v").await;
        assert_eq!((got.status, got.text().as_str()), (status, text), "{path}");
    }
    let large = registry.put("/v1/kv/a", &"x".repeat(512 * 1024 + 1)).await;
    assert_eq!(large.status, 413);
}

#[tokio::test]
async fn a_key_and_a_prefix_can_be_waited_on() {
    let registry = start().await;
    registry.put("/v1/kv/app/a", "1").await;
    let key = registry.get("/v1/kv/app/a").await.index();
    let prefix = registry.get("/v1/kv/app/?recurse").await.index();
    let one = registry.waiting("/v1/kv/app/a", key).await;
    let all = registry.waiting("/v1/kv/app/?recurse", prefix).await;
    registry.put("/v1/kv/other", "1").await;
    registry.put("/v1/kv/app/a", "1").await;
    assert!(
        !one.is_finished() && !all.is_finished(),
        "another key, and the same value"
    );
    registry.put("/v1/kv/app/b", "1").await;
    let got = all.await.expect("no panic");
    assert_eq!(got.json().as_array().map(Vec::len), Some(2));
    assert!(!one.is_finished());
    registry.send("DELETE", "/v1/kv/app/a", "", "").await;
    assert_eq!(one.await.expect("no panic").status, 404);
    assert!(
        registry.get("/v1/kv/app/?recurse").await.index() > got.index(),
        "deletions count"
    );
}

#[tokio::test]
async fn a_lock_is_held_by_one_session_and_freed_with_it() {
    let registry = start().await;
    let first = session(&registry, r#"{"Name":"first","LockDelay":"0s"}"#).await;
    let second = session(&registry, r#"{"Behavior":"delete"}"#).await;
    let acquire = |id: &str| format!("/v1/kv/lock?acquire={id}");
    assert_eq!(registry.put(&acquire(&first), "a").await.text(), "true");
    assert_eq!(registry.put(&acquire(&second), "b").await.text(), "false");
    let row = registry.get("/v1/kv/lock").await;
    assert_eq!(
        (&row.json()[0]["Session"], &row.json()[0]["LockIndex"]),
        (&json!(first), &json!(1))
    );
    let waiting = registry.waiting("/v1/kv/lock", row.index()).await;
    assert_eq!(
        registry
            .put(&format!("/v1/session/destroy/{first}"), "")
            .await
            .text(),
        "true"
    );
    let freed = waiting.await.expect("no panic").json();
    assert!(freed[0].get("Session").is_none() && freed[0]["LockIndex"] == 1);
    assert_eq!(registry.put(&acquire(&second), "b").await.text(), "true");
    assert_eq!(
        registry
            .put(&format!("/v1/session/destroy/{second}"), "")
            .await
            .text(),
        "true"
    );
    assert_eq!(
        registry.get("/v1/kv/lock").await.status,
        404,
        "it deletes what it held"
    );
    let third = session(&registry, "").await;
    assert_eq!(
        registry.put(&acquire(&third), "c").await.text(),
        "false",
        "the second's lock delay"
    );
}

#[tokio::test]
async fn a_session_ends_with_its_check() {
    let registry = start().await;
    registry
        .register(r#"{"Name":"web","Check":{"TTL":"10m","Status":"passing"}}"#)
        .await;
    let id = session(&registry, r#"{"ServiceChecks":[{"ID":"service:web"}]}"#).await;
    let info = registry.get(&format!("/v1/session/info/{id}")).await;
    assert_eq!(info.json()[0]["NodeChecks"], json!(["serfHealth"]));
    let waiting = registry
        .waiting(&format!("/v1/session/info/{id}"), info.index())
        .await;
    registry.put("/v1/agent/check/fail/service:web", "").await;
    assert_eq!(waiting.await.expect("no panic").text(), "[]");
    let refused = registry
        .put("/v1/session/create", r#"{"Checks":["service:web"]}"#)
        .await;
    assert_eq!(refused.text(), "Check 'service:web' is in critical state");
}

#[tokio::test]
async fn bad_sessions_are_refused_in_consuls_words() {
    let registry = start().await;
    let table = [
        (
            r#"{"TTL":"5s"}"#,
            500,
            "Invalid Session TTL '5000000000', must be between [10s=24h0m0s]",
        ),
        (
            r#"{"TTL":"abc"}"#,
            500,
            "Session TTL 'abc' invalid: time: invalid duration \"abc\"",
        ),
        (
            r#"{"Behavior":"odd"}"#,
            500,
            "Invalid Behavior setting 'odd'",
        ),
        (r#"{"Node":"none"}"#, 500, "Missing node registration"),
        (r#"{"Checks":["x"]}"#, 500, "Missing check 'x' registration"),
        ("{", 400, "Request decode failed: unexpected EOF"),
    ];
    for (body, status, text) in table {
        let got = registry.put("/v1/session/create", body).await;
        assert_eq!((got.status, got.text().as_str()), (status, text), "{body}");
    }
    let id = session(&registry, r#"{"TTL":"10s","LockDelay":20,"Unknown":1}"#).await;
    let renewed = registry
        .put(&format!("/v1/session/renew/{id}"), "")
        .await
        .json();
    assert_eq!(
        (&renewed[0]["TTL"], &renewed[0]["LockDelay"]),
        (&json!("10s"), &json!(20_000_000_000_u64))
    );
    let gone = registry
        .put("/v1/session/renew/00000000-0000-0000-0000-000000000000", "")
        .await;
    assert_eq!(gone.status, 404);
}

#[tokio::test]
async fn a_transaction_happens_as_a_whole_or_not_at_all() {
    let registry = start().await;
    let set = r#"{"KV":{"Verb":"set","Key":"t","Value":"eA=="}}"#;
    let got = registry.put("/v1/txn", &format!("[{set}]")).await.json();
    assert_eq!(got["Results"][0]["KV"]["Value"], json!(null));
    let index = registry.get("/v1/kv/t").await.index();
    let failing = r#"[{"KV":{"Verb":"set","Key":"t","Value":"eQ=="}},{"KV":{"Verb":"delete-tree","Key":""}},
        {"KV":{"Verb":"set","Key":"new","Value":"eQ=="}},{"KV":{"Verb":"check-not-exists","Key":"new"}},
        {"Node":{"Verb":"set","Node":{"Node":"n","Address":"1.1.1.1"}}}]"#;
    let refused = registry.put("/v1/txn", failing).await;
    assert_eq!(refused.status, 409);
    assert_eq!(
        refused.json()["Errors"],
        json!([{"OpIndex": 3, "What": "key \"new\" exists"}])
    );
    let after = registry.get("/v1/kv/t").await;
    assert_eq!(
        (after.index(), &after.json()[0]["Value"]),
        (index, &json!("eA=="))
    );
    assert_eq!(registry.get("/v1/kv/new").await.status, 404);
    assert_eq!(
        registry
            .get("/v1/catalog/nodes")
            .await
            .json()
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    let keys_only = r#"[{"KV":{"Verb":"delete","Key":"t"}},{"KV":{"Verb":"get","Key":"none"}}]"#;
    assert_eq!(registry.put("/v1/txn", keys_only).await.status, 409);
    let after = registry.get("/v1/kv/?recurse").await;
    assert_eq!(
        (after.index(), &after.json()[0]["Value"]),
        (index, &json!("eA=="))
    );
    let many = format!("[{}]", [set; 65].join(","));
    assert_eq!(
        registry.put("/v1/txn", &many).await.text(),
        "Transaction contains too many operations (65 > 64)"
    );
}
