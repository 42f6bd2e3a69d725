//! Access control over the wire. The statuses and texts are what Consul 1.8.7 answered with the same rules and
//! `default_policy = "deny"`; the few that differ on purpose say so.

use std::path::PathBuf;

use registrar::registry::{AccessConfig, RegistryConfig, Secret};
use serde_json::json;

use super::support::{Got, Running, config, start_with};

const RULES: &str = r#"
token "web"   { secret = "web-token"
  service_prefix "web" { policy = "write" }  service "db" { policy = "read" }  node_prefix "" { policy = "read" } }
token "blind" { secret = "blind-token"  service_prefix "web" { policy = "write" } }
token "kv"    { secret = "kv-token"
  key_prefix "app/" { policy = "write" }  key_prefix "cfg/" { policy = "read" }  key_prefix "app/secret" { policy = "deny" } }
token "node"  { secret = "node-token"  node_prefix "" { policy = "write" }  service_prefix "" { policy = "write" } }
token "sess"  { secret = "sess-token"  session_prefix "" { policy = "write" } }
token "agent" { secret = "agent-token"  agent_prefix "" { policy = "write" } }
token "query" { secret = "query-token"  query_prefix "q" { policy = "write" } }
token "event" { secret = "event-token"  event_prefix "dep" { policy = "write" } }
"#;

struct Guarded {
    registry: Running,
    rules: PathBuf,
    _folder: tempfile::TempDir,
}

impl Guarded {
    /// `who` is a token's name, `root`, `bad`, or empty for nobody.
    async fn send(&self, who: &str, method: &str, path: &str, body: &str) -> Got {
        let header = match who {
            "" => String::new(),
            who => format!("X-Consul-Token: {who}-token\r\n"),
        };
        self.registry.send(method, path, &header, body).await
    }

    /// Whether each of the askers gets the status, and the text where there is one.
    async fn expect(&self, method: &str, path: &str, body: &str, cases: &[(&str, u16, &str)]) {
        for (who, status, text) in cases {
            let got = self.send(who, method, path, body).await;
            let said = got.text();
            assert!(
                got.status == *status && (text.is_empty() || said == *text),
                "{method} {path} as {who:?}: {} {said:?}, expected {status} {text:?}",
                got.status
            );
        }
    }
}

async fn guarded() -> Guarded {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules.hcl");
    std::fs::write(&rules, RULES).expect("a file");
    let registry = start_with(RegistryConfig {
        access: AccessConfig {
            tokens: vec![Secret::new("root-token").expect("a token")],
            files: vec![rules.clone()],
            ..AccessConfig::default()
        },
        ..config()
    })
    .await;
    let guarded = Guarded {
        registry,
        rules,
        _folder: folder,
    };
    for name in ["web", "db"] {
        let body = json!({"Name": name, "ID": format!("{name}1"), "Check": {"TTL": "1h", "Status": "passing"}});
        let path = "/v1/agent/service/register";
        guarded
            .expect("PUT", path, &body.to_string(), &[("root", 200, "")])
            .await;
    }
    for key in ["app/a", "app/secret/x", "cfg/b", "oth/d"] {
        let path = format!("/v1/kv/{key}");
        guarded
            .expect("PUT", &path, "v", &[("root", 200, "true")])
            .await;
    }
    guarded
}

const DENIED: &str = "Permission denied";
const UNKNOWN: &str = "ACL not found";

#[tokio::test]
async fn writes_through_the_agent_need_the_service_or_the_node() {
    let guarded = guarded().await;
    let no_web = "Permission denied: Missing service:write on web";
    let no_db = "Permission denied: Missing service:write on db";
    let no_node = "Permission denied: Missing node:write on here";
    let register = "/v1/agent/service/register";
    let web = [
        ("", 403, no_web),
        ("bad", 403, UNKNOWN),
        ("kv", 403, no_web),
        ("web", 200, ""),
        ("blind", 200, ""),
    ];
    let db = [("", 403, no_db), ("web", 403, no_db), ("node", 200, "")];
    guarded
        .expect("PUT", register, r#"{"Name": "web"}"#, &web)
        .await;
    guarded
        .expect("PUT", register, r#"{"Name": "db"}"#, &db)
        .await;
    // An id of another service is not taken over, whatever its case, nor is a check of another service.
    let over = [("web", 403, no_web), ("blind", 403, no_web)];
    guarded
        .expect("PUT", register, r#"{"Name": "web", "ID": "DB1"}"#, &over)
        .await;
    let check = r#"{"Name": "web", "Check": {"CheckID": "service:db1", "TTL": "1h"}}"#;
    guarded.expect("PUT", register, check, &over).await;
    guarded
        .expect("PUT", register, "{", &[("", 400, ""), ("bad", 400, "")])
        .await;
    guarded
        .expect("PUT", register, "{}", &[("", 400, "Missing service name")])
        .await;
    let maintain = |id: &str| format!("/v1/agent/service/maintenance/{id}?enable=true");
    guarded.expect("PUT", &maintain("web1"), "", &web).await;
    guarded.expect("PUT", &maintain("db1"), "", &db).await;
    let unknown = [
        ("", 500, "Unknown service {\"no\" {}}"),
        ("bad", 403, UNKNOWN),
    ];
    guarded.expect("PUT", &maintain("no"), "", &unknown).await;
    let register = "/v1/agent/check/register";
    guarded
        .expect(
            "PUT",
            register,
            r#"{"Name": "n", "TTL": "1h"}"#,
            &[("web", 403, no_node), ("node", 200, "")],
        )
        .await;
    guarded
        .expect(
            "PUT",
            register,
            r#"{"Name": "w", "TTL": "1h", "ServiceID": "web1"}"#,
            &web,
        )
        .await;
    guarded
        .expect("PUT", "/v1/agent/check/pass/service:web1", "", &web)
        .await;
    guarded
        .expect("PUT", "/v1/agent/check/fail/service:db1", "", &db)
        .await;
    guarded
        .expect(
            "PUT",
            "/v1/agent/check/pass/n",
            "",
            &[("", 403, no_node), ("web", 403, no_node)],
        )
        .await;
    guarded
        .expect(
            "PUT",
            "/v1/agent/check/pass/no",
            "",
            &[("", 500, "Unknown check \"no\"")],
        )
        .await;
    guarded
        .expect("PUT", "/v1/agent/service/deregister/web1", "", &web[..4])
        .await;
    guarded
        .expect("PUT", "/v1/agent/service/deregister/db1", "", &db)
        .await;
    let plain = [
        ("", 403, DENIED),
        ("web", 403, DENIED),
        ("agent", 403, DENIED),
        ("node", 200, ""),
    ];
    guarded
        .expect("PUT", "/v1/agent/maintenance?enable=false", "", &plain)
        .await;
    let agent = [
        ("", 403, DENIED),
        ("bad", 403, UNKNOWN),
        ("node", 403, DENIED),
        ("agent", 200, ""),
    ];
    guarded.expect("GET", "/v1/agent/self", "", &agent).await;
    guarded.expect("PUT", "/v1/agent/reload", "", &agent).await;
}

#[tokio::test]
async fn writes_to_the_catalog_need_what_they_change() {
    let guarded = guarded().await;
    let register = "/v1/catalog/register";
    let node = r#"{"Node": "ext", "Address": "192.0.2.1"}"#;
    let web = r#"{"Node": "ext", "Address": "192.0.2.1", "Service": {"Service": "web"}}"#;
    let other = r#"{"Node": "ext", "Address": "192.0.2.2", "Service": {"Service": "web"}}"#;
    // The node is not there yet: it would be made.
    guarded
        .expect(
            "PUT",
            register,
            web,
            &[("web", 403, DENIED), ("blind", 403, DENIED)],
        )
        .await;
    guarded
        .expect(
            "PUT",
            register,
            node,
            &[("", 403, DENIED), ("bad", 403, UNKNOWN), ("node", 200, "")],
        )
        .await;
    // Consul answers `true` to everybody here, since nothing changes.
    guarded
        .expect("PUT", register, node, &[("", 403, DENIED)])
        .await;
    guarded
        .expect(
            "PUT",
            register,
            web,
            &[("kv", 403, DENIED), ("web", 200, ""), ("blind", 200, "")],
        )
        .await;
    guarded
        .expect("PUT", register, other, &[("web", 403, DENIED)])
        .await;
    let check = r#"{"Node": "ext", "Address": "192.0.2.1", "Check": {"CheckID": "c", "ServiceID": "web", "Status": "passing"}}"#;
    guarded
        .expect(
            "PUT",
            register,
            check,
            &[("", 403, DENIED), ("web", 200, "")],
        )
        .await;
    let check = r#"{"Node": "ext", "Address": "192.0.2.1", "Check": {"CheckID": "n", "Status": "passing"}}"#;
    guarded
        .expect(
            "PUT",
            register,
            check,
            &[("web", 403, DENIED), ("node", 200, "")],
        )
        .await;
    let deregister = "/v1/catalog/deregister";
    let at = |what: &str| format!(r#"{{"Node": "ext"{what}}}"#);
    let none = [("web", 500, "Unknown service 'no'"), ("node", 200, "true")];
    guarded
        .expect("PUT", deregister, &at(r#", "ServiceID": "no""#), &none)
        .await;
    let check = [
        ("", 403, DENIED),
        ("web", 403, DENIED),
        ("node", 200, "true"),
    ];
    guarded
        .expect("PUT", deregister, &at(r#", "CheckID": "n""#), &check)
        .await;
    guarded
        .expect(
            "PUT",
            deregister,
            &at(r#", "ServiceID": "web""#),
            &[("kv", 403, DENIED), ("web", 200, "true")],
        )
        .await;
    guarded.expect("PUT", deregister, &at(""), &check).await;
}

#[tokio::test]
async fn rows_are_left_out_for_who_may_not_read_them() {
    let guarded = guarded().await;
    let length = |got: Got| match got.json() {
        serde_json::Value::Array(rows) => rows.len(),
        serde_json::Value::Object(rows) => rows.len(),
        _ => 0,
    };
    // Rows seen without a token, with rights on services but not on nodes, with both, and with all.
    let table = [
        ("/v1/catalog/nodes", [0, 0, 1, 1]),
        ("/v1/catalog/services", [0, 1, 2, 3]),
        ("/v1/catalog/service/web", [0, 0, 1, 1]),
        ("/v1/catalog/service/db", [0, 0, 1, 1]),
        ("/v1/catalog/node/here", [0, 0, 2, 2]),
        ("/v1/health/service/web", [0, 0, 1, 1]),
        ("/v1/health/service/consul", [0, 0, 0, 1]),
        ("/v1/health/checks/db", [0, 0, 1, 1]),
        ("/v1/health/node/here", [0, 0, 3, 3]),
        ("/v1/health/state/any", [0, 0, 3, 3]),
        ("/v1/agent/services", [0, 1, 2, 2]),
        ("/v1/agent/checks", [0, 1, 2, 2]),
        ("/v1/agent/members", [0, 0, 1, 1]),
    ];
    for (path, expected) in table {
        for (who, rows) in ["", "blind", "web", "root"].into_iter().zip(expected) {
            assert_eq!(
                length(guarded.send(who, "GET", path, "").await),
                rows,
                "{path} as {who:?}"
            );
        }
        guarded
            .expect("GET", path, "", &[("bad", 403, UNKNOWN)])
            .await;
    }
    let instance = [("", 403, DENIED), ("kv", 403, DENIED), ("blind", 200, "")];
    for path in [
        "/v1/agent/service/web1",
        "/v1/agent/health/service/id/web1",
        "/v1/agent/health/service/name/web",
    ] {
        guarded.expect("GET", path, "", &instance).await;
    }
    for path in ["/v1/status/leader", "/v1/catalog/datacenters"] {
        guarded
            .expect("GET", path, "", &[("", 200, ""), ("bad", 200, "")])
            .await;
    }
}

#[tokio::test]
async fn keys_are_read_and_written_by_their_prefixes() {
    let guarded = guarded().await;
    let get = |allowed: u16| {
        [
            ("", 403, DENIED),
            ("bad", 403, UNKNOWN),
            ("web", 403, DENIED),
            ("kv", allowed, ""),
        ]
    };
    for (key, allowed) in [
        ("app/a", 200),
        ("app/none", 404),
        ("cfg/b", 200),
        ("app/secret/x", 403),
        ("oth/d", 403),
    ] {
        guarded
            .expect("GET", &format!("/v1/kv/{key}"), "", &get(allowed))
            .await;
    }
    let keys = guarded.send("kv", "GET", "/v1/kv/?keys", "").await;
    assert_eq!(keys.json(), json!(["app/a", "cfg/b"]));
    let below = guarded.send("kv", "GET", "/v1/kv/?recurse", "").await;
    assert_eq!(below.json().as_array().map(Vec::len), Some(2));
    guarded
        .expect(
            "GET",
            "/v1/kv/?recurse",
            "",
            &[("", 404, ""), ("web", 404, "")],
        )
        .await;
    for (key, allowed) in [
        ("app/a", 200),
        ("cfg/b", 403),
        ("app/secret/x", 403),
        ("oth/d", 403),
    ] {
        let cases = [
            ("", 403, DENIED),
            ("kv", allowed, if allowed == 200 { "true" } else { DENIED }),
        ];
        guarded
            .expect("PUT", &format!("/v1/kv/{key}"), "w", &cases)
            .await;
        guarded
            .expect("DELETE", &format!("/v1/kv/{key}"), "", &cases)
            .await;
    }
    guarded
        .expect("DELETE", "/v1/kv/app/?recurse", "", &[("kv", 403, DENIED)])
        .await;
    guarded
        .expect(
            "DELETE",
            "/v1/kv/app/x/?recurse",
            "",
            &[("kv", 200, "true")],
        )
        .await;
    let set =
        |key: &str| format!(r#"[{{"KV": {{"Verb": "set", "Key": "{key}", "Value": "dg=="}}}}]"#);
    guarded
        .expect(
            "PUT",
            "/v1/txn",
            &set("app/a"),
            &[("kv", 200, ""), ("web", 409, ""), ("bad", 403, UNKNOWN)],
        )
        .await;
    let denied = guarded.send("kv", "PUT", "/v1/txn", &set("oth/a")).await;
    assert_eq!(
        (denied.status, denied.json()["Errors"][0]["What"].clone()),
        (409, json!(DENIED))
    );
    let read = r#"[{"KV": {"Verb": "get", "Key": "oth/d"}}]"#;
    let read = guarded.send("kv", "PUT", "/v1/txn", read).await;
    assert_eq!(
        (read.status, read.json()["Results"].clone()),
        (200, json!([]))
    );
}

#[tokio::test]
async fn sessions_queries_and_events_have_rules_of_their_own() {
    let guarded = guarded().await;
    let create = "/v1/session/create";
    guarded
        .expect(
            "PUT",
            create,
            "{}",
            &[("", 403, DENIED), ("node", 403, DENIED)],
        )
        .await;
    let made = guarded.send("sess", "PUT", create, "{}").await.json();
    let id = made["ID"].as_str().expect("an id").to_owned();
    let list = guarded.send("web", "GET", "/v1/session/list", "").await;
    assert_eq!(
        (list.json(), list.header("x-consul-knownleader")),
        (json!([]), Some("true"))
    );
    guarded
        .expect(
            "PUT",
            &format!("/v1/session/destroy/{id}"),
            "",
            &[("web", 403, DENIED), ("sess", 200, "true")],
        )
        .await;
    let query = |name: &str| {
        format!(r#"{{"Name": "{name}", "Token": "web-token", "Service": {{"Service": "web"}}}}"#)
    };
    guarded
        .expect(
            "POST",
            "/v1/query",
            &query("zz"),
            &[("", 403, DENIED), ("query", 403, DENIED)],
        )
        .await;
    let made = guarded
        .send("query", "POST", "/v1/query", &query("qweb"))
        .await
        .json();
    let path = format!("/v1/query/{}", made["ID"].as_str().expect("an id"));
    guarded
        .expect(
            "GET",
            &path,
            "",
            &[("web", 403, DENIED), ("query", 200, "")],
        )
        .await;
    let shown = guarded.send("query", "GET", &path, "").await.json();
    assert_eq!(shown[0]["Token"], "<hidden>");
    // It sees what its own token sees, whoever carries it out.
    let done = guarded
        .send("", "GET", "/v1/query/qweb/execute", "")
        .await
        .json();
    assert_eq!(done["Nodes"].as_array().map(Vec::len), Some(1));
    guarded
        .expect("PUT", &path, &query("zz"), &[("query", 403, DENIED)])
        .await;
    guarded
        .expect(
            "DELETE",
            &path,
            "",
            &[("web", 403, DENIED), ("query", 200, "")],
        )
        .await;
    guarded
        .expect(
            "PUT",
            "/v1/event/fire/deploy",
            "x",
            &[("", 403, DENIED), ("bad", 500, UNKNOWN), ("event", 200, "")],
        )
        .await;
    guarded
        .expect(
            "PUT",
            "/v1/event/fire/other",
            "x",
            &[("event", 403, DENIED)],
        )
        .await;
    let seen = guarded.send("web", "GET", "/v1/event/list", "").await;
    assert_eq!(seen.json(), json!([]));
}

#[tokio::test]
async fn a_query_that_waits_is_answered_by_what_its_token_may_see_then() {
    let guarded = guarded().await;
    let path = "/v1/health/service/web?token=web-token";
    let index = guarded.registry.get(path).await.index();
    let waiting = guarded.registry.waiting(path, index).await;
    std::fs::write(&guarded.rules, RULES.replace("web-token", "new-token")).expect("a file");
    guarded
        .expect("PUT", "/v1/agent/reload", "", &[("root", 200, "")])
        .await;
    guarded
        .expect(
            "PUT",
            "/v1/agent/check/fail/service:web1",
            "",
            &[("root", 200, "")],
        )
        .await;
    let got = waiting.await.expect("an answer");
    assert_eq!((got.status, got.text().as_str()), (403, UNKNOWN));
    let own = guarded
        .registry
        .get("/v1/acl/token/self?token=new-token")
        .await;
    assert_eq!(own.json()["AccessorID"], "web");
    std::fs::write(&guarded.rules, "token {").expect("a file");
    let refused = guarded.send("root", "PUT", "/v1/agent/reload", "").await;
    assert!(
        refused.status == 500 && refused.text().contains("rules.hcl:1:"),
        "{refused:?}"
    );
    guarded
        .expect(
            "GET",
            "/v1/acl/token/self",
            "",
            &[("new", 200, ""), ("web", 403, UNKNOWN)],
        )
        .await;
}

#[tokio::test]
async fn a_snapshot_is_for_who_may_do_everything() {
    let guarded = guarded().await;
    let cases = [
        ("", 403, "Permission denied"),
        ("agent", 403, "Permission denied"),
        ("node", 403, "Permission denied"),
        ("nobody", 403, "ACL not found"),
        ("root", 200, ""),
    ];
    guarded.expect("GET", "/v1/snapshot", "", &cases).await;
    let cases = [("kv", 403, "Permission denied"), ("root", 400, "")];
    guarded.expect("PUT", "/v1/snapshot", "x", &cases).await;
}
