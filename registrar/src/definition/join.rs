//! What all files together define: checks tied to their services, every id once.
//!
//! Pure; the order of the files decides who was first.

use std::collections::BTreeMap;

use consul::types::{CheckDefinition, ServiceRegistration};

use super::{Defined, Definitions, Position, Problem};

/// The definitions of all files, by the ids they are registered under.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Joined {
    /// Instances with all their checks.
    pub services: BTreeMap<String, ServiceRegistration>,
    /// Checks of the node, and of instances that none of the files defines.
    pub checks: BTreeMap<String, CheckDefinition>,
}

/// Joins files in their order. A definition whose id is taken already is left out and named.
pub fn join<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a Definitions)>,
) -> (Joined, Vec<Problem>) {
    let files: Vec<_> = files.into_iter().collect();
    let mut joining = Joining::default();
    for (file, definitions) in &files {
        for service in &definitions.services {
            joining.service(file, service);
        }
    }
    for (file, definitions) in &files {
        for check in &definitions.checks {
            joining.check(file, check);
        }
    }
    (joining.joined, joining.problems)
}

#[derive(Default)]
struct Joining<'a> {
    joined: Joined,
    /// Who has a service id, or a check id: checks of one agent share one space of ids.
    services: BTreeMap<String, (&'a str, Position)>,
    checks: BTreeMap<String, (&'a str, Position)>,
    problems: Vec<Problem>,
}

impl<'a> Joining<'a> {
    fn service(&mut self, file: &'a str, defined: &Defined<ServiceRegistration>) {
        let service = &defined.what;
        let id = service.effective_id().to_owned();
        if let Some(first) = self.services.get(&id).copied() {
            return self.taken(file, defined.at, "service.id", &id, first);
        }
        let check_ids = service.check_ids();
        for check in &check_ids {
            if let Some(first) = self.checks.get(check).copied() {
                return self.taken(file, defined.at, "service.check.id", check, first);
            }
        }
        self.checks.extend(
            check_ids
                .into_iter()
                .map(|check| (check, (file, defined.at))),
        );
        self.services.insert(id.clone(), (file, defined.at));
        self.joined.services.insert(id, service.clone());
    }

    fn check(&mut self, file: &'a str, defined: &Defined<CheckDefinition>) {
        let mut check = defined.what.clone();
        // Consul's rule for a check alone: its id is its name.
        let id = check
            .check_id
            .take()
            .or_else(|| check.name.clone())
            .unwrap_or_default();
        if let Some(first) = self.checks.get(&id).copied() {
            return self.taken(file, defined.at, "check.id", &id, first);
        }
        self.checks.insert(id.clone(), (file, defined.at));
        check.check_id = Some(id.clone());
        let service = check
            .service_id
            .as_ref()
            .and_then(|id| self.joined.services.get_mut(id));
        match service {
            Some(service) => {
                // The ids its own checks were given do not change by one more.
                let ids = service.check_ids();
                for (own, id) in service.checks.iter_mut().zip(ids) {
                    own.check_id = Some(id);
                }
                check.service_id = None;
                check.token = None;
                service.checks.push(check);
            }
            None => {
                self.joined.checks.insert(id, check);
            }
        }
    }

    fn taken(&mut self, file: &str, at: Position, key: &str, id: &str, first: (&str, Position)) {
        let (first, place) = first;
        self.problems.push(Problem {
            file: file.to_owned(),
            at: Some(at),
            key: key.to_owned(),
            text: format!(
                "{id:?} is taken already by {first}:{place}; this definition is left out"
            ),
        });
    }
}
