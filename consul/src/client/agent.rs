//! The agent's endpoints: register, report, and what the agent knows of itself.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Client, segment};
use crate::error::Error;
use crate::types::{
    AgentCheck, AgentMember, AgentSelf, AgentService, CheckDefinition, ServiceRegistration, Status,
};

/// No body.
const NOTHING: Option<&()> = None;

/// The body of `/v1/agent/check/update`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Update<'a> {
    status: Status,
    output: &'a str,
}

/// Every method fails with [`Error::Unreachable`] or [`Error::Timeout`] when the agent is away, and with
/// [`Error::Status`] when it refuses.
impl Client {
    /// Registers an instance, or changes it. Checks it had before and that are not named stay.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn register_service(&self, service: &ServiceRegistration) -> Result<(), Error> {
        self.put(&["v1", "agent", "service", "register"], &[], Some(service))
            .await
    }

    /// Registers an instance, or changes it; checks it had before and that are not named go. Those that
    /// are named again keep their status.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn replace_service(&self, service: &ServiceRegistration) -> Result<(), Error> {
        let replace = [("replace-existing-checks", "true".to_owned())];
        self.put(
            &["v1", "agent", "service", "register"],
            &replace,
            Some(service),
        )
        .await
    }

    /// Takes an instance out. One that is not there is no error (Consul before 1.11 says 200, later 404).
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn deregister_service(&self, id: &str) -> Result<(), Error> {
        let id = segment("service id", id)?;
        absent_is_done(
            self.put(&["v1", "agent", "service", "deregister", id], &[], NOTHING)
                .await,
        )
    }

    /// Puts an instance into maintenance, for a reason, or with `None` takes it out again.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn service_maintenance(&self, id: &str, reason: Option<&str>) -> Result<(), Error> {
        let mut parameters = vec![("enable", reason.is_some().to_string())];
        parameters.extend(
            reason
                .filter(|text| !text.is_empty())
                .map(|text| ("reason", text.to_owned())),
        );
        let id = segment("service id", id)?;
        self.put(
            &["v1", "agent", "service", "maintenance", id],
            &parameters,
            NOTHING,
        )
        .await
    }

    /// Puts the agent's whole node into maintenance, for a reason, or with `None` takes it out again.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn node_maintenance(&self, reason: Option<&str>) -> Result<(), Error> {
        let mut parameters = vec![("enable", reason.is_some().to_string())];
        parameters.extend(
            reason
                .filter(|text| !text.is_empty())
                .map(|text| ("reason", text.to_owned())),
        );
        self.put(&["v1", "agent", "maintenance"], &parameters, NOTHING)
            .await
    }

    /// The members of the cluster as this agent sees them.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn agent_members(&self) -> Result<Vec<AgentMember>, Error> {
        self.get(&["v1", "agent", "members"]).await
    }

    /// The instances registered with this agent, by id.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn agent_services(&self) -> Result<BTreeMap<String, AgentService>, Error> {
        self.get(&["v1", "agent", "services"]).await
    }

    /// The checks registered with this agent, by id.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn agent_checks(&self) -> Result<BTreeMap<String, AgentCheck>, Error> {
        self.get(&["v1", "agent", "checks"]).await
    }

    /// The agent's own settings: node name, datacenter, version.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn agent_self(&self) -> Result<AgentSelf, Error> {
        self.get(&["v1", "agent", "self"]).await
    }

    /// The leader's address, `None` when there is no leader.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn status_leader(&self) -> Result<Option<String>, Error> {
        let leader: Option<String> = self.get(&["v1", "status", "leader"]).await?;
        Ok(leader.filter(|address| !address.is_empty()))
    }

    /// Registers a check alone, by itself or for the instance it names.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn register_check(&self, check: &CheckDefinition) -> Result<(), Error> {
        // Here, and only here, Consul calls the id `ID`.
        let mut body = serde_json::to_value(check).map_err(|e| Error::Argument(e.to_string()))?;
        if let Some(fields) = body.as_object_mut()
            && let Some(id) = fields.remove("CheckID")
        {
            fields.insert("ID".to_owned(), id);
        }
        self.put(&["v1", "agent", "check", "register"], &[], Some(&body))
            .await
    }

    /// Takes a check out. One that is not there is no error.
    ///
    /// # Errors
    ///
    /// See [the client's errors](Error).
    pub async fn deregister_check(&self, id: &str) -> Result<(), Error> {
        let id = segment("check id", id)?;
        absent_is_done(
            self.put(&["v1", "agent", "check", "deregister", id], &[], NOTHING)
                .await,
        )
    }

    /// Reports a TTL check as passing; an empty note is not sent.
    ///
    /// # Errors
    ///
    /// [`Error::Status`] (500 before Consul 1.11, then 404) when there is no such TTL check.
    pub async fn pass_check(&self, id: &str, note: &str) -> Result<(), Error> {
        self.report(id, "pass", note).await
    }

    /// Reports a TTL check as warning; an empty note is not sent.
    ///
    /// # Errors
    ///
    /// As for [`Client::pass_check`].
    pub async fn warn_check(&self, id: &str, note: &str) -> Result<(), Error> {
        self.report(id, "warn", note).await
    }

    /// Reports a TTL check as critical; an empty note is not sent.
    ///
    /// # Errors
    ///
    /// As for [`Client::pass_check`].
    pub async fn fail_check(&self, id: &str, note: &str) -> Result<(), Error> {
        self.report(id, "fail", note).await
    }

    /// Reports a TTL check's status with an output of any length (Consul keeps the first 4 KiB).
    ///
    /// # Errors
    ///
    /// As for [`Client::pass_check`].
    pub async fn update_check(&self, id: &str, status: Status, output: &str) -> Result<(), Error> {
        let id = segment("check id", id)?;
        let update = Update { status, output };
        self.put(&["v1", "agent", "check", "update", id], &[], Some(&update))
            .await
    }

    async fn report(&self, id: &str, verb: &str, note: &str) -> Result<(), Error> {
        let id = segment("check id", id)?;
        let note: &[_] = if note.is_empty() {
            &[]
        } else {
            &[("note", note.to_owned())]
        };
        self.put(&["v1", "agent", "check", verb, id], note, NOTHING)
            .await
    }
}

fn absent_is_done(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}
