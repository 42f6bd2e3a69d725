//! What may be taken out, and what must not, because another agent of this name put it there.
//!
//! A mark names an agent, and two agents may have one name: the same relative folder, the same path on two machines, one registry.
//! Each would take for its own past what the other one registers. But an earlier life registers nothing any more: what
//! bears our mark, is not defined here and was not there at the first look, is somebody's who lives.

use std::collections::{BTreeMap, BTreeSet};

use consul::types::{AgentCheck, AgentService};

use super::mark;
use super::plan::{Action, check_ids};
use crate::definition::Joined;

/// A row of an agent's lists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    Instance(String),
    Check(String),
}

/// What this life has defined, or has found at its first look.
#[derive(Debug, Default)]
pub(super) struct Ours {
    rows: BTreeSet<Row>,
    has_looked: bool,
    /// Of the namesake's, those that were told.
    told: BTreeSet<String>,
}

impl Ours {
    /// Takes the rows of a living namesake out of the lists, so that nobody touches them. Returns the instances, or checks by
    /// themselves, that are seen to be a namesake's for the first time.
    pub(super) fn hide_others(
        &mut self,
        name: &str,
        wanted: &Joined,
        services: &mut BTreeMap<String, AgentService>,
        checks: &mut BTreeMap<String, AgentCheck>,
    ) -> Vec<String> {
        let of_wanted = wanted.services.keys().cloned().map(Row::Instance);
        self.rows.extend(of_wanted);
        self.rows
            .extend(check_ids(wanted).into_iter().map(Row::Check));
        let marked = |service: &AgentService| {
            let by = service.meta.get(mark::AGENT);
            by.is_some_and(|by| by == name)
        };
        if !self.has_looked {
            self.has_looked = true;
            let instances = services.values().filter(|it| marked(it));
            self.rows
                .extend(instances.map(|it| Row::Instance(it.id.clone())));
            let alone = checks
                .values()
                .filter(|it| mark::notes_are_of(&it.notes, name));
            self.rows
                .extend(alone.map(|it| Row::Check(it.check_id.clone())));
        }
        let instances: BTreeSet<String> = services
            .values()
            .filter(|it| marked(it) && !self.rows.contains(&Row::Instance(it.id.clone())))
            .map(|it| it.id.clone())
            .collect();
        let alone: BTreeSet<String> = checks
            .values()
            .filter(|it| mark::notes_are_of(&it.notes, name))
            .filter(|it| !self.rows.contains(&Row::Check(it.check_id.clone())))
            .map(|it| it.check_id.clone())
            .collect();
        services.retain(|id, _| !instances.contains(id));
        checks.retain(|id, check| !alone.contains(id) && !instances.contains(&check.service_id));
        let seen = instances.into_iter().chain(alone);
        seen.filter(|id| self.told.insert(id.clone())).collect()
    }

    /// What was taken out is past: what comes back under its name is somebody else's.
    pub(super) fn taken_out(&mut self, action: &Action) {
        match action {
            Action::Deregister(id) => self.rows.remove(&Row::Instance(id.clone())),
            Action::DeregisterCheck(id) => self.rows.remove(&Row::Check(id.clone())),
            Action::Register(..) | Action::RegisterCheck(_) => return,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{Format, join, parse};

    fn defined(text: &str) -> Joined {
        let definitions = parse("x", text, Format::Hcl).expect("good definitions");
        mark::all(join([("x", &definitions)]).0, "me")
    }

    type Lists = (BTreeMap<String, AgentService>, BTreeMap<String, AgentCheck>);

    /// Instances, and checks as `CHECK@INSTANCE`, all with the mark of `name`.
    fn lists(name: &str, rows: &[&str]) -> Lists {
        let mut lists = Lists::default();
        for row in rows {
            match row.split_once('@') {
                Some((check, service)) => {
                    let check = AgentCheck {
                        check_id: check.to_owned(),
                        service_id: service.to_owned(),
                        notes: format!("[turno-agent {name} 0123]"),
                        ..AgentCheck::default()
                    };
                    lists.1.insert(check.check_id.clone(), check);
                }
                None => {
                    let service = AgentService {
                        id: (*row).to_owned(),
                        meta: BTreeMap::from([(mark::AGENT.to_owned(), name.to_owned())]),
                        ..AgentService::default()
                    };
                    lists.0.insert(service.id.clone(), service);
                }
            }
        }
        lists
    }

    /// What is left to see of `rows`, and what is told.
    fn look(ours: &mut Ours, wanted: &str, rows: &[&str]) -> (Vec<String>, Vec<String>) {
        let (mut services, mut checks) = lists("me", rows);
        let told = ours.hide_others("me", &defined(wanted), &mut services, &mut checks);
        (
            services.into_keys().chain(checks.into_keys()).collect(),
            told,
        )
    }

    const WEB: &str = "service { name = \"web\" }";

    #[test]
    fn what_was_there_at_first_is_the_past() {
        let mut ours = Ours::default();
        let rows = ["old", "load@", "own@old"];
        let all = vec!["old".to_owned(), "load".to_owned(), "own".to_owned()];
        let (mut seen, told) = look(&mut ours, WEB, &rows);
        seen.sort();
        let mut want = all;
        want.sort();
        assert_eq!((seen, told), (want, vec![]));
    }

    #[test]
    fn what_comes_later_is_a_namesakes() {
        let mut ours = Ours::default();
        look(&mut ours, WEB, &["old"]);
        // Ours was registered, and somebody else's appeared, with checks of its own.
        let rows = ["old", "web", "db", "own@db", "load@"];
        let (seen, told) = look(&mut ours, WEB, &rows);
        assert_eq!(seen, ["old", "web"]);
        assert_eq!(told, ["db", "load", "own"]);
        assert_eq!(look(&mut ours, WEB, &rows).1, Vec::<String>::new(), "once");
        // What our files say no longer is ours to take out.
        assert_eq!(look(&mut ours, "", &rows).0, ["old", "web"]);
    }

    #[test]
    fn what_comes_back_after_it_was_taken_out_is_a_namesakes() {
        let mut ours = Ours::default();
        assert_eq!(look(&mut ours, WEB, &["db", "load@"]).0, ["db", "load"]);
        ours.taken_out(&Action::Deregister("db".to_owned()));
        ours.taken_out(&Action::DeregisterCheck("load".to_owned()));
        let (seen, told) = look(&mut ours, WEB, &["web", "db", "load@"]);
        assert_eq!(seen, ["web"]);
        assert_eq!(told, ["db", "load"]);
        // And ours again, once our files say it.
        let both = format!("{WEB} service {{ name = \"db\" }}");
        assert_eq!(look(&mut ours, &both, &["web", "db"]).0, ["db", "web"]);
    }

    #[test]
    fn other_names_are_nobodys_business_here() {
        let mut ours = Ours::default();
        look(&mut ours, WEB, &[]);
        let (mut services, mut checks) = lists("another", &["db", "load@"]);
        let told = ours.hide_others("me", &defined(WEB), &mut services, &mut checks);
        assert_eq!((services.len(), checks.len(), told.len()), (1, 1, 0));
    }
}
