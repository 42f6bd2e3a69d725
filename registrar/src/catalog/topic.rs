//! What a reader can wait for, and what a change says it touched.
//! The catalog names topics; who waits on them, and how waiters are woken, is not its business.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::model::{Key, Status};
use super::undo::Before;
use crate::check::CheckSpec;

/// One thing a reader can wait on. Names are folded to lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// The health of one service: instances, their checks' status, checks and records of their nodes.
    ServiceHealth(Key),
    /// The instances of one service and the records of their nodes, not their checks.
    ServiceInstances(Key),
    /// The list of services with their tags: any change of any instance.
    Services,
    /// The node records.
    Nodes,
    /// One node's record and its instances, not their checks.
    NodeServices(Key),
    /// The checks on one node.
    NodeChecks(Key),
    /// The checks of one service.
    ServiceChecks(Key),
    /// Any check of any service: what a reader of an unknown service's checks waits on.
    AnyServiceCheck,
    /// Any check at all.
    AnyCheck,
    /// The checks in one state: entering, leaving, changing within.
    State(Status),
    /// One instance of the agent's own, by id.
    AgentService(Key),
    /// One key.
    Key(Key),
    /// The keys that begin with a text. Nobody touches it by name: see [`Topic::wider`].
    Prefix(Key),
    /// All sessions.
    Sessions,
    /// One session.
    Session(Key),
    /// The sessions of one node.
    NodeSessions(Key),
    /// The prepared queries.
    Prepared,
    /// The list of events, which is no part of the catalog.
    Events,
}

impl Topic {
    /// The topics that are touched whenever this one is: for a key, every prefix of it.
    pub fn wider(&self) -> impl Iterator<Item = Topic> {
        let key = match self {
            Topic::Key(key) => Some(key),
            _ => None,
        };
        key.into_iter().flat_map(|key| {
            let starts = key.char_indices().map(|(at, _)| at);
            let ends = starts.chain([key.len()]);
            ends.map(|end| Topic::Prefix(key[..end].into()))
        })
    }
}

/// What one change did: whom to wake and which checks to start or stop running.
/// Nothing changed that a waiting reader could see if `topics` is empty.
#[derive(Default)]
#[must_use = "readers are not woken and checks are not run unless the effects are applied"]
pub struct Effects {
    /// Whom to wake.
    pub topics: BTreeSet<Topic>,
    /// Everybody is to be woken, whatever they wait for.
    pub everything: bool,
    /// Checks to run from now on, each with the status it starts from; replaces one of the same id.
    pub start: Vec<(CheckSpec, Status)>,
    /// Checks to run no longer.
    pub stop: Vec<Key>,
}

impl Effects {
    /// Has a check run; takes back an earlier stop of it.
    pub(super) fn start_check(&mut self, spec: CheckSpec, status: Status) {
        self.stop.retain(|id| **id != *spec.id);
        self.start.push((spec, status));
    }

    /// Has a check run no longer; takes back an earlier start of it.
    pub(super) fn stop_check(&mut self, id: Key) {
        self.start.retain(|(spec, _)| *spec.id != *id);
        self.stop.push(id);
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effects")
            .field("topics", &self.topics)
            .field(
                "start",
                &self
                    .start
                    .iter()
                    .map(|(spec, _)| &spec.id)
                    .collect::<Vec<_>>(),
            )
            .field("stop", &self.stop)
            .finish()
    }
}

/// A change in progress: the index it will carry, and what it touched so far.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) index: u64,
    pub(super) effects: Effects,
    /// When it happens.
    pub(super) now: Duration,
    /// What it changed was before, oldest first; `None` if it will not be taken back.
    pub(super) undo: Option<Vec<Before>>,
    /// (node, instance or the empty text for the node) whose checks or existence changed; kept only while there are
    /// alias checks.
    pub(super) moved: BTreeSet<(Key, Key)>,
}

impl Change {
    pub(super) fn touch(&mut self, topic: Topic) {
        self.effects.topics.insert(topic);
    }
}
