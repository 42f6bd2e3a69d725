//! What to believe of an answer that comes after the registry was away. Pure: time is an argument.
//!
//! A registry that restarts has forgotten what it knew, and answers `200` with an empty list or with instances whose
//! checks have not run yet. Believing that would take away endpoints that serve well. So after a failure, what a
//! forgetful answer lacks is *held* for a settle time; anything it says outright (passing, failed check, maintenance) is
//! believed at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::snapshot::{Endpoint, EndpointId, Excluded, Service};

/// One registered instance, as read from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It may get requests.
    In(Endpoint),
    /// It may not. `unchecked`: only because no check has run yet.
    Out { excluded: Excluded, unchecked: bool },
}

/// The last good answer for one service, and what is held beside it.
#[derive(Debug, Default)]
pub(super) struct Memory {
    service: Service,
    index: u64,
    failed: bool,
    held: BTreeMap<EndpointId, Held>,
}

#[derive(Debug)]
struct Held {
    endpoint: Endpoint,
    until: Instant,
}

impl Memory {
    /// The registry did not answer.
    pub(super) fn failed(&mut self) {
        self.failed = true;
    }

    /// The same contents as before came with `index`.
    pub(super) fn unchanged(&mut self, index: u64) {
        self.index = index;
        self.failed = false;
    }

    /// An answer came at `now`, in whatever order. Returns what the service is to be now.
    pub(super) fn answer(
        &mut self,
        mut seen: Vec<Seen>,
        index: u64,
        now: Instant,
        settle: Duration,
    ) -> &Service {
        seen.sort_by(|a, b| a.id().cmp(b.id()));
        seen.dedup_by(|a, b| a.id() == b.id());
        if self.failed {
            let forgetful = index < self.index || seen.is_empty();
            self.hold(&seen, forgetful, now + settle);
        }
        self.failed = false;
        self.index = index;
        self.combine(seen, now)
    }

    /// Drops what was held long enough at `now`. Returns the new state if there was any.
    pub(super) fn expire(&mut self, now: Instant) -> Option<&Service> {
        let before = self.held.len();
        let held = &mut self.held;
        self.service
            .endpoints
            .retain(|e| held.get(&e.id).is_none_or(|held| now < held.until));
        held.retain(|_, held| now < held.until);
        (held.len() < before).then_some(&self.service)
    }

    /// When [`Memory::expire`] is due next.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.held.values().map(|held| held.until).min()
    }

    pub(super) fn service(&self) -> &Service {
        &self.service
    }

    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Holds the endpoints that `seen` lacks (if the registry forgot) or has only unchecked.
    fn hold(&mut self, seen: &[Seen], forgetful: bool, until: Instant) {
        for endpoint in &self.service.endpoints {
            let found = seen.iter().find(|seen| seen.id() == &endpoint.id);
            let hold = match found {
                None => forgetful,
                Some(Seen::Out { unchecked, .. }) => *unchecked,
                Some(Seen::In(_)) => false,
            };
            if hold && !self.held.contains_key(&endpoint.id) {
                self.held.insert(
                    endpoint.id.clone(),
                    Held {
                        endpoint: endpoint.clone(),
                        until,
                    },
                );
            }
        }
    }

    /// The service as `seen`, with what is held in the place of what is missing or unchecked.
    fn combine(&mut self, seen: Vec<Seen>, now: Instant) -> &Service {
        self.held.retain(|_, held| now < held.until);
        let mut service = Service::default();
        let mut still_held = BTreeMap::new();
        for seen in seen {
            let id = seen.id().clone();
            match seen {
                Seen::In(endpoint) => {
                    self.held.remove(&id);
                    service.endpoints.push(endpoint);
                }
                Seen::Out {
                    excluded,
                    unchecked,
                } => match self.held.remove(&id) {
                    Some(held) if unchecked => {
                        still_held.insert(id, held);
                    }
                    _ => service.excluded.push(excluded),
                },
            }
        }
        still_held.append(&mut self.held);
        self.held = still_held;
        service
            .endpoints
            .extend(self.held.values().map(|held| held.endpoint.clone()));
        service.endpoints.sort_by(|a, b| a.id.cmp(&b.id));
        service.endpoints.dedup_by(|a, b| a.id == b.id);
        service.excluded.sort_by(|a, b| a.id.cmp(&b.id));
        self.service = service;
        &self.service
    }
}

impl Seen {
    pub(super) fn id(&self) -> &EndpointId {
        match self {
            Self::In(endpoint) => &endpoint.id,
            Self::Out { excluded, .. } => &excluded.id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(30);

    /// `a` passing, `a?` unchecked, `a!` critical.
    fn seen(text: &str) -> Vec<Seen> {
        text.split_whitespace()
            .map(|word| {
                let name = word.trim_end_matches(['?', '!']);
                let id = EndpointId {
                    node: "n".into(),
                    instance: name.into(),
                };
                if name == word {
                    let port = u16::from(name.as_bytes()[0]);
                    return Seen::In(Endpoint {
                        id,
                        address: ([127, 0, 0, 1], port).into(),
                        weight: 1,
                    });
                }
                let excluded = Excluded {
                    id,
                    reason: "critical".into(),
                };
                Seen::Out {
                    excluded,
                    unchecked: word.ends_with('?'),
                }
            })
            .collect()
    }

    fn names(service: &Service) -> String {
        service
            .endpoints
            .iter()
            .map(|e| &*e.id.instance)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Each step is `FAIL`, or `INDEX: what the registry lists`; the result is what is in rotation after each.
    fn story(steps: &[(&str, &str)]) {
        let mut memory = Memory::default();
        let now = Instant::now();
        for (step, expected) in steps {
            match step.split_once(':') {
                None => memory.failed(),
                Some((index, listed)) => {
                    memory.answer(seen(listed), index.parse().expect("an index"), now, SETTLE);
                }
            }
            assert_eq!(
                names(memory.service()),
                *expected,
                "after {step} of {steps:?}"
            );
        }
    }

    #[test]
    fn without_a_failure_everything_is_believed_at_once() {
        story(&[
            ("5: a b c", "a b c"),
            ("6: a b! c", "a c"),
            ("7: a", "a"),
            ("8:", ""),
        ]);
        story(&[("5: a b", "a b"), ("6: a? b", "b")]);
    }

    #[test]
    fn a_failure_takes_nothing_away() {
        story(&[("5: a b", "a b"), ("FAIL", "a b"), ("6: a b", "a b")]);
    }

    #[test]
    fn a_registry_that_forgot_is_given_time() {
        story(&[
            ("50: a b c", "a b c"),
            ("FAIL", "a b c"),
            ("3:", "a b c"),
            ("5: a?", "a b c"),
            ("6: a b?", "a b c"),
        ]);
        story(&[
            ("50: a b", "a b"),
            ("FAIL", "a b"),
            ("60:", "a b"),
            ("61: a", "a b"),
        ]);
    }

    #[test]
    fn what_it_says_outright_is_believed() {
        story(&[
            ("50: a b c", "a b c"),
            ("FAIL", "a b c"),
            ("3: a b!", "a c"),
            ("4: a b! d", "a c d"),
        ]);
        story(&[
            ("50: a b", "a b"),
            ("FAIL", "a b"),
            ("3: a b", "a b"),
            ("4: a", "a"),
        ]);
    }

    #[test]
    fn a_registry_that_remembers_is_believed_about_what_left_meanwhile() {
        story(&[("50: a b", "a b"), ("FAIL", "a b"), ("55: a", "a")]);
    }

    #[test]
    fn what_is_held_is_let_go_after_the_settle_time() {
        let mut memory = Memory::default();
        let now = Instant::now();
        memory.answer(seen("a b"), 50, now, SETTLE);
        memory.failed();
        memory.answer(seen("a"), 3, now, SETTLE);
        assert_eq!((names(memory.service()), memory.held()), ("a b".into(), 1));
        assert_eq!(memory.next_expiry(), Some(now + SETTLE));
        assert!(memory.expire(now).is_none());
        assert_eq!(memory.expire(now + SETTLE).map(names), Some("a".into()));
        assert_eq!(memory.next_expiry(), None);
    }
}
