//! Is the instance at the agent the one that was registered?
//!
//! A pure comparison. It allows for what the agent adds by itself (addresses it derives, checks of
//! others, a maintenance check), and cannot see how a check is run, for no agent tells.

use std::collections::BTreeMap;

use consul::types::{AgentCheck, AgentService, ServiceRegistration};

/// What the agent has of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// What it should have.
    Same,
    /// Nothing.
    Lost,
    /// Something else; what differs.
    Different(&'static str),
}

/// Compares the instance wanted with what the agent lists.
pub(crate) fn found(
    wanted: &ServiceRegistration,
    services: &BTreeMap<String, AgentService>,
    checks: &BTreeMap<String, AgentCheck>,
) -> Found {
    let Some(found) = services.get(wanted.effective_id()) else {
        return Found::Lost;
    };
    // With the override on, others may set the tags and the agent follows them.
    let tags_are_ours = !wanted.enable_tag_override;
    let addresses = |(key, address)| found.tagged_addresses.get(key) == Some(address);
    let missing = |id: &String| !checks.contains_key(id);
    let differences = [
        ("name", found.service != wanted.name),
        ("address", found.address != wanted.address),
        ("port", found.port != wanted.port),
        (
            "tags",
            tags_are_ours && sorted(&found.tags) != sorted(&wanted.tags),
        ),
        ("meta", found.meta != wanted.meta),
        (
            "weights",
            found.weights != wanted.weights.unwrap_or_default(),
        ),
        (
            "tag override",
            found.enable_tag_override != wanted.enable_tag_override,
        ),
        ("kind", found.kind != wanted.kind),
        (
            "tagged addresses",
            !wanted.tagged_addresses.iter().all(addresses),
        ),
        ("checks", wanted.check_ids().iter().any(missing)),
    ];
    match differences.into_iter().find(|(_, differs)| *differs) {
        Some((what, _)) => Found::Different(what),
        None => Found::Same,
    }
}

/// Checks under ids made for this instance that are no longer wanted, e.g. `service:web` of the days when
/// it had one check. Checks that others named are theirs.
pub(crate) fn leftovers(
    wanted: &ServiceRegistration,
    checks: &BTreeMap<String, AgentCheck>,
) -> Vec<String> {
    let id = wanted.effective_id();
    let wanted_ids = wanted.check_ids();
    checks
        .values()
        .filter(|check| check.service_id == id && is_made_for(id, &check.check_id))
        .filter(|check| !wanted_ids.contains(&check.check_id))
        .map(|check| check.check_id.clone())
        .collect()
}

/// Whether a check's id is one that is made for a check of the instance `id` that nobody named.
pub(crate) fn is_made_for(id: &str, check: &str) -> bool {
    let rest = check
        .strip_prefix("service:")
        .and_then(|rest| rest.strip_prefix(id));
    match rest {
        Some("") => true,
        Some(rest) => rest
            .strip_prefix(':')
            .is_some_and(|n| n.parse::<u32>().is_ok()),
        None => false,
    }
}

fn sorted(tags: &[String]) -> Vec<&String> {
    let mut tags: Vec<_> = tags.iter().collect();
    tags.sort();
    tags
}

#[cfg(test)]
mod tests {
    use super::*;
    use consul::types::{CheckDefinition, TaggedAddress, Weights};
    use std::time::Duration;

    fn wanted() -> ServiceRegistration {
        ServiceRegistration {
            id: "web-1".to_owned(),
            tags: vec!["b".to_owned(), "a".to_owned()],
            checks: vec![CheckDefinition::ttl(Duration::from_secs(9))],
            ..ServiceRegistration::new("web", "127.0.0.1", 80)
        }
    }

    fn listed() -> AgentService {
        let derived = TaggedAddress {
            address: "127.0.0.1".to_owned(),
            port: 80,
        };
        AgentService {
            id: "web-1".to_owned(),
            service: "web".to_owned(),
            tags: vec!["a".to_owned(), "b".to_owned()],
            address: "127.0.0.1".to_owned(),
            tagged_addresses: BTreeMap::from([("lan_ipv4".to_owned(), derived)]),
            port: 80,
            ..AgentService::default()
        }
    }

    fn checks(ids: &[&str]) -> BTreeMap<String, AgentCheck> {
        let check = |id: &&str| AgentCheck {
            check_id: (*id).to_owned(),
            service_id: "web-1".to_owned(),
            ..AgentCheck::default()
        };
        ids.iter().map(|id| ((*id).to_owned(), check(id))).collect()
    }

    fn verdict(wanted: &ServiceRegistration, listed: AgentService, ids: &[&str]) -> Found {
        found(
            wanted,
            &BTreeMap::from([(listed.id.clone(), listed)]),
            &checks(ids),
        )
    }

    #[test]
    fn what_the_agent_adds_makes_no_difference() {
        assert_eq!(
            verdict(&wanted(), listed(), &["service:web-1", "another"]),
            Found::Same
        );
        let plain = ServiceRegistration::new("web-1", "", 0);
        let listed = AgentService {
            id: "web-1".to_owned(),
            service: "web-1".to_owned(),
            ..AgentService::default()
        };
        assert_eq!(
            verdict(&plain, listed, &[]),
            Found::Same,
            "the name is the id"
        );
        assert_eq!(
            found(&plain, &BTreeMap::new(), &BTreeMap::new()),
            Found::Lost
        );
    }

    #[test]
    fn what_does() {
        type Change = fn(&mut AgentService);
        let changes: [(&str, Change); 7] = [
            ("name", |found| found.service = "other".to_owned()),
            ("address", |found| found.address = String::new()),
            ("port", |found| found.port = 81),
            ("tags", |found| found.tags.clear()),
            ("meta", |found| {
                found.meta = BTreeMap::from([("a".to_owned(), String::new())])
            }),
            ("weights", |found| {
                found.weights = Weights {
                    passing: 2,
                    warning: 1,
                }
            }),
            ("tag override", |found| found.enable_tag_override = true),
        ];
        for (what, change) in changes {
            let mut listed = listed();
            change(&mut listed);
            assert_eq!(
                verdict(&wanted(), listed, &["service:web-1"]),
                Found::Different(what)
            );
        }
        assert_eq!(
            verdict(&wanted(), listed(), &["another"]),
            Found::Different("checks")
        );
        let lan = BTreeMap::from([("lan".to_owned(), TaggedAddress::default())]);
        let more = ServiceRegistration {
            tagged_addresses: lan,
            ..wanted()
        };
        assert_eq!(
            verdict(&more, listed(), &["service:web-1"]),
            Found::Different("tagged addresses")
        );
    }

    #[test]
    fn tags_under_override_are_anybodys() {
        let wanted = ServiceRegistration {
            enable_tag_override: true,
            ..wanted()
        };
        let listed = AgentService {
            enable_tag_override: true,
            tags: Vec::new(),
            ..listed()
        };
        assert_eq!(verdict(&wanted, listed, &["service:web-1"]), Found::Same);
    }

    #[test]
    fn which_checks_are_left_over() {
        let ids = [
            "service:web-1",
            "service:web-1:2",
            "service:web-1:x",
            "service:web-10",
            "_service_maintenance:web-1",
            "own",
        ];
        assert_eq!(leftovers(&wanted(), &checks(&ids)), ["service:web-1:2"]);
        let two = ServiceRegistration {
            checks: vec![CheckDefinition::default(); 2],
            ..wanted()
        };
        assert_eq!(leftovers(&two, &checks(&ids)), ["service:web-1"]);
    }
}
