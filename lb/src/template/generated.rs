//! Snapshots of a registry made up from a number, for tests: services with instances in every state, and keys. The same
//! number gives the same snapshot; [`Snapshot::shuffled`] is the same one as another server might list it.

use std::time::SystemTime;

use consul::types::{KvEntry, ServiceEntry};
use fastrand::Rng;
use serde_json::{Value, json};

use super::dependency::{News, Question, Reply};
use super::engine::Engine;
use super::knowledge::Knowledge;

/// What a registry knows.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Service by service, as Consul's health endpoint lists them.
    pub(crate) services: Vec<(String, Vec<ServiceEntry>)>,
    /// Keys with their values.
    pub(crate) keys: Vec<KvEntry>,
}

impl Snapshot {
    /// The snapshot of this number: up to 6 services with up to 6 instances each, in odd states with odd names.
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let services = (0..rng.usize(..=6)).map(|number| {
            let name = format!(
                "{}-{number}",
                ["web", "api", "hello", "a_b"][rng.usize(..4)]
            );
            let instances = (0..rng.usize(..=6))
                .map(|id| instance(&mut rng, &name, id))
                .collect();
            (name, instances)
        });
        let services = services.collect();
        let keys = (0..rng.usize(..=5)).map(|number| KvEntry {
            key: format!("config/{}/{number}", ["a", "b/c", "z"][rng.usize(..3)]),
            value: format!("value {}", rng.u8(..)).into_bytes(),
            ..KvEntry::default()
        });
        Self {
            services,
            keys: keys.collect(),
        }
    }

    /// The same in another order: of services, instances, tags, checks and keys.
    pub(crate) fn shuffled(&self, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut other = self.clone();
        rng.shuffle(&mut other.services);
        rng.shuffle(&mut other.keys);
        for (_, instances) in &mut other.services {
            rng.shuffle(instances);
            for instance in instances {
                rng.shuffle(&mut instance.service.tags);
                rng.shuffle(&mut instance.checks);
            }
        }
        other
    }

    /// The text that `template` makes of it.
    pub(crate) fn rendered(&self, template: &Engine) -> String {
        let mut known = Knowledge::default();
        loop {
            let rendering = template
                .render(&known, SystemTime::UNIX_EPOCH)
                .expect("the template is good");
            known.show(&rendering.asked);
            if let Some(text) = rendering.text {
                return text;
            }
            assert!(rendering.absent.is_empty(), "{:?}", rendering.absent);
            for question in rendering.missing {
                let reply = self.answer(&question);
                known.learn(News { question, reply });
            }
        }
    }

    fn answer(&self, question: &Question) -> Reply {
        match question {
            Question::Service { name, tag, .. } => {
                let found = self.services.iter().find(|(found, _)| found == name);
                let instances = found
                    .map(|(_, instances)| instances.clone())
                    .unwrap_or_default();
                let fits = |entry: &ServiceEntry| {
                    tag.as_ref()
                        .is_none_or(|tag| entry.service.tags.contains(tag))
                };
                Reply::of_instances(instances.into_iter().filter(fits).collect())
            }
            Question::Services { .. } => Reply::Services(
                self.services
                    .iter()
                    .map(|(name, instances)| {
                        let tags = instances.iter().flat_map(|i| i.service.tags.clone());
                        (name.clone(), tags.collect())
                    })
                    .collect(),
            ),
            Question::Key { path, .. } => {
                Reply::of_keys(self.keys.iter().filter(|entry| entry.key == *path).cloned())
            }
            Question::Keys { prefix, .. } => Reply::of_keys(
                self.keys
                    .iter()
                    .filter(|e| e.key.starts_with(prefix))
                    .cloned(),
            ),
            other => panic!("snapshots know nothing of {other}"),
        }
    }
}

fn instance(rng: &mut Rng, service: &str, id: usize) -> ServiceEntry {
    let status =
        |rng: &mut Rng| ["passing", "passing", "passing", "warning", "critical"][rng.usize(..5)];
    let node = format!("node{}.example", rng.u8(..4));
    let maintenance = rng.u8(..12) == 0;
    let (state, output) = (status(rng), format!("took {} ms", rng.u8(..)));
    let mut checks = vec![
        json!({ "Node": node, "CheckID": "serfHealth", "Status": "passing" }),
        json!({ "Node": node, "CheckID": "service:x", "Name": "x", "Status": state, "Output": output }),
    ];
    if maintenance {
        checks.push(
            json!({ "Node": node, "CheckID": "_service_maintenance:x", "Status": "critical" }),
        );
    }
    let tags: Vec<&str> = ["v1", "v2", "canary", "a=b"]
        .into_iter()
        .filter(|_| rng.bool())
        .collect();
    let own_address = if rng.bool() {
        format!("10.1.{}.{}", rng.u8(..), rng.u8(..))
    } else {
        String::new()
    };
    let address = format!("10.0.0.{}", rng.u8(1..));
    let (port, zone) = (rng.u16(1..), ["a", "b"][rng.usize(..2)]);
    let (passing, warning) = (rng.u16(..=300), rng.u8(..=2));
    let entry: Value = json!({
        "Node": { "Node": node, "Address": address, "Datacenter": "dc1", "Meta": { "rack": "r1" } },
        "Service": {
            "ID": format!("{service}/{id}"), "Service": service, "Address": own_address, "Port": port,
            "Tags": tags, "Meta": { "zone": zone },
            "Weights": { "Passing": passing, "Warning": warning },
        },
        "Checks": checks,
    });
    serde_json::from_value(entry).expect("an entry as Consul writes it")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// How many snapshots; `TURNO_SNAPSHOTS=10000` for more.
    fn cases() -> u64 {
        let given = std::env::var("TURNO_SNAPSHOTS").ok();
        given.and_then(|text| text.parse().ok()).unwrap_or(300)
    }

    const EVERYTHING: &str = r#"{{#each (services) as |e|}}{{e.Name}} {{join e.Tags ","}}
{{#each (service e.Name health="any") as |s|}}{{s.Node}} {{s.ID}} {{s.Status}} {{s.Address}}:{{s.Port}} {{toJSON s}}
{{/each}}{{#each (byTag (service e.Name)) as |l t|}}{{t}}={{len l}} {{/each}}
{{#each (byMeta (service e.Name "any") "zone") as |l z|}}{{z}}:{{join (pluck (sortBy l "Port") "Port") ","}} {{/each}}
{{/each}}{{toJSON (explode (tree "config"))}}"#;

    #[test]
    fn the_same_snapshot_in_any_order_gives_the_same_text() {
        let shipped = [
            include_str!("../../../templates/haproxy-reload.cfg.hbs"),
            include_str!("../../../templates/hosts.hbs"),
        ];
        let shipped = shipped.map(|text| text.replace("\"hello\"", "\"hello-0\""));
        let templates: Vec<Engine> = [shipped.to_vec(), vec![EVERYTHING.to_owned()]]
            .concat()
            .iter()
            .map(|text| Engine::new(Path::new("t"), text).expect("a template"))
            .collect();
        let mut texts = std::collections::BTreeSet::new();
        for seed in 0..cases() {
            let snapshot = Snapshot::new(seed);
            let other = snapshot.shuffled(seed + 1);
            for template in &templates {
                let text = snapshot.rendered(template);
                assert_eq!(text, other.rendered(template), "snapshot {seed}");
                texts.insert(text);
            }
        }
        let different = u64::try_from(texts.len()).expect("a count");
        assert!(
            different > cases(),
            "the snapshots say next to nothing: {different} texts"
        );
    }
}
