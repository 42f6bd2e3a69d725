//! How much a catalog holds, in numbers; found without looking at each row, but for nodes and sessions.

use super::{Catalog, Status};

/// How many there are of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)] // each is the number of what it is called
pub struct Sizes {
    pub nodes: usize,
    pub services: usize,
    pub instances: usize,
    pub passing: usize,
    pub warning: usize,
    pub critical: usize,
    pub keys: usize,
    pub sessions: usize,
    /// Of the sessions, those that end if they are not renewed.
    pub sessions_with_ttl: usize,
    pub prepared_queries: usize,
}

impl Catalog {
    /// How much it holds.
    pub fn sizes(&self) -> Sizes {
        let checks = |status| self.states.get(&status).map_or(0, |checks| checks.len());
        let sessions = self.sessions(None);
        Sizes {
            nodes: self.nodes.len(),
            services: self.services.len(),
            instances: self.nodes.values().map(|row| row.instances.len()).sum(),
            passing: checks(Status::Passing),
            warning: checks(Status::Warning),
            critical: checks(Status::Critical),
            keys: self.kv.len(),
            sessions: sessions.len(),
            sessions_with_ttl: sessions.iter().filter(|row| row.ttl.is_some()).count(),
            prepared_queries: self.prepared.len(),
        }
    }
}
