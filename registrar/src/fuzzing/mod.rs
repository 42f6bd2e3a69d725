//! What holds for every input of the readers of what strangers send: bodies, filters, queries, packets, definition files,
//! what is on disk, and what another registry answers. Each function panics where it does not hold.
//!
//! `fuzz/` calls these, guided by coverage and for as long as one likes; the tests call them with random and with mutated
//! input for a moment, each time.

#[cfg(test)]
mod tests;

use crate::definition::{self, Format};
use crate::dns::{self, Moment, Transport};

pub use crate::durable::fuzzing::log;
pub use crate::registry::fuzzing::{body, filter, query};

/// A definition file, JSON or HCL, is read or refused, and what is refused is refused with a place in the file.
pub fn definition(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for (name, format) in [("a.json", Format::Json), ("a.hcl", Format::Hcl)] {
        if let Err(problems) = definition::parse(name, &text, format) {
            assert!(!problems.is_empty(), "refused without a word");
            let lines = text.split('\n').count() + 1;
            for problem in problems {
                let shown = problem.to_string();
                let line = shown
                    .strip_prefix(name)
                    .and_then(|rest| rest.split(':').nth(1)?.parse::<usize>().ok());
                assert!(line.is_none_or(|line| line <= lines), "{shown}");
            }
        }
    }
}

/// A packet is answered within the limit of its transport, or dropped.
pub fn packet(bytes: &[u8]) {
    let world = crate::registry::fuzzing::world();
    for (transport, most) in [(Transport::Udp, 65_535), (Transport::Tcp, 65_535)] {
        let mut moment = Moment {
            time: 1,
            random: fastrand::Rng::with_seed(1),
        };
        if let Some(answer) = dns::respond(bytes, &world, transport, &mut moment) {
            assert!((12..=most).contains(&answer.len()), "{}", answer.len());
            assert_eq!(answer[..2], bytes[..2], "the same id");
        }
    }
}

/// What a registry answers is read or refused.
pub fn answer(bytes: &[u8]) {
    use consul::types::{AgentSelf, AgentService, CatalogNode, HealthCheck, KvEntry, ServiceEntry};
    use std::collections::BTreeMap;
    let _ = serde_json::from_slice::<Vec<ServiceEntry>>(bytes);
    let _ = serde_json::from_slice::<BTreeMap<String, AgentService>>(bytes);
    let _ = serde_json::from_slice::<BTreeMap<String, HealthCheck>>(bytes);
    let _ = serde_json::from_slice::<AgentSelf>(bytes);
    let _ = serde_json::from_slice::<CatalogNode>(bytes);
    let _ = serde_json::from_slice::<Vec<KvEntry>>(bytes);
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(duration) = consul::types::parse_duration(text)
    {
        let shown = consul::types::format_duration(duration);
        assert!(consul::types::parse_duration(&shown).is_ok(), "{shown}");
    }
}
