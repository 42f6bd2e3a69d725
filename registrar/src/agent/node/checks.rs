//! Checks run here: how definitions become what the runner does, and what it found last.
//!
//! It knows no catalog; a status that changed wakes whoever writes to one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use consul::types::{CheckDefinition, Status, parse_duration};
use tokio::sync::Notify;

use crate::check::{CheckKind, CheckSpec, Report, Tls};

/// No check runs more often than this; a shorter interval is raised to it, as an agent does.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// What a check of an instance is to the runner.
pub(super) fn spec(id: String, check: &CheckDefinition) -> Result<CheckSpec, String> {
    let length = |text: &Option<String>| {
        text.as_deref()
            .and_then(|text| parse_duration(text).ok())
            .unwrap_or_default()
    };
    Ok(CheckSpec {
        kind: kind(&id, check)?,
        id,
        interval: length(&check.interval).max(INTERVAL_MIN),
        // Zero: the runner knows what each kind may take.
        timeout: length(&check.timeout),
        success_before_passing: check.success_before_passing,
        failures_before_critical: check.failures_before_critical,
        failures_before_warning: check.failures_before_warning,
        output_max: usize::try_from(check.output_max_size).unwrap_or_default(),
    })
}

/// The same for a check that stands alone, which can only be one of the node.
pub(super) fn alone(id: &str, check: &CheckDefinition) -> Result<CheckSpec, String> {
    match &check.service_id {
        Some(service) => Err(format!(
            "no file defines the instance {service:?} it is for"
        )),
        None => spec(id.to_owned(), check),
    }
}

fn kind(id: &str, check: &CheckDefinition) -> Result<CheckKind, String> {
    let tls = || Tls {
        server_name: check.tls_server_name.clone().unwrap_or_default(),
        skip_verify: check.tls_skip_verify,
    };
    Ok(match check {
        CheckDefinition {
            http: Some(url), ..
        } => CheckKind::Http {
            url: url.clone(),
            method: check.method.clone().unwrap_or_else(|| "GET".to_owned()),
            headers: headers(check),
            body: check.body.clone().unwrap_or_default(),
            tls: tls(),
            disable_redirects: check.disable_redirects,
        },
        CheckDefinition {
            tcp: Some(address), ..
        } => CheckKind::Tcp {
            address: address.clone(),
            tls: check.tcp_use_tls.then(tls),
        },
        CheckDefinition {
            udp: Some(address), ..
        } => CheckKind::Udp {
            address: address.clone(),
        },
        CheckDefinition {
            grpc: Some(target), ..
        } => CheckKind::Grpc {
            target: target.clone(),
            tls: check.grpc_use_tls.then(tls),
        },
        CheckDefinition {
            h2ping: Some(address),
            ..
        } => CheckKind::H2Ping {
            address: address.clone(),
            tls: check.h2ping_use_tls.unwrap_or(true).then(tls),
        },
        CheckDefinition {
            zmtp: Some(address),
            ..
        } => CheckKind::Zmtp {
            address: address.clone(),
        },
        CheckDefinition {
            os_service: Some(name),
            ..
        } => CheckKind::OsService { name: name.clone() },
        _ => {
            return Err(format!(
                "the check {id:?} needs an agent; without one, http, tcp, udp, grpc, h2ping, zmtp and os_service checks are run"
            ));
        }
    })
}

fn headers(check: &CheckDefinition) -> Vec<(String, String)> {
    let each = |(name, values): (&String, &Vec<String>)| {
        let name = name.clone();
        values
            .iter()
            .map(move |value| (name.clone(), value.clone()))
            .collect::<Vec<_>>()
    };
    check.header.iter().flat_map(each).collect()
}

/// What a check found last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) status: Status,
    pub(super) output: String,
}

/// What all checks found last.
#[derive(Debug, Default)]
pub(super) struct Results {
    outcomes: Mutex<BTreeMap<String, Outcome>>,
    changed: Notify,
}

impl Results {
    /// Makes room for a check that begins with `initial`. Returns the status it has, for it may have run before.
    pub(super) fn begin(&self, id: &str, initial: Status) -> Status {
        let fresh = || Outcome {
            status: initial,
            output: String::new(),
        };
        self.outcomes()
            .entry(id.to_owned())
            .or_insert_with(fresh)
            .status
    }

    pub(super) fn forget(&self, id: &str) {
        self.outcomes().remove(id);
    }

    pub(super) fn snapshot(&self) -> BTreeMap<String, Outcome> {
        self.outcomes().clone()
    }

    /// Waits until a status has changed since this was last waited for.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn outcomes(&self) -> MutexGuard<'_, BTreeMap<String, Outcome>> {
        // Nothing under this lock leaves the map half changed.
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report for Results {
    fn report(&self, check_id: &str, status: Status, output: String) {
        let mut outcomes = self.outcomes();
        let Some(outcome) = outcomes.get_mut(check_id) else {
            return;
        };
        let changed = outcome.status != status;
        *outcome = Outcome { status, output };
        drop(outcomes);
        if changed {
            self.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_run_here() {
        let interval = Duration::from_millis(10);
        let http = spec(
            "a".to_owned(),
            &CheckDefinition::http("http://h/", interval),
        )
        .expect("it can");
        assert_eq!(
            (http.interval, http.timeout),
            (INTERVAL_MIN, Duration::ZERO)
        );
        let refused =
            spec("a".to_owned(), &CheckDefinition::ttl(interval)).expect_err("nobody can report");
        assert!(
            refused.starts_with("the check \"a\" needs an agent"),
            "{refused}"
        );
        let mut of_another = CheckDefinition::tcp("h:1", interval);
        assert!(alone("a", &of_another).is_ok());
        of_another.service_id = Some("db".to_owned());
        assert!(alone("a", &of_another).is_err());
    }

    #[tokio::test]
    async fn only_a_changed_status_wakes() {
        let results = Results::default();
        assert_eq!(results.begin("a", Status::Critical), Status::Critical);
        results.report("a", Status::Critical, "no".to_owned());
        results.report("unknown", Status::Passing, String::new());
        let waiting = tokio::time::timeout(Duration::from_millis(20), results.changed()).await;
        assert!(waiting.is_err(), "nothing has changed");
        results.report("a", Status::Passing, "yes".to_owned());
        results.changed().await;
        assert_eq!(
            results.begin("a", Status::Critical),
            Status::Passing,
            "it has run before"
        );
        assert_eq!(results.snapshot()["a"].output, "yes");
        results.forget("a");
        assert!(results.snapshot().is_empty());
    }
}
