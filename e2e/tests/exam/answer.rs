//! An answer in the form in which two are compared: status, the headers that matter, the body as JSON where it is JSON.
//!
//! What must differ between two registries is replaced here, alike for both: identifiers by what they stand for, indexes by
//! their rank in the body and by how they moved since the last look. It does not know what may differ.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read as _;

use e2e::http::Answer;
use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};

/// Headers whose values are compared as they are.
const EXACT: [&str; 11] = [
    "content-type",
    "content-encoding",
    "vary",
    "allow",
    "location",
    "x-consul-knownleader",
    "x-consul-lastcontact",
    "x-consul-effective-consistency",
    "x-consul-reason",
    "x-consul-translate-addresses",
    "x-cache",
];

/// Headers whose values differ between any two registries: only how they moved since the last look is compared.
const MOVING: [&str; 2] = ["x-consul-index", "x-consul-contenthash"];

/// Fields whose numbers are replaced by their rank among those of the same body.
const RANKED: [&str; 3] = ["CreateIndex", "ModifyIndex", "Index"];

/// The length of a UUID as text.
const UUID: usize = 36;

/// What one registry has told so far that gives later answers their meaning.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// Values taken out of answers, by the name a script gave them.
    pub(crate) taken: BTreeMap<String, String>,
    /// What has this index or a lower one was there before the exam began.
    pub(crate) beginning: u64,
    /// The last value of each moving header, by path.
    last: BTreeMap<(String, &'static str), String>,
}

/// How a header moved since it was last seen for the same path.
fn movement(before: Option<&String>, now: &str) -> &'static str {
    let Some(before) = before else { return "first" };
    match (before.parse::<u64>(), now.parse::<u64>()) {
        (Ok(before), Ok(now)) if now > before => "up",
        (Ok(before), Ok(now)) if now < before => "down",
        _ if before == now => "same",
        _ => "other",
    }
}

impl Memory {
    /// The answer as it is compared. `fixed` is what the script itself names: such identifiers stay as they are.
    pub(crate) fn comparable(&self, path: &str, answer: &Answer, fixed: &str) -> Value {
        let mut headers = Map::new();
        for name in EXACT {
            if let Some(value) = answer.header(name) {
                headers.insert(name.to_owned(), json!(value));
            }
        }
        for name in MOVING {
            if let Some(value) = answer.header(name) {
                let before = self.last.get(&(path.to_owned(), name));
                headers.insert(name.to_owned(), json!(movement(before, value)));
            }
        }
        let bytes = content(answer);
        let mut body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        self.rename(&mut body, fixed);
        rank(&mut body, self.beginning);
        chance(&mut body);
        hash(&mut body);
        order(path, &mut body);
        let status = answer.status;
        json!({ "status": status, "header": headers, "body": body })
    }

    /// Keeps the moving headers of an answer, for the next look at `path`.
    pub(crate) fn keep(&mut self, path: &str, answer: &Answer) {
        for name in MOVING {
            if let Some(value) = answer.header(name) {
                self.last.insert((path.to_owned(), name), value.to_owned());
            }
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Memory::default();
    }

    /// Replaces what is in `$NAME` form by what was taken.
    pub(crate) fn fill(&self, text: &str) -> String {
        self.taken
            .iter()
            .rev()
            .fold(text.to_owned(), |text, (name, value)| {
                text.replace(&format!("${name}"), value)
            })
    }

    fn rename(&self, value: &mut Value, fixed: &str) {
        match value {
            Value::String(text) => *text = self.renamed(text, fixed),
            Value::Array(items) => items.iter_mut().for_each(|item| self.rename(item, fixed)),
            Value::Object(fields) => {
                let old = std::mem::take(fields);
                for (name, mut value) in old {
                    self.rename(&mut value, fixed);
                    fields.insert(self.renamed(&name, fixed), value);
                }
            }
            _ => {}
        }
    }

    /// Text with each UUID in it replaced by the name a script gave it, or else by a word that says it is one.
    fn renamed(&self, text: &str, fixed: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            match rest.get(..UUID).filter(|word| is_uuid(word)) {
                Some(word) if fixed.contains(word) => out.push_str(word),
                Some(word) => {
                    let named = self.taken.iter().find(|(_, taken)| *taken == word);
                    out.push_str(
                        &named.map_or("<uuid>".to_owned(), |(name, _)| format!("<{name}>")),
                    );
                }
                None => {
                    let first = rest.chars().next().map_or(1, char::len_utf8);
                    out.push_str(&rest[..first]);
                    rest = &rest[first..];
                    continue;
                }
            }
            rest = &rest[UUID..];
        }
        out
    }
}

/// The body without its compression. One that cannot be unpacked stays as it is, and differs.
fn content(answer: &Answer) -> Cow<'_, [u8]> {
    let mut plain = Vec::new();
    if answer.header("content-encoding") == Some("gzip")
        && GzDecoder::new(answer.body.as_slice())
            .read_to_end(&mut plain)
            .is_ok()
    {
        return Cow::Owned(plain);
    }
    Cow::Borrowed(&answer.body)
}

fn is_uuid(word: &str) -> bool {
    word.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}

/// Replaces the hash of an agent's service, which each program makes in its own way.
fn hash(body: &mut Value) {
    if let Some(hash) = body.get_mut("ContentHash")
        && hash
            .as_str()
            .is_some_and(|hash| !hash.is_empty() && hash.len() <= 16)
    {
        *hash = json!("<hash>");
    }
}

/// Replaces what is chance in Consul itself: the clock of events, and an index told in words.
fn chance(body: &mut Value) {
    const INDEX_IN_WORDS: &str = "current modify index ";
    match body {
        Value::Array(items) => items.iter_mut().for_each(chance),
        Value::Object(fields) => {
            for (name, field) in fields {
                if name == "LTime" && field.as_u64() > Some(0) {
                    *field = json!("<time>");
                }
                chance(field);
            }
        }
        Value::String(text) => {
            if let Some((before, after)) = text.split_once(INDEX_IN_WORDS) {
                let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
                *text = format!("{before}{INDEX_IN_WORDS}<index>{rest}");
            }
        }
        _ => {}
    }
}

/// Replaces indexes by their rank, 1 for the lowest. Those from before the `beginning` are "old"; 0 stays, it says "none".
fn rank(body: &mut Value, beginning: u64) {
    let mut found = Vec::new();
    each_index(body, &mut |index| found.extend(index.as_u64()));
    found.retain(|index| *index > beginning);
    found.sort_unstable();
    found.dedup();
    each_index(body, &mut |index| {
        if let Some(place) = index
            .as_u64()
            .and_then(|value| found.binary_search(&value).ok())
        {
            *index = json!(format!("rank {}", place + 1));
        } else if index.as_u64() > Some(0) {
            *index = json!("old");
        }
    });
}

fn each_index(value: &mut Value, visit: &mut impl FnMut(&mut Value)) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| each_index(item, visit)),
        Value::Object(fields) => {
            for (name, field) in fields {
                if RANKED.contains(&name.as_str()) && field.is_u64() {
                    visit(field);
                } else {
                    each_index(field, visit);
                }
            }
        }
        _ => {}
    }
}

/// Sorts lists whose order is chance in Consul itself: by random identifiers, or by the order of a hash map.
fn order(path: &str, body: &mut Value) {
    let by_identifier = ["/v1/session/list", "/v1/session/node", "/v1/query"];
    if by_identifier.iter().any(|start| path.starts_with(start)) {
        sort(body);
    }
    if path.contains("/execute")
        && let Some(nodes) = body.get_mut("Nodes")
    {
        sort(nodes);
    }
    if path.starts_with("/v1/catalog/services")
        && let Value::Object(services) = body
    {
        services.values_mut().for_each(sort);
    }
    if path.starts_with("/v1/agent/health/") {
        each_list(body, "Checks", &mut sort);
        sort(body);
    }
}

/// Visits every list of that name.
fn each_list(value: &mut Value, name: &str, visit: &mut impl FnMut(&mut Value)) {
    match value {
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| each_list(item, name, visit)),
        Value::Object(fields) => fields.get_mut(name).into_iter().for_each(visit),
        _ => {}
    }
}

fn sort(list: &mut Value) {
    if let Value::Array(items) = list {
        items.sort_by_key(ToString::to_string);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_and_indexes_are_replaced() {
        let mut memory = Memory::default();
        let (a, b) = (
            "11111111-2222-3333-4444-555555555555",
            "aaaaaaaa-2222-3333-4444-555555555555",
        );
        memory.taken.insert("S".to_owned(), a.to_owned());
        let body = json!([{"ID": a, "Other": format!("x {b} y"), "CreateIndex": 7, "ModifyIndex": 900}, {"CreateIndex": 7}]);
        let answer = Answer {
            status: 200,
            headers: vec![("x-consul-index".to_owned(), "12".to_owned())],
            body: body.to_string().into_bytes(),
        };
        let first = memory.comparable("/p", &answer, "");
        assert_eq!(first["header"]["x-consul-index"], "first");
        assert_eq!(
            first["body"],
            json!([{"ID": "<S>", "Other": "x <uuid> y", "CreateIndex": "rank 1", "ModifyIndex": "rank 2"}, {"CreateIndex": "rank 1"}])
        );
        memory.keep("/p", &answer);
        assert_eq!(
            memory.comparable("/p", &answer, b)["header"]["x-consul-index"],
            "same"
        );
        assert_eq!(
            memory.fill("/v1/session/info/$S"),
            format!("/v1/session/info/{a}")
        );
    }
}
