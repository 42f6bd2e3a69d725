//! What to tell an agent so that it has what the files say, and no longer has what they said.
//!
//! Pure: wanted and listed in, actions out. What others have registered is not touched, unless the files claim its id.

use std::collections::{BTreeMap, BTreeSet};

use consul::types::{AgentCheck, AgentService, CheckDefinition, ServiceRegistration};

use super::mark;
use crate::definition::Joined;
use crate::register::compare::{self, Found};

/// One thing to tell the agent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// Register an instance; why.
    Register(Box<ServiceRegistration>, &'static str),
    /// Register a check alone.
    RegisterCheck(Box<CheckDefinition>),
    /// Take an instance out.
    Deregister(String),
    /// Take a check out.
    DeregisterCheck(String),
}

/// Compares what is `wanted` (marked as that of the agent `name`) with what is listed. With `hold` nothing is taken
/// out: registrations come first anyway, so that an instance that moved to another id is never missing.
pub(super) fn plan(
    wanted: &Joined,
    name: &str,
    hold: bool,
    services: &BTreeMap<String, AgentService>,
    checks: &BTreeMap<String, AgentCheck>,
) -> Vec<Action> {
    let mut actions = Vec::new();
    for service in wanted.services.values() {
        let why = match compare::found(service, services, checks) {
            Found::Same => continue,
            Found::Lost => "new",
            Found::Different(what) => what,
        };
        actions.push(Action::Register(Box::new(service.clone()), why));
    }
    for (id, check) in &wanted.checks {
        if !checks
            .get(id)
            .is_some_and(|found| is_same_check(check, found))
        {
            actions.push(Action::RegisterCheck(Box::new(check.clone())));
        }
    }
    if !hold {
        actions.extend(removals(wanted, name, services, checks));
    }
    actions
}

fn is_same_check(wanted: &CheckDefinition, found: &AgentCheck) -> bool {
    // The notes hold the fingerprint of everything else.
    wanted.notes.as_deref() == Some(&found.notes)
        && wanted.service_id.as_deref().unwrap_or_default() == found.service_id
}

fn removals(
    wanted: &Joined,
    name: &str,
    services: &BTreeMap<String, AgentService>,
    checks: &BTreeMap<String, AgentCheck>,
) -> Vec<Action> {
    let ours = |service: &&AgentService| service.meta.get(mark::AGENT).is_some_and(|by| by == name);
    let unwanted = |service: &&AgentService| !wanted.services.contains_key(&service.id);
    let gone: BTreeSet<String> = services
        .values()
        .filter(ours)
        .filter(unwanted)
        .map(|service| service.id.clone())
        .collect();
    let wanted_checks = check_ids(wanted);
    let ours = |check: &&AgentCheck| {
        let of = &check.service_id;
        let made = wanted.services.contains_key(of) && compare::is_made_for(of, &check.check_id);
        made || mark::notes_are_of(&check.notes, name)
    };
    let stale = checks
        .values()
        .filter(ours)
        .filter(|check| !wanted_checks.contains(&check.check_id))
        // Those of an instance go with it.
        .filter(|check| !gone.contains(&check.service_id))
        .map(|check| Action::DeregisterCheck(check.check_id.clone()));
    let gone = gone.iter().cloned().map(Action::Deregister);
    gone.chain(stale.collect::<Vec<_>>()).collect()
}

/// The ids of all checks that are wanted.
pub(super) fn check_ids(wanted: &Joined) -> BTreeSet<String> {
    let of_services = wanted
        .services
        .values()
        .flat_map(|service| service.check_ids());
    wanted.checks.keys().cloned().chain(of_services).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{Format, join, parse};

    fn wanted(text: &str) -> Joined {
        let definitions = parse("x", text, Format::Hcl).expect("good definitions");
        mark::all(join([("x", &definitions)]).0, "me")
    }

    /// What an agent lists after it was told all of `joined`.
    fn listed(joined: &Joined) -> (BTreeMap<String, AgentService>, BTreeMap<String, AgentCheck>) {
        let mut checks = BTreeMap::new();
        let mut add = |id: String, check: &CheckDefinition, service_id: &str| {
            let notes = check.notes.clone().unwrap_or_default();
            let found = AgentCheck {
                check_id: id.clone(),
                notes,
                service_id: service_id.to_owned(),
                ..AgentCheck::default()
            };
            checks.insert(id, found);
        };
        let mut services = BTreeMap::new();
        for (id, service) in &joined.services {
            for (check_id, check) in service.check_ids().into_iter().zip(&service.checks) {
                add(check_id, check, id);
            }
            let found = AgentService {
                id: id.clone(),
                service: service.name.clone(),
                tags: service.tags.clone(),
                meta: service.meta.clone(),
                port: service.port,
                address: service.address.clone(),
                weights: service.weights.unwrap_or_default(),
                ..AgentService::default()
            };
            services.insert(id.clone(), found);
        }
        for (id, check) in &joined.checks {
            add(
                id.clone(),
                check,
                check.service_id.as_deref().unwrap_or_default(),
            );
        }
        (services, checks)
    }

    fn said(actions: Vec<Action>) -> Vec<String> {
        let one = |action| match action {
            Action::Register(service, why) => format!("+{} ({why})", service.effective_id()),
            Action::RegisterCheck(check) => {
                format!("+check {}", check.check_id.unwrap_or_default())
            }
            Action::Deregister(id) => format!("-{id}"),
            Action::DeregisterCheck(id) => format!("-check {id}"),
        };
        actions.into_iter().map(one).collect()
    }

    /// From what one text defines to what another does.
    fn between(before: &str, after: &str, hold: bool) -> Vec<String> {
        let (services, checks) = listed(&wanted(before));
        said(plan(&wanted(after), "me", hold, &services, &checks))
    }

    const WEB: &str = "service { name = \"web\" check { ttl = \"9s\" } }";

    #[test]
    fn what_was_added_changed_and_removed() {
        let both = format!("{WEB} check {{ name = \"load\" ttl = \"9s\" }}");
        for (before, after, want) in [
            ("", both.as_str(), vec!["+web (new)", "+check load"]),
            (&both, &both, vec![]),
            (&both, "", vec!["-web", "-check load"]),
            (
                WEB,
                "service { name = \"web\" port = 1 check { ttl = \"9s\" } }",
                vec!["+web (port)"],
            ),
            (
                WEB,
                "service { name = \"web\" check { ttl = \"8s\" } }",
                vec!["+web (meta)"],
            ),
            (
                WEB,
                "service { id = \"web-1\" name = \"web\" check { ttl = \"9s\" } }",
                vec!["+web-1 (new)", "-web"],
            ),
            (
                WEB,
                "service { name = \"web\" check { ttl = \"9s\" } check { tcp = \"h:1\" interval = \"1s\" } }",
                vec!["+web (meta)", "-check service:web"],
            ),
            (
                "service { name = \"web\" check { id = \"own\" ttl = \"9s\" } }",
                "service { name = \"web\" }",
                vec!["+web (meta)", "-check own"],
            ),
            (
                "check { name = \"a\" ttl = \"9s\" }",
                "check { name = \"a\" ttl = \"8s\" }",
                vec!["+check a"],
            ),
            (
                "check { name = \"a\" service_id = \"db\" ttl = \"9s\" }",
                "check { name = \"a\" service_id = \"db2\" ttl = \"9s\" }",
                vec!["+check a"],
            ),
        ] {
            assert_eq!(between(before, after, false), want, "{before} -> {after}");
        }
        assert_eq!(between(&both, "", true), Vec::<String>::new(), "held");
    }

    #[test]
    fn what_others_registered_is_theirs() {
        let (mut services, mut checks) = listed(&wanted(WEB));
        let maintenance = "_service_maintenance:web";
        for (id, service_id) in [(maintenance, "web"), ("theirs", "web"), ("node", "")] {
            let check = AgentCheck {
                check_id: id.to_owned(),
                service_id: service_id.to_owned(),
                notes: "[turno-agent another 0123]".to_owned(),
                ..AgentCheck::default()
            };
            checks.insert(id.to_owned(), check);
        }
        let other = AgentService {
            id: "other".to_owned(),
            meta: BTreeMap::from([(mark::AGENT.to_owned(), "another".to_owned())]),
            ..AgentService::default()
        };
        services.insert("other".to_owned(), other);
        assert_eq!(
            said(plan(&wanted(WEB), "me", false, &services, &checks)),
            Vec::<String>::new()
        );
        let claimed = wanted("service { id = \"other\" name = \"mine\" }");
        assert_eq!(
            said(plan(&claimed, "me", false, &services, &checks)),
            ["+other (name)", "-web"]
        );
    }
}
