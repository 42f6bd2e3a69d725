//! Moving up, between two embedded registries: what is copied, what is left alone, who is woken, and that whatever goes
//! wrong leaves the registry as it was.

use std::path::Path;

use registrar::registry::{Registry, RegistryConfig};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::Running;

/// A registry of its own name, with what else `change` asks for.
async fn start(node: &str, change: impl FnOnce(&mut RegistryConfig)) -> Running {
    let mut config = RegistryConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        node: node.into(),
        ..RegistryConfig::default()
    };
    change(&mut config);
    let registry = Registry::bind(config).await.expect("it starts");
    let address = registry.local_addr();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(registry.run(shutdown.clone()));
    Running {
        address,
        shutdown,
        task,
    }
}

async fn ask_to_join(registry: &Running, target: &str) {
    let body = json!({ "Address": target }).to_string();
    let got = registry.put("/v1/turno/join", &body).await;
    assert_eq!(got.status, 200, "{}", got.text());
}

/// Waits until the progress of a move is as `good` says.
async fn until(registry: &Running, good: impl Fn(&Value) -> bool) -> Value {
    registry.until("/v1/turno/join", good).await
}

async fn moved(registry: &Running, target: &Running) -> Value {
    ask_to_join(registry, &format!("http://{}", target.address)).await;
    until(registry, |progress| progress["State"] == "forwarding").await
}

/// Without what differs from one registry to another.
fn plain(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            for name in [
                "CreateIndex",
                "ModifyIndex",
                "ID",
                "Node",
                "TaggedAddresses",
            ] {
                map.remove(name);
            }
            Value::Object(
                map.iter()
                    .map(|(k, v)| (k.clone(), plain(v.clone())))
                    .collect(),
            )
        }
        Value::Array(list) => Value::Array(list.drain(..).map(plain).collect()),
        _ => value,
    }
}

#[tokio::test]
async fn everything_is_there_afterwards_as_it_was_here() {
    let (here, there) = (start("here", |_| {}).await, start("there", |_| {}).await);
    here.register(
        r#"{"ID":"w1","Name":"web","Port":80,"Tags":["a","b"],"Meta":{"m":"1"},"Weights":{"Passing":5,"Warning":2},
            "Checks":[{"CheckID":"ttl","Name":"n","Notes":"o","TTL":"1h"},{"CheckID":"al","AliasService":"w2"}]}"#,
    )
    .await;
    here.put(
        "/v1/agent/check/update/ttl",
        r#"{"Status":"warning","Output":"so so"}"#,
    )
    .await;
    here.register(r#"{"ID":"w2","Name":"web","Port":81,"Address":"10.0.0.7"}"#)
        .await;
    here.put(
        "/v1/agent/service/maintenance/w2?enable=true&reason=why",
        "",
    )
    .await;
    let node = r#"{"Node":"far","Address":"10.0.0.1","NodeMeta":{"x":"1"},"Service":{"ID":"d1","Service":"db","Port":1},
        "Checks":[{"Name":"own","Status":"warning"},{"Name":"its","Status":"passing","ServiceID":"d1"}]}"#;
    here.put("/v1/catalog/register", node).await;
    here.put("/v1/kv/a/b?flags=3", "value").await;
    let query = r#"{"Name":"q","Service":{"Service":"web","Tags":["a"]}}"#;
    here.send("POST", "/v1/query", "", query).await;
    let pages = [
        "/v1/health/service/web",
        "/v1/health/service/db",
        "/v1/agent/services",
        "/v1/agent/checks",
        "/v1/kv/?recurse",
        "/v1/query",
        "/v1/query/q/execute",
    ];
    let mut before = Vec::new();
    for page in pages {
        before.push(plain(here.get(page).await.json()));
    }

    let progress = moved(&here, &there).await;

    assert_eq!(progress["Moved"]["Services"], 2, "{progress}");
    for (page, before) in pages.iter().zip(before) {
        let after = plain(there.get(page).await.json());
        assert_eq!(after, before, "{page}");
        assert_eq!(
            plain(here.get(page).await.json()),
            after,
            "{page} passed on"
        );
    }
    let own = there.get("/v1/catalog/node/here").await.json();
    assert_eq!(own, Value::Null, "the old node is not a node there");
}

#[tokio::test]
async fn a_waiting_query_is_answered_at_the_move_and_its_index_goes_on() {
    let (here, there) = (start("here", |_| {}).await, start("there", |_| {}).await);
    here.register(r#"{"Name":"web","Port":80}"#).await;
    for n in 0..50 {
        here.put(&format!("/v1/kv/{n}"), "x").await;
    }
    let index = here.get("/v1/health/service/web").await.index();
    let query = here.waiting("/v1/health/service/web", index).await;

    moved(&here, &there).await;

    let got = query.await.expect("no panic");
    assert!(got.index() > index, "{got:?}");
    assert_eq!(got.json()[0]["Node"]["Node"], "there");
    // It waits at the target now, and only a change there wakes it.
    let waits = here.waiting("/v1/health/service/web", got.index()).await;
    assert!(!waits.is_finished());
    there
        .register(r#"{"ID":"w2","Name":"web","Port":81}"#)
        .await;
    let next = waits.await.expect("no panic");
    assert!(next.index() > got.index(), "{next:?}");
    assert_eq!(next.json().as_array().map(Vec::len), Some(2));
    // An index from before the move is answered at once.
    let path = format!("/v1/health/service/web?index={index}&wait=60s");
    let old = here.get(&path).await;
    assert_eq!(old.json().as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn what_the_target_has_already_stays_as_it_is() {
    let (here, there) = (start("here", |_| {}).await, start("there", |_| {}).await);
    here.put("/v1/kv/mine", "1").await;
    here.put("/v1/kv/both", "old").await;
    there.put("/v1/kv/both", "newer").await;
    let progress = moved(&here, &there).await;
    assert_eq!(there.get("/v1/kv/both?raw").await.text(), "newer");
    assert_eq!(there.get("/v1/kv/mine?raw").await.text(), "1");
    assert_eq!(progress["Moved"]["KeysKept"], 1, "{progress}");
}

#[tokio::test]
async fn sessions_stay_behind_and_are_named() {
    let (here, there) = (start("here", |_| {}).await, start("there", |_| {}).await);
    let keys = [
        ("release", "lock"),
        ("delete", "brief"),
        ("delete", "turno/agent/n1"),
    ];
    for (behavior, key) in keys {
        let session = json!({ "Behavior": behavior }).to_string();
        let session = here.put("/v1/session/create", &session).await.json();
        let id = session["ID"].as_str().expect("an id").to_owned();
        here.put(&format!("/v1/kv/{key}?acquire={id}"), "x").await;
    }
    let progress = moved(&here, &there).await;
    let left = progress["Moved"]["Left"].to_string();
    for word in ["3 sessions", "lock", "brief"] {
        assert!(left.contains(word), "{left}");
    }
    let lock = there.get("/v1/kv/lock").await.json();
    assert_eq!(lock[0].get("Session"), None, "{lock}");
    assert_eq!(there.get("/v1/kv/brief").await.status, 404);
    // What keeps reapers from a node is there for its owner to take.
    let guard = there.get("/v1/kv/turno/agent/n1").await.json();
    assert_eq!(guard[0]["Value"], "eA==");
    assert_eq!(guard[0].get("Session"), None, "{guard}");
}

#[tokio::test]
async fn while_it_cannot_move_it_goes_on_and_says_why() {
    let (here, there) = (start("here", |_| {}).await, start("there", |_| {}).await);
    here.register(r#"{"ID":"x","Name":"web","Port":80}"#).await;
    there
        .register(r#"{"ID":"x","Name":"other","Port":1}"#)
        .await;
    let itself = format!("http://{}", here.address);
    let other = format!("http://{}", there.address);
    for (target, word) in [
        ("http://127.0.0.1:1", "cannot reach"),
        (itself.as_str(), "itself"),
        (other.as_str(), "instance \\\"x\\\" of its own"),
    ] {
        ask_to_join(&here, target).await;
        let progress = until(&here, |progress| progress["Error"] != "").await;
        assert!(progress.to_string().contains(word), "{progress}");
        assert_eq!(progress["State"], "copying");
        let got = here.get("/v1/health/service/web").await;
        assert_eq!(got.json().as_array().map(Vec::len), Some(1));
        here.put("/v1/kv/still", "written").await;
    }
    // What stood in the way goes, and it moves by itself.
    there.put("/v1/agent/service/deregister/x", "").await;
    until(&here, |progress| progress["State"] == "forwarding").await;
    assert_eq!(there.get("/v1/kv/still?raw").await.text(), "written");
    let again = here
        .put("/v1/turno/join", r#"{"Address":"http://x"}"#)
        .await;
    assert_eq!(again.status, 409);
}

#[tokio::test]
async fn a_move_can_be_given_up() {
    let here = start("here", |_| {}).await;
    here.put("/v1/kv/a", "b").await;
    ask_to_join(&here, "http://127.0.0.1:1").await;
    until(&here, |progress| progress["Error"] != "").await;
    assert_eq!(
        here.send("DELETE", "/v1/turno/join", "", "").await.status,
        200
    );
    assert_eq!(here.get("/v1/turno/join").await.json()["State"], "alone");
    for bad in ["", "{}", r#"{"Address":""}"#, r#"{"Address":"ftp://x"}"#] {
        assert_eq!(here.put("/v1/turno/join", bad).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn it_does_not_move_before_the_target_sees_what_it_sees() {
    let (here, there) = (start("here", |_| {}).await, start("there", |_| {}).await);
    let origin = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let place = origin.local_addr().expect("it has one");
    let body = json!({"ID": "w", "Name": "web", "Check": {
        "TCP": place.to_string(), "Interval": "1s", "Status": "passing",
    }});
    here.register(&body.to_string()).await;
    // There it is known already, and is never run again soon enough.
    let slow = json!({"ID": "w", "Name": "web", "Check": {
        "CheckID": "service:w", "TCP": "127.0.0.1:1", "Interval": "1h",
    }});
    there.register(&slow.to_string()).await;
    let progress = moved(&here, &there).await;
    let got = there.get("/v1/health/service/web?passing").await.json();
    assert_eq!(got.as_array().map(Vec::len), Some(1), "{progress}");
    // The target's agent runs it now, and notices the end.
    drop(origin);
    let index = here.get("/v1/health/service/web?passing").await.index();
    let gone = here.waiting("/v1/health/service/web?passing", index).await;
    assert_eq!(gone.await.expect("no panic").json(), json!([]));
}

#[tokio::test]
async fn a_registry_that_has_moved_goes_on_so_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let in_folder = |path: &Path| {
        let path = path.to_owned();
        move |config: &mut RegistryConfig| config.data_dir = Some(path)
    };
    let there = start("there", |_| {}).await;
    let here = start("here", in_folder(folder.path())).await;
    here.register(r#"{"Name":"web","Port":80}"#).await;
    here.put("/v1/kv/a", "1").await;
    moved(&here, &there).await;
    here.put("/v1/kv/a", "2").await;
    here.send("DELETE", "/v1/kv/a", "", "").await;
    here.put("/v1/agent/service/deregister/web", "").await;
    let index = here.get("/v1/catalog/services").await.index();
    here.shutdown.cancel();
    let (address, target) = (here.address, format!("http://{}", there.address));
    drop(here);

    let here = start("here", |config| {
        in_folder(folder.path())(config);
        config.join = Some(target.clone());
    })
    .await;
    assert_ne!(here.address, address, "another port, the same folder");
    let got = here.get("/v1/catalog/services").await;
    assert_eq!(got.json().get("web"), None, "what is gone stays gone");
    assert!(got.index() >= index, "{} {index}", got.index());
    assert_eq!(here.get("/v1/kv/a").await.status, 404);
    let config = RegistryConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        node: "here".into(),
        data_dir: Some(folder.path().to_owned()),
        join: Some("http://127.0.0.1:1".into()),
        ..RegistryConfig::default()
    };
    let error = Registry::bind(config).await.err().map(|e| e.to_string());
    assert!(error.is_some_and(|text| text.contains("has moved to")));
}

#[tokio::test]
async fn with_nothing_to_move_it_forwards_at_once_and_says_when_nobody_answers() {
    let here = start("here", |config| {
        config.join = Some("http://127.0.0.1:1".into())
    })
    .await;
    let got = here.get("/v1/health/service/web").await;
    assert_eq!(
        (got.status, got.text().as_str()),
        (500, "No cluster leader")
    );
    let page = here.send("PUT", "/v1/kv/a", "Origin: http://evil.example\r\n", "x");
    assert_eq!(
        page.await.status,
        403,
        "pages from elsewhere are not passed on"
    );
}
