//! Writing as Consul's agent does: instances and checks of the local node, TTL reports, results of checks that are run.
//! A check registered again keeps its status and output; a service registered again keeps its old checks unless asked.
//! It does not know where a result comes from, nor what time it is beyond the argument.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::alias::Alias;
use super::definition::{CheckDefinition, CheckIdRule, cut_output};
use super::model::{Check, Instance, Key, Origin, Status, Stored};
use super::store::Output;
use super::topic::{Change, Effects};
use super::undo::Before;
use super::{Catalog, CatalogError, validate};
use crate::check::CheckSpec;

/// A service as written in a registration: the instance and the checks that come with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceDefinition {
    /// The instance; an empty id becomes its name.
    pub instance: Instance,
    /// The `Check` field.
    pub check: CheckDefinition,
    /// The `Checks` field.
    pub checks: Vec<CheckDefinition>,
}

/// What the agent keeps of a check beyond what readers see.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(PartialEq))]
pub(super) struct AgentCheck {
    /// How it is run, if it is run.
    #[serde(with = "super::shape::spec")]
    pub(super) spec: Option<Box<CheckSpec>>,
    pub(super) ttl: Option<Ttl>,
    pub(super) alias: Option<Alias>,
    pub(super) deregister_after: Option<Duration>,
    /// Since when it has been *reported* critical; starting out critical does not count.
    pub(super) critical_since: Option<Duration>,
    pub(super) output_limit: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(PartialEq))]
pub(super) struct Ttl {
    pub(super) period: Duration,
    /// When it expires; `None` once it has.
    pub(super) deadline: Option<Duration>,
    pub(super) last_output: String,
}

impl Catalog {
    /// Registers a service with its checks on the local node at the time `now`.
    ///
    /// # Errors
    /// In Consul's words, what is wrong with the definition; nothing has changed then.
    pub fn register_service(
        &mut self,
        now: Duration,
        mut definition: ServiceDefinition,
        replace_checks: bool,
    ) -> Result<Effects, CatalogError> {
        let instance = &mut definition.instance;
        validate::instance(instance)?;
        if instance.id.is_empty() {
            instance.id = instance.name.clone();
        }
        instance.origin = Origin::Agent;
        tag_addresses(instance);
        let checks = checks_of(definition.check, definition.checks)?;
        let instance = definition.instance;
        let mut change = self.begin(now);
        let local = self.local.clone();
        self.put_instance(&mut change, &local, instance.clone());
        let total = checks.len();
        let mut kept: Vec<Key> = Vec::with_capacity(total);
        for (at, mut check) in checks.into_iter().enumerate() {
            if check.id.is_empty() {
                let rule = if total == 1 {
                    CheckIdRule::Only
                } else {
                    CheckIdRule::Nth(at + 1)
                };
                check.id = rule.id(&instance.id);
            }
            if check.name.is_empty() {
                check.name = format!("Service '{}' check", instance.name);
            }
            kept.push(check.id.as_str().into());
            self.put_agent_check(&mut change, now, check, Some(&instance));
        }
        if replace_checks {
            self.drop_checks_but(&mut change, &instance.id, &kept);
        }
        Ok(self.commit(change))
    }

    /// Registers a check of the local node, or of the instance its `service_id` names.
    ///
    /// # Errors
    /// In Consul's words, what is wrong with it.
    pub fn register_check(
        &mut self,
        now: Duration,
        mut check: CheckDefinition,
    ) -> Result<Effects, CatalogError> {
        if check.name.is_empty() {
            return Err(CatalogError::Invalid("Missing check name".into()));
        }
        if !check.status.is_empty() && Status::known(&check.status).is_none() {
            return Err(CatalogError::Invalid("Bad check status".into()));
        }
        check
            .validate()
            .map_err(|text| CatalogError::Invalid(format!("Invalid check: {text}")))?;
        check.supported()?;
        if check.id.is_empty() {
            check.id = check.name.clone();
        }
        let owner = if check.service_id.is_empty() {
            None
        } else {
            let found = self.agent_instance(&check.service_id);
            let missing =
                || CatalogError::Failed(format!("ServiceID {:?} does not exist", check.service_id));
            Some(found.ok_or_else(missing)?.value.clone())
        };
        let mut change = self.begin(now);
        self.put_agent_check(&mut change, now, check, owner.as_ref());
        Ok(self.commit(change))
    }

    /// Removes an instance of the local node with its checks; an unknown id is no error.
    pub fn deregister_service(&mut self, now: Duration, id: &str) -> Effects {
        let mut change = self.begin(now);
        self.drop_service(&mut change, id);
        self.commit(change)
    }

    /// Removes a check of the local node; an unknown id is no error.
    pub fn deregister_check(&mut self, now: Duration, id: &str) -> Effects {
        let mut change = self.begin(now);
        if self.agent_check(id).is_some() {
            self.drop_check(&mut change, id);
        }
        self.commit(change)
    }

    /// A TTL check's sign of life. The timer starts anew, the output is cut to the check's limit.
    ///
    /// # Errors
    /// Consul's text if there is no TTL check of that id.
    pub fn report_ttl(
        &mut self,
        now: Duration,
        id: &str,
        status: Status,
        output: &str,
    ) -> Result<Effects, CatalogError> {
        let missing =
            || CatalogError::Failed(format!("CheckID {id:?} does not have associated TTL"));
        let (key, check) = self.agent_checks.get_key_value(id).ok_or_else(missing)?;
        let key = key.clone();
        let period = check.ttl.as_ref().ok_or_else(missing)?.period;
        let output = cut_output(output, check.output_limit);
        self.set_ttl_deadline(&key, Some(now.saturating_add(period)), output.clone());
        let mut change = self.begin(now);
        self.set_status(&mut change, now, &key, status, &output);
        Ok(self.commit(change))
    }

    /// A result of a check that is run. One that was deregistered in the meantime is ignored.
    pub fn report_run(&mut self, now: Duration, id: &str, status: Status, output: &str) -> Effects {
        let key = match self.agent_checks.get_key_value(id) {
            Some((key, check)) if check.spec.is_some() => key.clone(),
            _ => return Effects::default(),
        };
        let mut change = self.begin(now);
        self.set_status(&mut change, now, &key, status, output);
        self.commit(change)
    }

    /// Sets a check's status, keeping track of since when it is critical. Only its output changing wakes nobody.
    pub(super) fn set_status(
        &mut self,
        change: &mut Change,
        now: Duration,
        id: &Key,
        status: Status,
        output: &str,
    ) {
        let local = self.local.clone();
        let Some(row) = self.check_row(&local, id) else {
            return;
        };
        let mut check = Check {
            status: status.clone(),
            output: output.into(),
            ..row.value.clone()
        };
        let owner = self.local_row().instances.get(&check.service_id);
        if let Some(owner) = owner.filter(|_| check.status != row.status) {
            // A check that is written takes over what its instance is called by then.
            check.service_name = owner.instance.name.clone();
            check.service_tags = owner.instance.tags.clone();
        }
        self.mark_critical(now, id, status == Status::Critical);
        self.put_check(change, &local, check, Output::Silent);
    }

    /// Stores a check of the agent's, keeping the status and output of one that has its id already.
    pub(super) fn put_agent_check(
        &mut self,
        change: &mut Change,
        now: Duration,
        definition: CheckDefinition,
        owner: Option<&Instance>,
    ) {
        let local = self.local.clone();
        let id: Key = definition.id.as_str().into();
        let known = self.check_row(&local, &id);
        let status = known
            .map(|row| row.status.clone())
            .unwrap_or_else(|| Status::known(&definition.status).unwrap_or(Status::Critical));
        let check = Check {
            id: id.clone(),
            name: definition.name.as_str().into(),
            status: status.clone(),
            notes: definition.notes.as_str().into(),
            output: known.map_or_else(|| "".into(), |row| row.output.clone()),
            service_id: owner.map_or_else(|| "".into(), |owner| owner.id.clone()),
            service_name: owner.map_or_else(|| "".into(), |owner| owner.name.clone()),
            service_tags: owner.map_or_else(|| [].into(), |owner| owner.tags.clone()),
            kind: definition.kind(),
            definition: None,
            origin: Origin::Agent,
        };
        self.put_check(change, &local, check, Output::Silent);
        self.arm(change, now, id, &definition, status);
    }

    /// Puts a check's timers and its running in order after it was registered (again).
    fn arm(
        &mut self,
        change: &mut Change,
        now: Duration,
        id: Key,
        definition: &CheckDefinition,
        status: Status,
    ) {
        let old = self.forget_deadlines(&id);
        let spec = definition.spec(&id).map(Box::new);
        let was_run = old.and_then(|old| old.spec);
        match (&spec, was_run) {
            // Running already, just so: a registrar that registers again and again must not keep it from running.
            (Some(spec), Some(was)) if *spec == was => {}
            (Some(spec), _) => change.effects.start_check((**spec).clone(), status),
            (None, Some(_)) => change.effects.stop_check(id.clone()),
            (None, None) => {}
        }
        let alias = (&*definition.kind() == "alias").then(|| Alias {
            node: definition.alias_node.as_str().into(),
            service_id: definition.alias_service.as_str().into(),
        });
        let check = AgentCheck {
            spec,
            ttl: definition.ttl().map(|period| Ttl {
                period,
                deadline: None,
                last_output: String::new(),
            }),
            alias,
            deregister_after: definition.deregister_after(),
            critical_since: None,
            output_limit: definition.output_limit(),
        };
        let expires = check.ttl.as_ref().map(|ttl| now.saturating_add(ttl.period));
        if let Some(alias) = &check.alias {
            let key = self.alias_key(alias, &id);
            self.aliases.insert(key);
        }
        self.agent_checks.insert(id.clone(), Box::new(check));
        self.set_ttl_deadline(&id, expires, String::new());
        self.settle_alias(change, now, &id);
    }

    pub(super) fn drop_service(&mut self, change: &mut Change, id: &str) {
        let Some(row) = self.local_row().instances.get(id) else {
            return;
        };
        if row.instance.origin != Origin::Agent {
            return;
        }
        let checks: Vec<Key> = row.checks.iter().map(|check| check.id.clone()).collect();
        for check in checks {
            self.drop_check(change, &check);
        }
        let local = self.local.clone();
        self.remove_instance(change, &local, id);
    }

    /// Removes a check of the local node with its timers, and stops it if it is run.
    pub(super) fn drop_check(&mut self, change: &mut Change, id: &str) {
        self.disarm(change, id);
        let local = self.local.clone();
        self.remove_check(change, &local, id);
    }

    /// Stops a check's timers and its running; its row stays.
    pub(super) fn disarm(&mut self, change: &mut Change, id: &str) {
        let key: Key = id.into();
        let Some(old) = self.forget_deadlines(&key) else {
            return;
        };
        if old.spec.is_some() {
            change.effects.stop_check(key.clone());
        }
        change.note(|| Before::Agent(key, old));
    }

    fn drop_checks_but(&mut self, change: &mut Change, service_id: &str, kept: &[Key]) {
        let old: Vec<Key> = self
            .local_row()
            .instances
            .get(service_id)
            .into_iter()
            .flat_map(|row| row.checks.iter())
            .map(|check| check.id.clone())
            .filter(|id| !kept.contains(id))
            .collect();
        for id in old {
            self.drop_check(change, &id);
        }
    }

    /// An instance registered through the agent.
    pub fn agent_instance(&self, id: &str) -> Option<&Stored<Instance>> {
        let row = self.local_row().instances.get(id)?;
        (row.instance.origin == Origin::Agent).then_some(&*row.instance)
    }

    fn agent_check(&self, id: &str) -> Option<&Stored<Check>> {
        let row = self.check_row(&self.local, id)?;
        (row.origin == Origin::Agent).then_some(&**row)
    }
}

/// The checks of a registration in order (`Check`, then `Checks`), or what is wrong with the first bad one.
fn checks_of(
    check: CheckDefinition,
    more: Vec<CheckDefinition>,
) -> Result<Vec<CheckDefinition>, CatalogError> {
    let mut checks = Vec::with_capacity(more.len() + 1);
    if !check.is_empty() {
        checks.push(check);
    }
    checks.extend(more);
    for check in &checks {
        check
            .validate()
            .map_err(|text| CatalogError::Invalid(format!("Invalid check: {text}")))?;
    }
    for check in &checks {
        if !check.status.is_empty() && Status::known(&check.status).is_none() {
            return Err(CatalogError::Invalid(
                "Status for checks must 'passing', 'warning', 'critical'".into(),
            ));
        }
    }
    for check in &checks {
        check.supported()?;
    }
    Ok(checks)
}

/// An address that is an IP literal is also the `lan` and `wan` address of its family.
fn tag_addresses(instance: &mut Instance) {
    let family = match instance.address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => "ipv4",
        Ok(IpAddr::V6(_)) => "ipv6",
        Err(_) => return,
    };
    for net in ["lan", "wan"] {
        let name = format!("{net}_{family}");
        if instance.tagged_addresses.get(&name).is_none() {
            let address = (instance.address.clone(), instance.port);
            instance.tagged_addresses.insert(name.into(), address);
        }
    }
}
