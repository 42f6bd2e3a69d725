//! An answer as it came, and how it compares with the one before: has something left or got worse? Pure.

use std::collections::BTreeMap;

use consul::types::{CatalogNode, KvEntry, Node, ServiceEntry, Status};

use crate::discovery::{Rotation, rotation};

/// What was answered to a question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// By node and id, or as the registry sorted them if that was asked for.
    Instances(Vec<ServiceEntry>),
    Services(BTreeMap<String, Vec<String>>),
    Nodes(Vec<Node>),
    Node(Option<CatalogNode>),
    Datacenters(Vec<String>),
    Keys(BTreeMap<String, KvEntry>),
    File(Option<String>),
}

impl Reply {
    /// Instances in the order that no other answer changes.
    pub(crate) fn instances(mut entries: Vec<ServiceEntry>, sorted_by_registry: bool) -> Self {
        if !sorted_by_registry {
            entries.sort_by(|a, b| id(a).cmp(&id(b)));
        }
        Self::Instances(entries)
    }

    pub(super) fn keys(entries: impl IntoIterator<Item = KvEntry>) -> Self {
        let by_key = |entry: KvEntry| (entry.key.clone(), entry);
        Self::Keys(entries.into_iter().map(by_key).collect())
    }

    #[cfg(test)]
    pub(crate) fn of_instances(entries: Vec<ServiceEntry>) -> Self {
        Self::instances(entries, false)
    }

    #[cfg(test)]
    pub(crate) fn of_keys(entries: impl IntoIterator<Item = KvEntry>) -> Self {
        Self::keys(entries)
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Instances(list) => list.is_empty(),
            Self::Services(map) => map.is_empty(),
            Self::Nodes(list) => list.is_empty(),
            Self::Node(node) => node.is_none(),
            Self::Datacenters(list) => list.is_empty(),
            Self::Keys(map) => map.is_empty(),
            Self::File(text) => text.is_none(),
        }
    }

    /// Whether it says of something that it is gone, elsewhere or in a worse state than `before`: that is acted on at
    /// once. What a person has changed (keys, files) is not urgent.
    pub(crate) fn is_worse_than(&self, before: &Self) -> bool {
        match (before, self) {
            (Self::Instances(old), Self::Instances(new)) => {
                let now: BTreeMap<_, _> = new.iter().map(|e| (endpoint(e), status(e))).collect();
                old.iter().any(|entry| {
                    let found = now.get(&endpoint(entry));
                    found.is_none_or(|now| *now > status(entry))
                })
            }
            (Self::Services(old), Self::Services(new)) => {
                old.keys().any(|name| !new.contains_key(name))
            }
            (Self::Nodes(old), Self::Nodes(new)) => {
                let now: BTreeMap<_, _> = new.iter().map(|n| (&n.node, &n.address)).collect();
                old.iter().any(|n| now.get(&n.node) != Some(&&n.address))
            }
            (Self::Node(old), Self::Node(new)) => old.is_some() && new.is_none(),
            _ => false,
        }
    }

    /// Of `self`, the last good answer, keeps what `new` does not speak of (if `forgetful`) or only as a check that has
    /// not run yet. Returns how much that is.
    pub(super) fn keep_doubtful(&mut self, new: &Self, forgetful: bool) -> usize {
        match (self, new) {
            (Self::Instances(old), Self::Instances(new)) => {
                let now: BTreeMap<_, _> = new.iter().map(|e| (id(e), e)).collect();
                old.retain(|entry| {
                    let good = status(entry) <= Status::Warning;
                    good && now
                        .get(&id(entry))
                        .map_or(forgetful, |now| is_unchecked(now))
                });
                old.len()
            }
            (Self::Services(old), Self::Services(new)) => {
                old.retain(|name, _| forgetful && !new.contains_key(name));
                old.len()
            }
            (Self::Nodes(old), Self::Nodes(new)) => {
                old.retain(|n| forgetful && new.iter().all(|new| new.node != n.node));
                old.len()
            }
            (Self::Node(old), Self::Node(new)) => {
                if !forgetful || new.is_some() {
                    *old = None;
                }
                usize::from(old.is_some())
            }
            (Self::Keys(old), Self::Keys(new)) => {
                old.retain(|key, _| forgetful && !new.contains_key(key));
                old.len()
            }
            _ => 0,
        }
    }

    /// Adds what is `held`, in the place of what says less.
    pub(super) fn fill_in(&mut self, held: &Self) {
        match (self, held) {
            (Self::Instances(new), Self::Instances(held)) => {
                new.retain(|entry| held.iter().all(|held| id(held) != id(entry)));
                new.extend(held.iter().cloned());
                new.sort_by(|a, b| id(a).cmp(&id(b)));
            }
            (Self::Services(new), Self::Services(held)) => {
                new.extend(held.iter().map(|(name, tags)| (name.clone(), tags.clone())));
            }
            (Self::Nodes(new), Self::Nodes(held)) => {
                new.extend(held.iter().cloned());
                new.sort_by(|a, b| a.node.cmp(&b.node));
            }
            (Self::Node(new), Self::Node(held)) if held.is_some() => new.clone_from(held),
            (Self::Keys(new), Self::Keys(held)) => {
                new.extend(held.iter().map(|(key, entry)| (key.clone(), entry.clone())));
            }
            _ => {}
        }
    }
}

fn id(entry: &ServiceEntry) -> (&str, &str) {
    (&entry.node.node, &entry.service.id)
}

fn endpoint(entry: &ServiceEntry) -> (&str, &str, &str, i64) {
    let (node, instance) = id(entry);
    (node, instance, entry.address(), entry.service.port)
}

/// Maintenance is a critical check too.
fn status(entry: &ServiceEntry) -> Status {
    entry.status().min(Status::Critical)
}

fn is_unchecked(entry: &ServiceEntry) -> bool {
    matches!(
        rotation(entry),
        Rotation::Out {
            unchecked: true,
            ..
        }
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An instance as Consul sends it.
    pub(in crate::template) fn entry(
        node: &str,
        id: &str,
        port: u16,
        status: &str,
    ) -> ServiceEntry {
        let text = format!(
            r#"{{"Node":{{"Node":"{node}","Address":"10.0.0.1"}},
                "Service":{{"ID":"{id}","Service":"web","Port":{port},"Tags":["b","a"],"Weights":{{"Passing":3,"Warning":1}}}},
                "Checks":[{{"CheckID":"c","Name":"c","Status":"{status}","Output":"x"}}]}}"#
        );
        serde_json::from_str(&text).expect("an entry as Consul writes it")
    }

    #[test]
    fn what_is_urgent() {
        let one = |port, status| Reply::instances(vec![entry("n", "a", port, status)], false);
        let none = Reply::instances(Vec::new(), false);
        for (before, after, urgent) in [
            (&none, &one(1, "passing"), false),
            (&one(1, "passing"), &none, true),
            (&one(1, "passing"), &one(1, "warning"), true),
            (&one(1, "warning"), &one(1, "critical"), true),
            (&one(1, "critical"), &one(1, "passing"), false),
            (&one(1, "passing"), &one(2, "passing"), true),
            (&one(1, "passing"), &one(1, "passing"), false),
        ] {
            assert_eq!(
                after.is_worse_than(before),
                urgent,
                "{before:?} → {after:?}"
            );
        }
        let services = |names: &[&str]| {
            Reply::Services(
                names
                    .iter()
                    .map(|n| ((*n).to_owned(), Vec::new()))
                    .collect(),
            )
        };
        assert!(services(&["b"]).is_worse_than(&services(&["a", "b"])));
        assert!(!services(&["a", "b"]).is_worse_than(&services(&["b"])));
    }
}
