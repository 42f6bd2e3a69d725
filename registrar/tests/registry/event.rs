//! Events: fired, filtered, listed, waited on.

use serde_json::json;

use crate::support::start;

#[tokio::test]
async fn events_are_kept_and_wake_who_waits() {
    let registry = start().await;
    registry.register(r#"{"Name":"web","Tags":["blue"]}"#).await;
    let empty = registry.get("/v1/event/list").await;
    assert_eq!((empty.text().as_str(), empty.index()), ("[]", 1));
    let waiting = registry.waiting("/v1/event/list", 1).await;
    let fired = registry
        .put("/v1/event/fire/deploy?service=we&tag=blue", "payload")
        .await
        .json();
    assert_eq!(
        (&fired["Payload"], &fired["LTime"]),
        (&json!("cGF5bG9hZA=="), &json!(0))
    );
    let got = waiting.await.expect("no panic").json();
    assert_eq!(
        (&got[0]["ID"], &got[0]["TagFilter"]),
        (&fired["ID"], &json!("blue"))
    );
    registry
        .put("/v1/event/fire/deploy?node=elsewhere", "")
        .await;
    registry.put("/v1/event/fire/other", "").await;
    let named = registry.get("/v1/event/list?name=deploy").await.json();
    assert_eq!(named.as_array().map(Vec::len), Some(1), "not for this node");
    assert_eq!(
        registry
            .get("/v1/event/list")
            .await
            .json()
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}

#[tokio::test]
async fn bad_events_are_refused() {
    let registry = start().await;
    assert_eq!(
        registry.put("/v1/event/fire/", "").await.text(),
        "Missing name"
    );
    assert_eq!(
        registry
            .put("/v1/event/fire/a", &"x".repeat(414))
            .await
            .status,
        200
    );
    assert_eq!(
        registry
            .put("/v1/event/fire/a", &"x".repeat(415))
            .await
            .status,
        500
    );
    assert_eq!(
        registry.put("/v1/event/fire/a?node=(", "").await.status,
        500
    );
    let tag = registry.put("/v1/event/fire/a?tag=x", "").await;
    assert_eq!(
        tag.text(),
        "Cannot provide tag filter without service filter"
    );
}
