//! What changed in the rotation, as a line for a person and an event for a program.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::snapshot::Difference;

/// One change of one service's rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The service.
    pub service: Arc<str>,
    /// The instance.
    pub instance: Arc<str>,
    /// Its address.
    pub address: SocketAddr,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// What can happen to an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It gets requests from now on.
    Joined {
        /// Its weight.
        weight: u32,
    },
    /// It gets no new request.
    Left {
        /// Why.
        reason: String,
    },
    /// It is at another address now.
    Moved {
        /// Where it was.
        from: SocketAddr,
    },
    /// Its weight is another.
    Reweighted {
        /// The weight it had.
        from: u32,
        /// The weight it has.
        to: u32,
    },
    /// It is registered and cannot be reached: left out for a while.
    Ejected,
}

impl Change {
    pub(super) fn new(service: &Arc<str>, difference: Difference) -> Self {
        let (endpoint, kind) = match difference {
            Difference::Joined(endpoint) => {
                let weight = endpoint.weight;
                (endpoint, ChangeKind::Joined { weight })
            }
            Difference::Left(endpoint, reason) => {
                let reason = reason.unwrap_or_else(|| "deregistered".to_owned());
                (endpoint, ChangeKind::Left { reason })
            }
            Difference::Moved(endpoint, from) => (endpoint, ChangeKind::Moved { from }),
            Difference::Reweighted(endpoint, from) => {
                let to = endpoint.weight;
                (endpoint, ChangeKind::Reweighted { from, to })
            }
        };
        Self {
            service: Arc::clone(service),
            instance: endpoint.id.instance,
            address: endpoint.address,
            kind,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            instance,
            address,
            kind,
        } = self;
        match kind {
            ChangeKind::Joined { weight: 1 } => {
                write!(f, "+ {service} {instance} {address} joined")
            }
            ChangeKind::Joined { weight } => {
                write!(
                    f,
                    "+ {service} {instance} {address} joined, weight {weight}"
                )
            }
            ChangeKind::Left { reason } => {
                write!(f, "- {service} {instance} {address} left: {reason}")
            }
            ChangeKind::Moved { from } => {
                write!(f, "~ {service} {instance} {address} moved from {from}")
            }
            ChangeKind::Reweighted { from, to } => {
                write!(f, "~ {service} {instance} {address} weight {from} -> {to}")
            }
            ChangeKind::Ejected => {
                write!(
                    f,
                    "! {service} {instance} {address} cannot be reached: left out for a while"
                )
            }
        }
    }
}
