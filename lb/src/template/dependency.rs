//! What a template reads of the registry: each distinct question is asked once, however many templates ask it.
//!
//! This is the one place in `template` that knows Consul's wire types; what goes on from here are plain JSON values, with
//! the field names consul-template's users know.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use consul::types::{ServiceEntry, Status};
use consul::watch::{Event, Watch};
use consul::{Client, Query};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::discovery::{Rotation, rotation};

/// How long one query may wait for a change.
const WAIT: Duration = Duration::from_secs(30);

/// One question to the registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Dependency {
    /// The instances of a service.
    Service {
        name: String,
        tag: Option<String>,
        datacenter: Option<String>,
        health: Health,
    },
    /// The names of all services, with their tags.
    Services { datacenter: Option<String> },
}

/// Which instances a template wants to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Health {
    /// Those whose checks all pass.
    #[default]
    Passing,
    /// Those that the balancer would send requests to: also with a warning, if their weight for it is not 0.
    Usable,
    /// All.
    Any,
}

impl Health {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "passing" => Some(Self::Passing),
            "usable" => Some(Self::Usable),
            "any" => Some(Self::Any),
            _ => None,
        }
    }
}

/// What a follower tells.
#[derive(Debug)]
pub(super) enum News {
    Answer(Dependency, Answer),
    Failed(Dependency, String),
}

/// What is known of one dependency.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// What the template sees.
    pub(super) value: Arc<Value>,
    /// What is in it, by name: to tell a removal from an addition.
    pub(super) members: BTreeSet<String>,
}

/// Follows `dependency` for ever.
pub(super) async fn follow(client: Client, dependency: Dependency, news: mpsc::Sender<News>) {
    match &dependency {
        Dependency::Service {
            name,
            tag,
            datacenter,
            health,
        } => {
            let query = Query {
                wait: Some(WAIT),
                tags: tag.iter().cloned().collect(),
                datacenter: datacenter.clone(),
                ..Query::default()
            };
            let health = *health;
            let watch = Watch::health_service(client, name.as_str(), query);
            tell(watch, dependency.clone(), news, |entries| {
                instances(&entries, health)
            })
            .await;
        }
        Dependency::Services { datacenter } => {
            let query = Query {
                wait: Some(WAIT),
                datacenter: datacenter.clone(),
                ..Query::default()
            };
            tell(
                Watch::catalog_services(client, query),
                dependency.clone(),
                news,
                services,
            )
            .await;
        }
    }
}

async fn tell<T: Clone>(
    mut watch: Watch<T>,
    dependency: Dependency,
    news: mpsc::Sender<News>,
    read: impl Fn(T) -> Answer,
) {
    let mut last = None;
    loop {
        let told = match watch.next().await {
            Event::Changed { value, .. } => {
                let answer = read(value);
                if last.as_ref() == Some(&answer) {
                    continue;
                }
                last = Some(answer.clone());
                News::Answer(dependency.clone(), answer)
            }
            Event::Unchanged { .. } => continue,
            Event::Failed {
                error, attempts, ..
            } if attempts.is_power_of_two() => News::Failed(dependency.clone(), error.to_string()),
            Event::Failed { .. } => continue,
        };
        if news.send(told).await.is_err() {
            return; // Nobody reads any more.
        }
    }
}

fn services(services: BTreeMap<String, Vec<String>>) -> Answer {
    let members = services.keys().cloned().collect();
    let item = |(name, mut tags): (String, Vec<String>)| {
        tags.sort();
        json!({ "Name": name, "Tags": tags })
    };
    Answer {
        value: Arc::new(services.into_iter().map(item).collect()),
        members,
    }
}

fn instances(entries: &[ServiceEntry], health: Health) -> Answer {
    let mut entries: Vec<_> = entries
        .iter()
        .filter(|entry| is_wanted(entry, health))
        .collect();
    entries.sort_by(|a, b| by_node_and_id(a, b));
    let members = entries
        .iter()
        .map(|entry| format!("{}/{}", entry.node.node, entry.service.id))
        .collect();
    Answer {
        value: Arc::new(entries.into_iter().map(instance).collect()),
        members,
    }
}

fn is_wanted(entry: &ServiceEntry, health: Health) -> bool {
    match health {
        Health::Any => true,
        Health::Usable => matches!(rotation(entry), Rotation::In { .. }),
        Health::Passing => entry.status() == Status::Passing,
    }
}

fn by_node_and_id(a: &ServiceEntry, b: &ServiceEntry) -> Ordering {
    (&a.node.node, &a.service.id).cmp(&(&b.node.node, &b.service.id))
}

/// An instance with the names consul-template gives its parts, and `Weight`: its share for its present status.
fn instance(entry: &ServiceEntry) -> Value {
    let weight = match rotation(entry) {
        Rotation::In { weight } => weight,
        Rotation::Out { .. } => 0,
    };
    let mut tags = entry.service.tags.clone();
    tags.sort();
    json!({
        "ID": entry.service.id,
        "Name": entry.service.service,
        "Address": entry.address(),
        "Port": entry.service.port,
        "Tags": tags,
        "ServiceMeta": entry.service.meta,
        "Node": entry.node.node,
        "NodeAddress": entry.node.address,
        "NodeMeta": entry.node.meta,
        "Status": entry.status().as_str(),
        "Weights": { "Passing": entry.service.weights.passing, "Warning": entry.service.weights.warning },
        "Weight": weight,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(node: &str, id: &str, status: &str) -> ServiceEntry {
        let text = format!(
            r#"{{"Node":{{"Node":"{node}","Address":"10.0.0.1"}},
                "Service":{{"ID":"{id}","Service":"web","Port":80,"Tags":["b","a"],"Weights":{{"Passing":3,"Warning":1}}}},
                "Checks":[{{"CheckID":"c","Name":"c","Status":"{status}","Output":"x"}}]}}"#
        );
        serde_json::from_str(&text).expect("an entry as Consul writes it")
    }

    #[test]
    fn instances_are_sorted_and_chosen_by_health() {
        let entries = [
            entry("n2", "a", "passing"),
            entry("n1", "b", "warning"),
            entry("n1", "a", "critical"),
        ];
        for (health, expected) in [
            ("passing", "n2/a"),
            ("usable", "n1/b n2/a"),
            ("any", "n1/a n1/b n2/a"),
        ] {
            let answer = instances(&entries, Health::named(health).expect("a health"));
            assert_eq!(
                answer.members.into_iter().collect::<Vec<_>>().join(" "),
                expected,
                "{health}"
            );
            let first = &answer.value[0];
            assert_eq!(
                (&first["Address"], &first["Tags"]),
                (&json!("10.0.0.1"), &json!(["a", "b"]))
            );
        }
        assert_eq!(instances(&entries, Health::Usable).value[0]["Weight"], 1);
    }

    #[test]
    fn the_same_instances_in_any_order_are_the_same_answer() {
        let (a, b) = (entry("n1", "a", "passing"), entry("n2", "b", "passing"));
        let forward = instances(&[a.clone(), b.clone()], Health::Passing);
        assert_eq!(forward, instances(&[b, a], Health::Passing));
    }
}
