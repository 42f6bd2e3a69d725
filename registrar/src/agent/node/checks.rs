//! Checks without an agent: what becomes of a definition here, and why nothing does. Pure; it knows neither results nor
//! the catalog.

use std::time::Duration;

use consul::types::{CheckDefinition, parse_duration};

use crate::check::{CheckKind, CheckSpec, Scripts, Source, Tls};

/// No check runs more often than this; a shorter interval is raised to it, as an agent does.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// How a check gets its status.
#[derive(Debug)]
pub(super) enum How {
    /// It is run here.
    Run(CheckSpec),
    /// Programs report it, at least so often.
    Told(Duration),
    /// It repeats the health of an instance of this node.
    Mirror,
}

/// What can be done here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Means<'a> {
    /// The name of our node.
    pub(super) node: &'a str,
    /// Whether programs may be run.
    pub(super) scripts: Scripts,
    /// Whether there is a place where programs report to.
    pub(super) reports: bool,
}

impl Means<'_> {
    /// What becomes of a check of an instance, or why nothing does.
    pub(super) fn of(&self, id: String, check: &CheckDefinition) -> Result<How, String> {
        let length = |text: &Option<String>| {
            text.as_deref()
                .and_then(|text| parse_duration(text).ok())
                .unwrap_or_default()
        };
        if check.ttl.is_some() {
            return if self.reports {
                Ok(How::Told(length(&check.ttl)))
            } else {
                Err(format!(
                    "nobody can report the check {id:?}: give --report-listen ADDR, or use an agent"
                ))
            };
        }
        if check.alias_service.is_some() || check.alias_node.is_some() {
            return self.mirror(&id, check);
        }
        Ok(How::Run(CheckSpec {
            kind: self.kind(&id, check)?,
            id,
            interval: length(&check.interval).max(INTERVAL_MIN),
            // Zero: the runner knows what each kind may take.
            timeout: length(&check.timeout),
            success_before_passing: check.success_before_passing,
            failures_before_critical: check.failures_before_critical,
            failures_before_warning: check.failures_before_warning,
            output_max: usize::try_from(check.output_max_size).unwrap_or_default(),
        }))
    }

    /// The same for a check that stands alone, which can only be one of the node.
    pub(super) fn of_node(&self, id: &str, check: &CheckDefinition) -> Result<How, String> {
        match &check.service_id {
            Some(service) => Err(format!(
                "no file defines the instance {service:?} it is for"
            )),
            None => self.of(id.to_owned(), check),
        }
    }

    fn mirror(&self, id: &str, check: &CheckDefinition) -> Result<How, String> {
        let other = check.alias_node.as_deref();
        if other.is_some_and(|node| !node.eq_ignore_ascii_case(self.node)) {
            return Err(format!(
                "the check {id:?} mirrors another node, which takes an agent"
            ));
        }
        Ok(How::Mirror)
    }

    fn kind(&self, id: &str, check: &CheckDefinition) -> Result<CheckKind, String> {
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
            CheckDefinition { args, .. }
                if !args.is_empty() && check.docker_container_id.is_none() =>
            {
                let source = Source::Local;
                self.scripts.permit(source).map_err(|_| {
                    format!(
                        "the check {id:?} runs a program; give --enable-local-script-checks if it may"
                    )
                })?;
                CheckKind::Script {
                    args: args.clone(),
                    source,
                }
            }
            _ => {
                return Err(format!("the check {id:?} is of a kind that takes an agent"));
            }
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const MEANS: Means<'static> = Means {
        node: "vm-1",
        scripts: Scripts::Off,
        reports: false,
    };
    const ALL: Means<'static> = Means {
        node: "vm-1",
        scripts: Scripts::Local,
        reports: true,
    };

    #[test]
    fn what_can_be_run_here() {
        let interval = Duration::from_millis(10);
        let http = CheckDefinition::http("http://h/", interval);
        let Ok(How::Run(http)) = MEANS.of("a".to_owned(), &http) else {
            panic!("it can be run");
        };
        assert_eq!(
            (http.interval, http.timeout),
            (INTERVAL_MIN, Duration::ZERO)
        );
        let mut of_another = CheckDefinition::tcp("h:1", interval);
        assert!(MEANS.of_node("a", &of_another).is_ok());
        of_another.service_id = Some("db".to_owned());
        assert!(MEANS.of_node("a", &of_another).is_err());
    }

    #[test]
    fn what_takes_more_than_a_runner() {
        let check = |json: &str| serde_json::from_str::<CheckDefinition>(json).expect("a check");
        let ttl = check(r#"{"TTL": "9s"}"#);
        let script = check(r#"{"Args": ["true"], "Interval": "9s"}"#);
        let docker = check(r#"{"Args": ["true"], "DockerContainerID": "x", "Interval": "9s"}"#);
        let own = check(r#"{"AliasService": "web", "AliasNode": "VM-1"}"#);
        let other = check(r#"{"AliasService": "web", "AliasNode": "vm-2"}"#);
        for (means, check, word) in [
            (MEANS, &ttl, Some("--report-listen")),
            (ALL, &ttl, None),
            (MEANS, &script, Some("--enable-local-script-checks")),
            (ALL, &script, None),
            (ALL, &docker, Some("agent")),
            (MEANS, &own, None),
            (ALL, &other, Some("another node")),
        ] {
            let how = means.of("a".to_owned(), check);
            match (how, word) {
                (Ok(_), None) => {}
                (Err(reason), Some(word)) => assert!(reason.contains(word), "{reason}"),
                (how, _) => panic!("{check:?}: {how:?}"),
            }
        }
    }
}
