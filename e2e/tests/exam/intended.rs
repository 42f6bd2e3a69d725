//! Where the embedded registry is meant to differ from Consul 1.8.7, and why. Nothing else may differ.
//!
//! The list cannot rot: an entry that no exchange needs any more fails the exam, and `docs/differences.md` is written from
//! it. It judges one difference of one exchange at a time and knows nothing of how they come about.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::compare::Difference;
use crate::pair::Request;

/// One intended difference.
pub(crate) struct Entry {
    /// What differs, as a user would say it.
    pub(crate) what: &'static str,
    pub(crate) consul: &'static str,
    pub(crate) ours: &'static str,
    pub(crate) reason: &'static str,
    excuses: fn(&Request, &Difference) -> bool,
}

/// The list at work: it remembers which entries were needed.
#[derive(Default)]
pub(crate) struct Intended {
    used: RefCell<BTreeMap<&'static str, usize>>,
}

impl Intended {
    /// Whether a difference is on the list.
    pub(crate) fn excuses(&self, request: &Request, difference: &Difference) -> bool {
        let entry = LIST.iter().find(|entry| (entry.excuses)(request, difference));
        if let Some(entry) = entry {
            *self.used.borrow_mut().entry(entry.what).or_default() += 1;
        }
        entry.is_some()
    }

    /// Entries that nothing needed.
    pub(crate) fn unused(&self) -> Vec<&'static str> {
        let used = self.used.borrow();
        LIST.iter()
            .map(|entry| entry.what)
            .filter(|what| !used.contains_key(what))
            .collect()
    }
}

fn empty_list(value: &Option<serde_json::Value>) -> bool {
    match value {
        None | Some(serde_json::Value::Null) => true,
        Some(value) => value.as_array().is_some_and(Vec::is_empty),
    }
}

pub(crate) const LIST: &[Entry] = &[
    Entry {
        what: "JSON is compact",
        consul: "indented in development mode",
        ours: "compact unless `?pretty`",
        reason: "the exam's Consul runs in development mode; a real server answers compactly as well",
        excuses: |_, difference| {
            difference.place == "body" && difference.texts().is_some_and(|(a, b)| a.trim_end() == b)
        },
    },
    Entry {
        what: "the port of the service `consul`",
        consul: "the port on which its servers speak among themselves",
        ours: "8300, the usual one",
        reason: "the embedded registry has no such port; clients read the service's name, not its port",
        excuses: |_, difference| {
            matches!(difference.field(), "Port" | "ServicePort")
                && difference.ours == Some(serde_json::json!(8300))
        },
    },
    Entry {
        what: "tags that are not there",
        consul: "`null` in some answers, `[]` in others",
        ours: "as most answers of Consul have them",
        reason: "which of the two comes depends on the road a registration took; every client takes both for no tags",
        excuses: |_, difference| {
            matches!(difference.field(), "Tags" | "ServiceTags")
                && empty_list(&difference.consul)
                && empty_list(&difference.ours)
        },
    },
];
