//! What a generated step reads, and what it waits for: every read of the API, over the names that writes use.

use fastrand::Rng;

use super::writes::{CHECKS, IDS, KEYS, NAMES, NODES, QUERIES, SESSIONS, TAGS};
use super::{one, percent};
use crate::pair::Request;

/// Text in a query, escaped.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// A filter on instances with their checks.
fn filter(chance: &mut Rng, deep: u32) -> String {
    if deep > 0 && percent(chance, 40) {
        let (a, b) = (filter(chance, deep - 1), filter(chance, deep - 1));
        return match chance.u32(..3) {
            0 => format!("{a} and {b}"),
            1 => format!("({a}) or {b}"),
            _ => format!("not ({a})"),
        };
    }
    let texts = [
        ("Service.ID", "a"),
        ("Service.Service", "web"),
        ("Service.Address", "10.0.0.1"),
        ("Node.Node", "ext1"),
        ("Node.Address", "127.0.0.1"),
        ("Checks.Status", "passing"),
        ("Checks.CheckID", "service:a"),
        ("Service.Meta.m", "1"),
        ("Node.Meta.m", "1"),
    ];
    match chance.u32(..7) {
        0 => format!("Service.Tags contains \"{}\"", one(chance, TAGS)),
        1 => format!("\"{}\" not in Service.Tags", one(chance, TAGS)),
        2 => format!("Service.Port == {}", chance.u32(..3)),
        3 => format!("Service.{} is not empty", one(chance, &["Tags", "Meta"])),
        operator => {
            let (selector, value) = texts[chance.usize(..texts.len())];
            let sign = ["==", "!=", "matches"][operator as usize - 4];
            format!("{selector} {sign} \"{value}\"")
        }
    }
}

/// A path that can be waited on.
pub(super) fn blocking(chance: &mut Rng) -> String {
    let (name, node, key) = (one(chance, NAMES), one(chance, NODES), one(chance, KEYS));
    match chance.u32(..14) {
        0 | 1 => format!("/v1/health/service/{name}"),
        2 | 3 => format!("/v1/health/service/{name}?passing"),
        4 => format!("/v1/health/service/{name}?tag={}", one(chance, TAGS)),
        5 => format!("/v1/catalog/service/{name}"),
        6 => "/v1/catalog/services".to_owned(),
        7 => "/v1/catalog/nodes".to_owned(),
        8 => format!("/v1/catalog/node/{node}"),
        9 => format!("/v1/health/node/{node}"),
        10 => format!("/v1/health/checks/{name}"),
        11 => format!(
            "/v1/health/state/{}",
            one(chance, &["any", "passing", "warning", "critical"])
        ),
        12 => format!("/v1/kv/{key}"),
        _ => one(
            chance,
            &["/v1/kv/k?recurse", "/v1/kv/k/?keys", "/v1/session/list"],
        )
        .to_owned(),
    }
}

/// Anything that can be read.
pub(super) fn read(chance: &mut Rng) -> Request {
    let (id, name, node) = (one(chance, IDS), one(chance, NAMES), one(chance, NODES));
    Request::get(match chance.u32(..30) {
        0 => "/v1/agent/services".to_owned(),
        1 => "/v1/agent/checks".to_owned(),
        2 => format!("/v1/agent/service/{id}"),
        3 => format!("/v1/agent/health/service/id/{id}"),
        4 => format!("/v1/agent/health/service/name/{name}"),
        5 | 6 => format!(
            "/v1/health/service/{name}?filter={}",
            escape(&filter(chance, 2))
        ),
        7 => format!("/v1/catalog/node-services/{node}"),
        8 => format!("/v1/catalog/service/{name}?tag={}", one(chance, TAGS)),
        9 => "/v1/kv/?keys&separator=/".to_owned(),
        10 => "/v1/kv/k?recurse".to_owned(),
        11 => format!("/v1/session/info/${}", one(chance, SESSIONS)),
        12 => format!("/v1/session/node/{node}"),
        13 => format!(
            "/v1/agent/checks?filter=CheckID==%22{}%22",
            one(chance, CHECKS)
        ),
        14 => format!("/v1/catalog/nodes?filter=Node==%22{node}%22"),
        15 => format!("/v1/health/state/any?filter=Node==%22{node}%22"),
        16 => format!("/v1/health/service/{name}?node-meta=m:1"),
        17 => "/v1/query".to_owned(),
        18 => format!("/v1/query/${}", one(chance, QUERIES)),
        19 => format!("/v1/query/{}/explain", one(chance, QUERIES)),
        20 => format!("/v1/query/{}-{name}/execute", one(chance, QUERIES)),
        21 => format!("/v1/query/{}/execute", one(chance, QUERIES)),
        _ => blocking(chance),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_reads_the_same() {
        let reads = |seed| {
            let mut chance = Rng::with_seed(seed);
            (0..50).map(|_| read(&mut chance).path).collect::<Vec<_>>()
        };
        assert_eq!(reads(7), reads(7));
        assert_ne!(reads(7), reads(8));
    }
}
