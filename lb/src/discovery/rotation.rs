//! Whether a registered instance gets requests, and what part of them: a pure function of what the registry says.

use consul::types::{HealthCheck, ServiceEntry, Status};

/// Check ids of this form are maintenance, of a node or of a service (Consul: agent API, "maintenance mode").
const NODE_MAINTENANCE: &str = "_node_maintenance";
const SERVICE_MAINTENANCE: &str = "_service_maintenance:";

/// What an instance's registration means for the balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It gets requests.
    In {
        /// Its share: the registered weight for its status, 1..=65535.
        weight: u32,
    },
    /// It gets none.
    Out {
        /// Why, in words for a person.
        reason: String,
        /// Whether the only thing against it is a check that has not run yet.
        unchecked: bool,
    },
}

/// Tells whether `entry` gets requests. All checks count, also those of its node: maintenance and critical ones take it
/// out, a warning gives it the weight registered for warning.
#[must_use]
pub fn rotation(entry: &ServiceEntry) -> Rotation {
    if let Some(check) = entry.checks.iter().find(|check| is_maintenance(check)) {
        let why = if check.notes.is_empty() {
            String::new()
        } else {
            format!(": {}", check.notes)
        };
        return out(format!("maintenance{why}"));
    }
    let critical =
        |check: &&HealthCheck| matches!(check.status, Status::Critical | Status::Maintenance);
    let mut critical = entry.checks.iter().filter(critical).peekable();
    if let Some(first) = critical.peek() {
        let reason = format!("critical: {}", described(first));
        return Rotation::Out {
            unchecked: critical.all(|check| check.output.is_empty()),
            reason,
        };
    }
    let warning = entry
        .checks
        .iter()
        .find(|check| check.status == Status::Warning);
    let weights = entry.service.weights;
    match warning {
        Some(check) if weights.warning == 0 => out(format!(
            "warning, and the weight for warning is 0: {}",
            described(check)
        )),
        None if weights.passing == 0 => out("the weight for passing is 0".to_owned()),
        Some(_) => Rotation::In {
            weight: weights.warning.min(MAX_WEIGHT),
        },
        None => Rotation::In {
            weight: weights.passing.min(MAX_WEIGHT),
        },
    }
}

/// The largest weight Consul accepts (agent API, `Weights`).
const MAX_WEIGHT: u32 = 65_535;

fn out(reason: String) -> Rotation {
    Rotation::Out {
        reason,
        unchecked: false,
    }
}

fn is_maintenance(check: &HealthCheck) -> bool {
    check.check_id == NODE_MAINTENANCE || check.check_id.starts_with(SERVICE_MAINTENANCE)
}

/// A check by name, with the first line of what it said.
fn described(check: &HealthCheck) -> String {
    let name = if check.name.is_empty() {
        &check.check_id
    } else {
        &check.name
    };
    match check
        .output
        .lines()
        .next()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        Some(line) => format!("{name}: {line}"),
        None if check.status == Status::Critical => format!("{name} has not run yet"),
        None => name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(checks: &str) -> ServiceEntry {
        let text = format!(
            r#"{{"Node":{{"Node":"n","Address":"10.0.0.1"}},
                "Service":{{"ID":"w1","Service":"web","Port":80,"Weights":{{"Passing":3,"Warning":1}}}},
                "Checks":{checks}}}"#
        );
        serde_json::from_str(&text).expect("an entry as Consul writes it")
    }

    #[test]
    fn what_counts() {
        let serf = r#"{"CheckID":"serfHealth","Name":"Serf","Status":"passing","Output":"alive"}"#;
        for (checks, expected) in [
            ("[]".to_owned(), "in 3"),
            (format!("[{serf}]"), "in 3"),
            (
                format!(
                    r#"[{serf},{{"CheckID":"c","Name":"c","Status":"warning","Output":"slow"}}]"#
                ),
                "in 1",
            ),
            (
                format!(
                    r#"[{serf},{{"CheckID":"c","Name":"web up","Status":"critical","Output":"refused\nx"}}]"#
                ),
                "critical: web up: refused",
            ),
            (
                r#"[{"CheckID":"c","Name":"c","Status":"critical","Output":""}]"#.to_owned(),
                "critical: c has not run yet (unchecked)",
            ),
            (
                r#"[{"CheckID":"serfHealth","Name":"Serf","Status":"critical","Output":"gone"}]"#
                    .to_owned(),
                "critical: Serf: gone",
            ),
            (
                r#"[{"CheckID":"_service_maintenance:w1","Status":"critical","Notes":"upgrade"}]"#
                    .to_owned(),
                "maintenance: upgrade",
            ),
            (
                r#"[{"CheckID":"_node_maintenance","Status":"critical"}]"#.to_owned(),
                "maintenance",
            ),
        ] {
            let said = match rotation(&entry(&checks)) {
                Rotation::In { weight } => format!("in {weight}"),
                Rotation::Out {
                    reason,
                    unchecked: false,
                } => reason,
                Rotation::Out {
                    reason,
                    unchecked: true,
                } => format!("{reason} (unchecked)"),
            };
            assert_eq!(said, expected, "{checks}");
        }
    }
}
