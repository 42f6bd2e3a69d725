//! The way with an agent: it is told what to register, and runs the checks itself.
//!
//! The agent may be Consul's on this machine or the embedded registry. It is looked at again and again, so that what it
//! lost or what others changed is set right.

use std::collections::BTreeMap;

use consul::types::Status;
use consul::{Client, Error};

use super::namesake::Ours;
use super::plan::{Action, check_ids, plan};
use super::refusal::{self, Refused};
use super::{Settled, Wanted};

/// An agent that is told.
#[derive(Debug)]
pub(super) struct Local {
    client: Client,
    name: String,
    /// The checks' statuses at the last look, to start from when the agent lost them.
    statuses: BTreeMap<String, Status>,
    ours: Ours,
}

impl Local {
    pub(super) fn new(client: Client, name: String) -> Self {
        Self {
            client,
            name,
            statuses: BTreeMap::new(),
            ours: Ours::default(),
        }
    }

    /// Sets right what differs. A refusal of one thing keeps nothing else from being done.
    pub(super) async fn settle(&mut self, wanted: &Wanted) -> Result<Settled, Error> {
        let mut services = self.client.agent_services().await?;
        let mut checks = self.client.agent_checks().await?;
        let others = self
            .ours
            .hide_others(&self.name, &wanted.joined, &mut services, &mut checks);
        if !others.is_empty() {
            tracing::error!(
                agent = self.name,
                ?others,
                "another agent of this name registers at this registry too: give one of the two another --name"
            );
        }
        let actions = plan(&wanted.joined, &self.name, wanted.hold, &services, &checks);
        let mut refused = Refused::new();
        for action in actions {
            let subject = subject(&action);
            let result = self.carry_out(action.clone()).await;
            if refusal::note(&mut refused, || subject, result)? {
                self.ours.taken_out(&action);
            }
        }
        self.statuses
            .extend(checks.into_iter().map(|(id, check)| (id, check.status)));
        let ids = check_ids(&wanted.joined);
        self.statuses.retain(|id, _| ids.contains(id));
        Ok(Settled { refused })
    }

    async fn carry_out(&self, action: Action) -> Result<(), Error> {
        match action {
            Action::Register(mut service, why) => {
                let id = service.effective_id().to_owned();
                for (check, id) in service.check_ids().into_iter().enumerate() {
                    let status = self.statuses.get(&id).copied();
                    service.checks[check].status = status.or(service.checks[check].status);
                }
                self.client.register_service(&service).await?;
                tracing::info!(instance = id, service = service.name, why, "registered");
            }
            Action::RegisterCheck(mut check) => {
                let id = check.check_id.clone().unwrap_or_default();
                check.status = self.statuses.get(&id).copied().or(check.status);
                self.client.register_check(&check).await?;
                tracing::info!(check = id, "registered");
            }
            Action::Deregister(id) => {
                self.client.deregister_service(&id).await?;
                tracing::info!(instance = id, "deregistered");
            }
            Action::DeregisterCheck(id) => {
                self.client.deregister_check(&id).await?;
                tracing::info!(check = id, "deregistered");
            }
        }
        Ok(())
    }
}

fn subject(action: &Action) -> String {
    match action {
        Action::Register(service, _) => format!("service {}", service.effective_id()),
        Action::RegisterCheck(check) => {
            format!("check {}", check.check_id.as_deref().unwrap_or_default())
        }
        Action::Deregister(id) => format!("service {id}"),
        Action::DeregisterCheck(id) => format!("check {id}"),
    }
}
