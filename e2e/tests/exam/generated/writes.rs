//! What a generated step does: every write of the API, over few names, some of it wrong.
//!
//! Left out is what differs by intent from the first moment and would hide the rest: ids that differ in case only, writes
//! to the agent's own node through the catalog (Consul takes them back after a while), times to live that run out, and
//! output of checks (Consul holds it back and then sends it along with something else). The written exchanges have those.

use fastrand::Rng;
use serde_json::{Value, json};

use super::{Action, one, percent, reads};
use crate::pair::Request;

pub(super) const IDS: &[&str] = &["a", "b", "c", "d"];
pub(super) const NAMES: &[&str] = &["web", "db", "api"];
pub(super) const TAGS: &[&str] = &["x", "y", "Z"];
pub(super) const NODES: &[&str] = &["e2e", "ext1", "ext2"];
pub(super) const KEYS: &[&str] = &["k/1", "k/2", "k/2/3", "l"];
pub(super) const SESSIONS: &[&str] = &["S0", "S1", "S2"];
/// Prepared queries, by name; the identifier of each is kept under the same name.
pub(super) const QUERIES: &[&str] = &["Q0", "Q1"];
pub(super) const CHECKS: &[&str] = &[
    "service:a",
    "service:b",
    "service:c",
    "a-1",
    "b-1",
    "c-1",
    "n1",
    "n2",
];
const OUTSIDE: &[&str] = &["ext1", "ext2"];
const STATUSES: &[&str] = &["passing", "warning", "critical"];

/// What is done next.
pub(super) fn action(chance: &mut Rng) -> Action {
    Action::Do(match chance.u32(..100) {
        0..=17 => register(chance),
        18..=23 => put(format!("/v1/agent/service/deregister/{}", one(chance, IDS))),
        24..=37 => report(chance),
        38..=41 => check(chance),
        42..=43 => put(format!(
            "/v1/agent/check/deregister/{}",
            one(chance, CHECKS)
        )),
        44..=46 => maintenance(chance),
        47..=56 => outside(chance),
        57..=60 => leave(chance),
        61..=70 => key(chance),
        71..=73 => delete(chance),
        74..=76 => {
            let path = format!("/v1/kv/{}", one(chance, KEYS));
            return Action::Take("I", "0.ModifyIndex", Request::get(path));
        }
        77..=80 => {
            let name = one(chance, SESSIONS);
            return Action::Take(name, "ID", session(chance));
        }
        81 => put(format!("/v1/session/destroy/${}", one(chance, SESSIONS))),
        82 => put(format!("/v1/session/renew/${}", one(chance, SESSIONS))),
        83..=87 => transaction(chance),
        88 => wrong(chance),
        89 => {
            let name = one(chance, QUERIES);
            return Action::Take(
                name,
                "ID",
                Request::new("POST", "/v1/query", query(chance, name)),
            );
        }
        90 => {
            let name = one(chance, QUERIES);
            let path = format!("/v1/query/${name}");
            if percent(chance, 50) {
                Request::new("DELETE", path, "")
            } else {
                Request::new("PUT", path, query(chance, name))
            }
        }
        _ => return Action::Watch(reads::blocking(chance)),
    })
}

fn put(path: String) -> Request {
    Request::new("PUT", path, "")
}

/// Some tags, or none. An empty list is not written: to Consul that is a change from no list.
fn put_tags(chance: &mut Rng, service: &mut Value) {
    let tags: Vec<&str> = TAGS.iter().copied().filter(|_| chance.bool()).collect();
    if !tags.is_empty() && percent(chance, 60) {
        service["Tags"] = json!(tags);
    }
}

fn register(chance: &mut Rng) -> Request {
    let at = chance.usize(..IDS.len());
    let id = IDS[at];
    // An id nearly always has the name it had: what a rename does is an exam of its own.
    let name = NAMES[at % NAMES.len()];
    let mut body = json!({ "ID": id, "Name": name, "Port": chance.u32(..3) });
    put_tags(chance, &mut body);
    if percent(chance, 30) {
        body["Address"] = json!("10.0.0.1");
    }
    if percent(chance, 20) {
        body["Meta"] = json!({ "m": one(chance, &["1", "2"]) });
    }
    if percent(chance, 10) {
        body["Weights"] = json!({ "Passing": 5, "Warning": 2 });
    }
    if percent(chance, 10) {
        body["EnableTagOverride"] = json!(true);
        if body["Tags"].as_array().is_none_or(Vec::is_empty) {
            // Of an instance whose tags others may change, Consul's agent takes no tags for a change of them: at some
            // moment of the next minute it writes the instance and its checks anew.
            body["Tags"] = json!(["x"]);
        }
    }
    if percent(chance, 50) {
        body["Check"] = ttl(chance);
    }
    if percent(chance, 20) {
        let mut check = ttl(chance);
        check["CheckID"] = json!(format!("{id}-1"));
        body["Checks"] = json!([check]);
    }
    let query = if percent(chance, 20) {
        "?replace-existing-checks"
    } else {
        ""
    };
    Request::new(
        "PUT",
        format!("/v1/agent/service/register{query}"),
        body.to_string(),
    )
}

fn ttl(chance: &mut Rng) -> Value {
    let mut check = json!({ "TTL": "1h" });
    if percent(chance, 60) {
        check["Status"] = json!(one(chance, STATUSES));
    }
    if percent(chance, 20) {
        check["Notes"] = json!("a note");
    }
    check
}

fn report(chance: &mut Rng) -> Request {
    let check = one(chance, CHECKS);
    if percent(chance, 25) {
        let body = json!({ "Status": one(chance, STATUSES), "Output": "" });
        return Request::new(
            "PUT",
            format!("/v1/agent/check/update/{check}"),
            body.to_string(),
        );
    }
    let verb = one(chance, &["pass", "warn", "fail"]);
    put(format!("/v1/agent/check/{verb}/{check}"))
}

fn check(chance: &mut Rng) -> Request {
    let mut body = ttl(chance);
    if chance.bool() {
        let id = one(chance, IDS);
        body["ID"] = json!(format!("{id}-1"));
        body["ServiceID"] = json!(id);
    } else {
        body["ID"] = json!(one(chance, &["n1", "n2"]));
    }
    body["Name"] = json!("by itself");
    Request::new("PUT", "/v1/agent/check/register", body.to_string())
}

fn maintenance(chance: &mut Rng) -> Request {
    let enable = one(
        chance,
        &["enable=true", "enable=false", "enable=true&reason=r"],
    );
    if percent(chance, 75) {
        put(format!(
            "/v1/agent/service/maintenance/{}?{enable}",
            one(chance, IDS)
        ))
    } else {
        put(format!("/v1/agent/maintenance?{enable}"))
    }
}

fn outside(chance: &mut Rng) -> Request {
    let mut body =
        json!({ "Node": one(chance, OUTSIDE), "Address": one(chance, &["10.0.0.1", "10.0.0.2"]) });
    if percent(chance, 25) {
        body["NodeMeta"] = json!({ "m": "1" });
    }
    if percent(chance, 70) {
        let at = chance.usize(..IDS.len());
        body["Service"] =
            json!({ "ID": IDS[at], "Service": NAMES[at % NAMES.len()], "Port": chance.u32(..3) });
        put_tags(chance, &mut body["Service"]);
        if percent(chance, 40) {
            body["Check"] = json!({ "CheckID": format!("{}-1", IDS[at]), "Name": "outside", "Status": one(chance, STATUSES), "ServiceID": IDS[at] });
        }
    } else if percent(chance, 60) {
        body["Check"] =
            json!({ "CheckID": "n1", "Name": "outside", "Status": one(chance, STATUSES) });
    }
    if percent(chance, 10) {
        body["SkipNodeUpdate"] = json!(true);
    }
    Request::new("PUT", "/v1/catalog/register", body.to_string())
}

fn leave(chance: &mut Rng) -> Request {
    let mut body = json!({ "Node": one(chance, OUTSIDE) });
    match chance.u32(..4) {
        0 => {}
        1 => body["CheckID"] = json!(one(chance, &["n1", "a-1", "b-1"])),
        _ => body["ServiceID"] = json!(one(chance, IDS)),
    }
    Request::new("PUT", "/v1/catalog/deregister", body.to_string())
}

fn key(chance: &mut Rng) -> Request {
    let key = one(chance, KEYS);
    let session = one(chance, SESSIONS);
    let query = match chance.u32(..9) {
        0 => "?cas=0".to_owned(),
        1 | 2 => "?cas=$I".to_owned(),
        3 => "?flags=7".to_owned(),
        4 | 5 => format!("?acquire=${session}"),
        6 => format!("?release=${session}"),
        _ => String::new(),
    };
    Request::new(
        "PUT",
        format!("/v1/kv/{key}{query}"),
        one(chance, &["", "v", "w"]),
    )
}

fn delete(chance: &mut Rng) -> Request {
    let path = match chance.u32(..4) {
        0 => "/v1/kv/k/2?recurse".to_owned(),
        1 => format!("/v1/kv/{}?cas=$I", one(chance, KEYS)),
        _ => format!("/v1/kv/{}", one(chance, KEYS)),
    };
    Request::new("DELETE", path, "")
}

fn session(chance: &mut Rng) -> Request {
    let mut body = json!({ "LockDelay": "0s" });
    if chance.bool() {
        body["Behavior"] = json!(one(chance, &["release", "delete"]));
    }
    if percent(chance, 30) {
        body["Checks"] = json!(["serfHealth", one(chance, &["a-1", "service:a", "n1"])]);
    }
    if percent(chance, 15) {
        body["TTL"] = json!("3600s");
    }
    Request::new("PUT", "/v1/session/create", body.to_string())
}

/// A prepared query of that name; at times one for all names that begin so.
fn query(chance: &mut Rng, name: &str) -> String {
    let service = one(chance, NAMES);
    let mut body = json!({ "Name": name, "Service": { "Service": service } });
    if percent(chance, 30) {
        body["Service"]["OnlyPassing"] = json!(true);
    }
    if percent(chance, 30) {
        body["Service"]["Tags"] = json!([one(chance, &["x", "!x", "z"])]);
    }
    if percent(chance, 20) {
        body["Service"]["IgnoreCheckIDs"] = json!([one(chance, CHECKS)]);
    }
    if percent(chance, 20) {
        body["Template"] = json!({ "Type": "name_prefix_match", "Regexp": "^Q.-(.*)$" });
        body["Service"]["Service"] = json!("${match(1)}");
    }
    if percent(chance, 10) {
        body["Session"] = json!(format!("${}", one(chance, SESSIONS)));
    }
    body.to_string()
}

fn transaction(chance: &mut Rng) -> Request {
    let operations: Vec<Value> = (0..chance.u32(1..4)).map(|_| operation(chance)).collect();
    Request::new("PUT", "/v1/txn", json!(operations).to_string())
}

fn operation(chance: &mut Rng) -> Value {
    let (key, node) = (one(chance, KEYS), one(chance, OUTSIDE));
    let id = chance.usize(..IDS.len());
    let (id, name) = (IDS[id], NAMES[id % NAMES.len()]);
    match chance.u32(..10) {
        0 | 1 => json!({ "KV": { "Verb": "set", "Key": key, "Value": "dg==" } }),
        2 => json!({ "KV": { "Verb": "get", "Key": key } }),
        3 => {
            json!({ "KV": { "Verb": one(chance, &["delete", "delete-tree", "get-tree"]), "Key": key } })
        }
        4 => json!({ "KV": { "Verb": "cas", "Key": key, "Value": "dw==", "Index": 0 } }),
        5 => {
            json!({ "KV": { "Verb": one(chance, &["lock", "unlock", "check-session"]), "Key": key, "Value": "dg==", "Session": format!("${}", one(chance, SESSIONS)) } })
        }
        6 => json!({ "KV": { "Verb": "check-not-exists", "Key": key } }),
        7 => {
            json!({ "Node": { "Verb": one(chance, &["set", "get", "delete"]), "Node": { "Node": node, "Address": "10.0.0.1" } } })
        }
        8 => {
            json!({ "Service": { "Verb": one(chance, &["set", "get", "delete"]), "Node": node, "Service": { "ID": id, "Service": name, "Port": 1 } } })
        }
        _ => {
            json!({ "Check": { "Verb": one(chance, &["set", "get", "delete"]), "Check": { "Node": node, "CheckID": "n1", "Name": "outside", "Status": one(chance, STATUSES) } } })
        }
    }
}

/// Something that is refused, and must change nothing.
fn wrong(chance: &mut Rng) -> Request {
    let table = [
        ("PUT", "/v1/agent/service/register", "{}"),
        (
            "PUT",
            "/v1/agent/service/register",
            r#"{"Name":"web","ID":"a","Check":{"HTTP":"x"}}"#,
        ),
        (
            "PUT",
            "/v1/agent/service/register",
            r#"{"Name":"web","ID":"a","Address":"0.0.0.0"}"#,
        ),
        (
            "PUT",
            "/v1/agent/service/register",
            r#"{"Name":"web","ID":"a","Weights":{"Passing":0}}"#,
        ),
        (
            "PUT",
            "/v1/agent/check/register",
            r#"{"Name":"x","TTL":"1h","ServiceID":"never"}"#,
        ),
        (
            "PUT",
            "/v1/agent/check/update/service:a",
            r#"{"Status":"green"}"#,
        ),
        ("PUT", "/v1/catalog/register", r#"{"Node":"ext1"}"#),
        (
            "PUT",
            "/v1/catalog/register",
            r#"{"Node":"ext1","Address":"10.0.0.3","Check":{"CheckID":"x","ServiceID":"never"}}"#,
        ),
        ("PUT", "/v1/kv/l?cas=abc", "x"),
        ("PUT", "/v1/session/create", r#"{"TTL":"1s"}"#),
        ("POST", "/v1/kv/l", "x"),
    ];
    let (method, path, body) = table[chance.usize(..table.len())];
    Request::new(method, path, body)
}
