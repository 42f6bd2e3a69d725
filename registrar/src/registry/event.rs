//! `/v1/event`: small messages to whoever listens. The last ones are kept; they are no part of the catalog, and the
//! index of the list is a hash of the newest event, which tells it from another but has no order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use regex::RegexBuilder;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::access::Kind;
use super::agent::answer;
use super::answer::{Answer, Failure};
use super::blocking::{MOST_WAITING, jitter, too_many};
use super::random_uuid;
use super::request::Call;
use super::state::State;
use crate::catalog::Topic;

/// How many events are kept.
const KEPT: usize = 256;
/// What an event may hold, in bytes by Consul's count: its payload, its name twice, and each filter with four more.
const MOST_BYTES: usize = 416;
/// Most bytes a compiled filter may take.
const REGEX_BYTES: usize = 1024 * 1024;

type Result = std::result::Result<Answer, Failure>;

/// An event that was fired and meant for this node.
#[derive(Debug, Clone)]
struct Event {
    id: String,
    name: String,
    payload: Bytes,
    node: String,
    service: String,
    tag: String,
    time: u64,
}

/// The last events, oldest first.
#[derive(Debug, Default)]
pub(super) struct Events {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: VecDeque<Arc<Event>>,
    time: u64,
}

impl Events {
    fn keep(&self, mut event: Event) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        // Consul's clock of events moves once for the sending and once for the receiving.
        inner.time += 2;
        event.time = inner.time;
        if inner.kept.len() == KEPT {
            inner.kept.pop_front();
        }
        inner.kept.push_back(Arc::new(event));
    }

    fn named(&self, name: &str) -> Vec<Arc<Event>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let all = inner.kept.iter();
        all.filter(|event| name.is_empty() || event.name == name)
            .cloned()
            .collect()
    }
}

/// An event as JSON; the answer to firing it does not know its time yet.
fn view(event: &Event) -> Value {
    let payload = (!event.payload.is_empty()).then(|| STANDARD.encode(&event.payload));
    json!({
        "ID": event.id, "Name": event.name, "Payload": payload, "NodeFilter": event.node,
        "ServiceFilter": event.service, "TagFilter": event.tag, "Version": 1, "LTime": event.time,
    })
}

pub(super) fn fire(state: &State, call: &Call) -> Result {
    call.own_place(&state.local.datacenter)
        .map_err(Failure::without_index)?;
    if call.rest.is_empty() {
        return Err(Failure::invalid("Missing name"));
    }
    // Consul's answer to a token nobody has, here only.
    let unknown = |_| Failure::failed("ACL not found");
    let rights = state.access.rights(call.token()).map_err(unknown)?;
    if !rights.write(Kind::Event, &call.rest) {
        return Err(Failure::denied());
    }
    let text = |name: &str| call.parameter(name).unwrap_or("").to_owned();
    let event = Event {
        id: random_uuid(),
        name: call.rest.clone(),
        payload: call.body.clone(),
        node: text("node"),
        service: text("service"),
        tag: text("tag"),
        time: 0,
    };
    let mine = is_for_me(state, &event)?;
    let filters = [&event.node, &event.service, &event.tag].into_iter();
    let filters: usize = filters
        .filter(|text| !text.is_empty())
        .map(|text| text.len() + 4)
        .sum();
    if event.payload.len() + 2 * event.name.len() + filters > MOST_BYTES {
        return Err(Failure::failed(
            "1 error occurred:\n\t* error broadcasting event to segment \"\": user event exceeds configured limit \
             of 512 bytes before encoding\n\n",
        ));
    }
    let shown = view(&event);
    if mine {
        state.events.keep(event);
        state.waiters.wake(&[Topic::Events].into());
    }
    answer(call, &shown)
}

/// Whether the filters (regular expressions) take this node, one of its services, and a tag of that service.
fn is_for_me(state: &State, event: &Event) -> std::result::Result<bool, Failure> {
    let compiled = |what: &str, text: &str| {
        let built = RegexBuilder::new(text).size_limit(REGEX_BYTES).build();
        built.map_err(|error| {
            let last = error.to_string();
            let last = last
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned();
            Failure::failed(format!(
                "Invalid {what} filter: error parsing regexp: {last}: `{text}`"
            ))
        })
    };
    let node = compiled("node", &event.node)?;
    let service = compiled("service", &event.service)?;
    let tag = compiled("tag", &event.tag)?;
    if !event.tag.is_empty() && event.service.is_empty() {
        return Err(Failure::failed(
            "Cannot provide tag filter without service filter",
        ));
    }
    if !node.is_match(&state.local.name) {
        return Ok(false);
    }
    let services = state.read().agent_services();
    Ok(event.service.is_empty()
        || services.iter().any(|row| {
            service.is_match(&row.name)
                && (event.tag.is_empty() || row.tags.iter().any(|text| tag.is_match(text)))
        }))
}

/// The events kept. With `index` it waits until the newest is another.
pub(super) async fn list(state: &State, call: &Call) -> Result {
    call.own_place(&state.local.datacenter)
        .map_err(Failure::without_index)?;
    let name = call.parameter("name").unwrap_or("");
    let blocking = call.blocking()?;
    let wait = call.wait()?;
    let deadline = Instant::now() + wait + jitter(wait);
    loop {
        let ticket = state.waiters.wait_on(Topic::Events);
        let rights = state.rights(call)?;
        let mut events = state.events.named(name);
        events.retain(|event| rights.read(Kind::Event, &event.name));
        let index = events.last().map_or(1, |event| hash(&event.id));
        let over = Instant::now() >= deadline || state.stopping.is_cancelled();
        if over || blocking.is_none_or(|blocking| blocking.index != index) {
            let views: Vec<Value> = events.iter().map(|event| view(event)).collect();
            return Ok(answer(call, &views)?.header("x-consul-index", index.to_string()));
        }
        if state.waiters.waiting() > MOST_WAITING {
            return Err(too_many());
        }
        tokio::select! {
            () = ticket.woken() => {}
            () = tokio::time::sleep_until(deadline) => {}
            () = state.stopping.cancelled() => {}
        }
    }
}

/// The two halves of a UUID, one over the other.
fn hash(uuid: &str) -> u64 {
    let hex: String = uuid.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |text: Option<&str>| text.and_then(|text| u64::from_str_radix(text, 16).ok());
    let (low, high) = (half(hex.get(..16)), half(hex.get(16..32)));
    (low.unwrap_or(0) ^ high.unwrap_or(0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_bounded_and_the_hash_is_of_the_whole_id() {
        let events = Events::default();
        for n in 0..KEPT + 3 {
            events.keep(Event {
                id: random_uuid(),
                name: n.to_string(),
                payload: Bytes::new(),
                node: String::new(),
                service: String::new(),
                tag: String::new(),
                time: 0,
            });
        }
        let kept = events.named("");
        assert_eq!((kept.len(), kept[0].name.as_str()), (KEPT, "3"));
        assert_eq!(hash("00000000-0000-0001-0000-000000000002"), 3);
        assert_eq!(hash("odd"), 1, "never 0");
    }
}
