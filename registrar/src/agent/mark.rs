//! How an agent knows again what it registered, also after a restart: marks in the registration itself.
//!
//! An instance has metadata for that; a check alone has only its notes. The mark names the agent and holds a fingerprint
//! of the definition, because no registry tells how a check is run.

use consul::types::{CheckDefinition, ServiceRegistration};

use crate::definition::Joined;

/// The metadata key with the name of the agent that keeps the instance.
pub const AGENT: &str = "turno-agent";

/// The metadata key with the fingerprint of its definition.
pub const DEFINITION: &str = "turno-definition";

/// Marks everything that is to be registered as that of the agent `name`.
pub(super) fn all(mut joined: Joined, name: &str) -> Joined {
    for service in joined.services.values_mut() {
        mark_service(service, name);
    }
    for check in joined.checks.values_mut() {
        mark_check(check, name);
    }
    joined
}

fn mark_service(service: &mut ServiceRegistration, name: &str) {
    // Checks that others could have named: without a mark one could not tell which to take out later.
    for check in &mut service.checks {
        if check.check_id.is_some() {
            mark_check(check, name);
        }
    }
    let mut shown = service.clone();
    // What everybody can read must not help to guess a secret.
    shown.token = None;
    let fingerprint = fingerprint(&shown);
    service.meta.insert(AGENT.to_owned(), name.to_owned());
    service.meta.insert(DEFINITION.to_owned(), fingerprint);
}

fn mark_check(check: &mut CheckDefinition, name: &str) {
    let mut shown = check.clone();
    shown.token = None;
    let mark = format!("[{AGENT} {name} {}]", fingerprint(&shown));
    check.notes = Some(match check.notes.take() {
        Some(notes) => format!("{notes} {mark}"),
        None => mark,
    });
}

/// Whether notes bear the mark of the agent `name`.
pub(super) fn notes_are_of(notes: &str, name: &str) -> bool {
    let mark = notes.rsplit_once(&format!("[{AGENT} "));
    mark.and_then(|(_, mark)| mark.strip_suffix(']'))
        .and_then(|mark| mark.rsplit_once(' '))
        .is_some_and(|(marked, _)| marked == name)
}

/// FNV-1a over the JSON of a definition: the same on every machine and in every version, for it outlives the process.
fn fingerprint(definition: &impl serde::Serialize) -> String {
    // Definitions are plain data with text keys.
    let bytes = serde_json::to_vec(definition).unwrap_or_default();
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use consul::types::Secret;
    use std::time::Duration;

    fn marked(change: impl FnOnce(&mut ServiceRegistration)) -> ServiceRegistration {
        let mut service = ServiceRegistration::new("web", "10.0.0.7", 80);
        service.checks = vec![CheckDefinition::ttl(Duration::from_secs(9))];
        change(&mut service);
        mark_service(&mut service, "a b");
        service
    }

    #[test]
    fn a_fingerprint_follows_everything_but_the_token() {
        let mark = |change: fn(&mut ServiceRegistration)| marked(change).meta[DEFINITION].clone();
        let plain = mark(|_| {});
        assert_eq!(
            plain, "6827b369399b821c",
            "it must stay what it was in every version"
        );
        assert_eq!(
            plain,
            mark(|service| service.token = Some(Secret("s3cret".to_owned())))
        );
        assert_ne!(
            plain,
            mark(|service| service.checks[0].ttl = Some("10s".to_owned()))
        );
        assert_ne!(plain, mark(|service| service.port = 81));
    }

    #[test]
    fn checks_with_names_bear_a_mark() {
        let service = marked(|service| service.checks[0].check_id = Some("own".to_owned()));
        let notes = service.checks[0].notes.as_deref().expect("a mark");
        assert!(notes_are_of(notes, "a b"), "{notes}");
        assert!(!notes_are_of(notes, "b") && !notes_are_of(notes, "a"));
        assert!(notes_are_of(
            &format!("said [{AGENT} x 1] and {notes}"),
            "a b"
        ));
        assert!(!notes_are_of("about turno-agent a b", "a b") && !notes_are_of("", ""));
        assert_eq!(marked(|_| {}).checks[0].notes, None);
        assert_eq!(service.meta[AGENT], "a b");
    }
}
