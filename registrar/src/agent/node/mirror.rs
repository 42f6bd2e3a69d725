//! Alias checks without an agent: a check that repeats the health of an instance of this node, and of the node itself, as
//! Consul's agent works them out. Pure: wanted and found in, found out.

use std::collections::BTreeMap;

use consul::types::{CheckDefinition, Status};

use super::plan::name;
use super::results::Outcome;
use crate::definition::Joined;

/// Aliases of aliases are followed this deep; then a circle is taken as settled.
const DEPTH: usize = 8;

/// Adds what the alias checks come to. They begin critical, so that a circle of them alone stays so.
pub(super) fn settle(wanted: &Joined, results: &mut BTreeMap<String, Outcome>) {
    let of_services = wanted.services.values().flat_map(|service| {
        let ids = service.check_ids().into_iter();
        ids.zip(&service.checks)
    });
    let alone = wanted.checks.iter().map(|(id, check)| (id.clone(), check));
    let aliases: Vec<(String, &str)> = of_services
        .chain(alone)
        .filter_map(|(id, check)| target(check).map(|target| (id, target)))
        .collect();
    for _ in 0..DEPTH {
        let mut moved = false;
        for (id, target) in &aliases {
            let outcome = look(wanted, results, id, target);
            if results.get(id) != Some(&outcome) {
                results.insert(id.clone(), outcome);
                moved = true;
            }
        }
        if !moved {
            return;
        }
    }
}

/// The instance that is mirrored; empty for the node itself.
fn target(check: &CheckDefinition) -> Option<&str> {
    let service = check.alias_service.as_deref();
    service.or(check.alias_node.as_ref().map(|_| ""))
}

fn look(wanted: &Joined, results: &BTreeMap<String, Outcome>, own: &str, target: &str) -> Outcome {
    let instance = wanted.services.get(target);
    if instance.is_none() && !target.is_empty() {
        return Outcome {
            status: Status::Critical,
            output: format!("Service {target} could not be found on node "),
        };
    }
    let of_instance = instance.into_iter().flat_map(|service| {
        let checks = service.check_ids().into_iter().zip(&service.checks);
        checks.map(move |(id, check)| (id, check, Some(service)))
    });
    let of_node = wanted.checks.iter();
    let of_node = of_node.map(|(id, check)| (id.clone(), check, None));
    let mut found = Outcome {
        status: Status::Passing,
        output: "No checks found.".to_owned(),
    };
    for (id, check, service) in of_node.chain(of_instance) {
        if id == own {
            continue;
        }
        let result = results.get(&id);
        let status = result.map_or(check.status.unwrap_or(Status::Critical), |it| it.status);
        match status {
            Status::Passing if found.status == Status::Passing => {
                "All checks passing.".clone_into(&mut found.output);
            }
            Status::Passing => {}
            Status::Warning if found.status == Status::Critical => {}
            _ => {
                let said = result.map_or("", |it| it.output.as_str());
                let name = name(check, service);
                found.output = format!("Aliased check {name:?} failing: {said}");
                if status != Status::Warning {
                    found.status = Status::Critical;
                    return found;
                }
                found.status = Status::Warning;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{Format, join, parse};

    #[test]
    fn as_an_agent_mirrors() {
        let alias = |of: &str| {
            format!(
                "service {{ name = \"me\" check {{ id = \"al\" name = \"al\" alias_service = \"{of}\" }} }}"
            )
        };
        let web = "service { name = \"web\" check { id = \"w\" name = \"w\" tcp = \"h:1\" interval = \"9s\" } }";
        let node = "check { id = \"n\" name = \"n\" tcp = \"h:2\" interval = \"9s\" }";
        let bare = "service { name = \"bare\" }";
        let of_alias =
            "service { name = \"up\" check { id = \"up\" name = \"up\" alias_service = \"web\" } }";
        let circle = "service { name = \"up\" check { id = \"up\" name = \"up\" alias_service = \"down\" } }
            service { name = \"down\" check { id = \"down\" name = \"down\" alias_service = \"up\" } }";
        use Status::{Critical, Passing, Warning};
        for (text, w, n, want, output) in [
            (
                alias("gone"),
                Passing,
                Passing,
                Critical,
                "could not be found",
            ),
            (
                alias("bare") + bare,
                Passing,
                Passing,
                Passing,
                "No checks found.",
            ),
            (
                alias("web") + web,
                Passing,
                Passing,
                Passing,
                "All checks passing.",
            ),
            (
                alias("web") + web,
                Warning,
                Passing,
                Warning,
                "\"w\" failing: of w",
            ),
            (
                alias("web") + web,
                Critical,
                Passing,
                Critical,
                "\"w\" failing: of w",
            ),
            (
                alias("web") + web + node,
                Warning,
                Critical,
                Critical,
                "\"n\" failing: of n",
            ),
            (
                alias("up") + of_alias + web,
                Warning,
                Passing,
                Warning,
                "\"up\" failing",
            ),
            (
                alias("up") + of_alias + web,
                Passing,
                Passing,
                Passing,
                "All checks passing.",
            ),
            (
                alias("up") + circle,
                Passing,
                Passing,
                Critical,
                "\"up\" failing",
            ),
        ] {
            let definitions = parse("x", &text, Format::Hcl).expect("good definitions");
            let wanted = join([("x", &definitions)]).0;
            let outcome = |id: &str, status| {
                let output = format!("of {id}");
                (id.to_owned(), Outcome { status, output })
            };
            let mut results = BTreeMap::from([outcome("w", w), outcome("n", n)]);
            settle(&wanted, &mut results);
            let found = &results["al"];
            assert_eq!(found.status, want, "{text}");
            assert!(found.output.contains(output), "{text}: {}", found.output);
        }
    }
}
