//! Maintenance mode: an instance, or the whole local node, is taken out of rotation by a critical check with a reason.
//! Ids, names and texts are Consul's. It does not know how the request came.

use std::time::Duration;

use super::model::{Check, Key, Origin, Status};
use super::store::Output;
use super::topic::Effects;
use super::{Catalog, CatalogError};

/// The id of the check that puts the whole node into maintenance.
pub const NODE_MAINTENANCE: &str = "_node_maintenance";
/// What comes before the instance's id in the id of the check that puts it into maintenance.
pub const SERVICE_MAINTENANCE_PREFIX: &str = "_service_maintenance:";

const SERVICE_REASON: &str = "Maintenance mode is enabled for this service, but no reason was provided. \
                              This is a default message.";
const NODE_REASON: &str = "Maintenance mode is enabled for this node, but no reason was provided. \
                           This is a default message.";

impl Catalog {
    /// Takes an instance out of rotation, or puts it back. A second enabling keeps the first reason.
    ///
    /// # Errors
    /// There is no such instance.
    pub fn service_maintenance(
        &mut self,
        now: Duration,
        id: &str,
        enable: bool,
        reason: &str,
    ) -> Result<Effects, CatalogError> {
        let Some(instance) = self.agent_instance(id).map(|row| row.value.clone()) else {
            return Err(CatalogError::NotFound(format!(
                "No service registered with ID {id:?}"
            )));
        };
        let check = Check {
            name: "Service Maintenance Mode".into(),
            notes: or_default(reason, SERVICE_REASON),
            service_id: instance.id.clone(),
            service_name: instance.name.clone(),
            service_tags: instance.tags.clone(),
            ..blank(format!("{SERVICE_MAINTENANCE_PREFIX}{id}").into())
        };
        Ok(self.set_maintenance(now, check, enable))
    }

    /// Takes the whole local node out of rotation, or puts it back.
    pub fn node_maintenance(&mut self, now: Duration, enable: bool, reason: &str) -> Effects {
        let check = Check {
            name: "Node Maintenance Mode".into(),
            notes: or_default(reason, NODE_REASON),
            ..blank(NODE_MAINTENANCE.into())
        };
        self.set_maintenance(now, check, enable)
    }

    fn set_maintenance(&mut self, now: Duration, check: Check, enable: bool) -> Effects {
        let local = self.local.clone();
        let on = self.check_row(&local, &check.id).is_some();
        let mut change = self.begin(now);
        if enable && !on {
            self.put_check(&mut change, &local, check, Output::Silent);
        } else if !enable && on {
            self.drop_check(&mut change, &check.id);
        }
        self.commit(change)
    }
}

fn or_default(reason: &str, default: &str) -> Key {
    if reason.is_empty() { default } else { reason }.into()
}

fn blank(id: Key) -> Check {
    Check {
        id,
        name: "".into(),
        status: Status::Critical,
        notes: "".into(),
        output: "".into(),
        service_id: "".into(),
        service_name: "".into(),
        service_tags: [].into(),
        kind: "maintenance".into(),
        definition: None,
        origin: Origin::Agent,
    }
}
