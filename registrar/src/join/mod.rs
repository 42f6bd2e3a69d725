//! Moving up: everything a registry holds, told to another one (a real Consul), until that one says the same of it.
//!
//! `wire` turns rows into what Consul's endpoints take; `copier` tells the target what it does not know yet, over and
//! over, so that what changes in the meantime comes along; `proof` says what the target does not show as well as we do.
//! It only reads what it is given and never decides that the move has happened: whoever holds the registry does.

mod copier;
mod proof;
mod wire;

use consul::Client;

pub(crate) use self::copier::{Copier, Ours, take_back};
pub(crate) use self::proof::{Missing, unproven};

/// Of a list of names in a message, at most this many are written out.
const NAMES_SHOWN: usize = 5;

/// Why a registry cannot move, or not yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    /// The target is away or refuses.
    #[error("{what}: {source}")]
    Target {
        /// What was being done.
        what: String,
        /// What it said.
        source: consul::Error,
    },
    /// The target answers with something else than it should.
    #[error("{what}: the target answers {status}: {text}")]
    Refused {
        /// What was being done.
        what: String,
        /// The status.
        status: u16,
        /// The beginning of the text.
        text: String,
    },
    /// It would forward to itself for ever.
    #[error("{0} is this registry itself, or forwards to it; name the Consul to move to")]
    Itself(String),
    /// Clients that name the datacenter would no longer be answered.
    #[error(
        "this registry says that it is datacenter {here:?}, the target is {there:?}; clients that name theirs would fail"
    )]
    OtherDatacenter {
        /// Ours.
        here: String,
        /// The target's.
        there: String,
    },
    /// The check of a whole node would take every instance of the target's node out.
    #[error(
        "the whole node is in maintenance, and the target's node must not be: end it, or put single instances into \
         maintenance (turno maint --service ID --enable)"
    )]
    NodeMaintenance,
    /// An id is in use there.
    #[error(
        "the target's agent has an instance {id:?} of its own, with another name or address; deregister one of the two"
    )]
    InstanceTaken {
        /// The id.
        id: String,
    },
    /// A node of the cluster has that name.
    #[error(
        "{node:?} is a node with an agent of its own there: its entries here, written through the catalog, would be \
         taken out again by that agent; deregister them, or register them through the agent"
    )]
    NodeTaken {
        /// The name.
        node: String,
    },
    /// The target's own checks do not see what ours see.
    #[error("the target does not show as well as this registry does: {}", some(.0))]
    Unproven(Vec<String>),
    /// The last moment took too long.
    #[error("the last changes were not copied within {0:?}; writers were not held any longer")]
    TooSlow(std::time::Duration),
    /// That it has moved cannot be written down.
    #[error("cannot note in the data folder that the registry has moved: {0}")]
    Note(String),
}

/// The first few of a list, and how many more there are.
pub(crate) fn some(names: &[String]) -> String {
    let shown = names[..names.len().min(NAMES_SHOWN)].join("; ");
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

/// Who the target says it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// Name of its agent's node.
    pub(crate) node: String,
    /// UUID of that node.
    pub(crate) node_id: String,
    /// That node's address.
    pub(crate) address: String,
    /// Its datacenter.
    pub(crate) datacenter: String,
    /// The port it answers DNS on, if it says so and does.
    pub(crate) dns_port: Option<u16>,
}

impl Target {
    /// Asks the agent who it is.
    pub(crate) async fn ask(client: &Client) -> Result<Target, JoinError> {
        let what = "asking the target who it is";
        let this = copier::get(client, what, "/v1/agent/self").await?;
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let config = &this["Config"];
        let dns_port = this["DebugConfig"]["DNSPort"].as_u64();
        Ok(Target {
            node: text(&config["NodeName"]),
            node_id: text(&config["NodeID"]),
            address: text(&this["Member"]["Addr"]),
            datacenter: text(&config["Datacenter"]),
            dns_port: dns_port.and_then(|port| u16::try_from(port).ok()),
        })
    }
}

/// How much was told to the target, and what cannot be.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Moved {
    /// Instances registered with its agent.
    pub services: usize,
    /// Nodes written to its catalog.
    pub nodes: usize,
    /// Keys that are ours there.
    pub keys: usize,
    /// Keys that were there already with another value, and stay as they are there.
    pub keys_kept: usize,
    /// Prepared queries made there.
    pub queries: usize,
    /// What stays behind, in words.
    pub left: Vec<String>,
}
