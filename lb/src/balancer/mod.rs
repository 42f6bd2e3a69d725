//! The policies: given upstreams that may be picked, which one takes the next request.
//!
//! A picker knows neither health nor sockets nor time. What is handed to it is eligible; live load is read through
//! [`Load`]. Pickers are built when a pool changes, so a pick allocates nothing and takes no lock.

mod least_connections;
mod random;
mod rotation;
mod schedule;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::config::Policy;

pub(crate) use schedule::Schedule;

/// How busy a candidate is: requests in flight now.
pub(crate) trait Load {
    /// Requests in flight on the candidate at `index`.
    fn in_flight(&self, index: usize) -> usize;
}

/// Chooses one of a pool's candidates, by index.
pub(crate) trait Picker: std::fmt::Debug + Send + Sync {
    /// The index of the candidate that takes one request. `load` has as many candidates as the picker was built for.
    fn pick(&self, load: &dyn Load) -> usize;
}

/// Builds the picker of `policy` for candidates with these `weights`, at least one.
///
/// `turn` is the place in the rotation; it outlives the picker, so that an update of the pool does not start over.
pub(crate) fn build(policy: Policy, weights: &[u32], turn: Arc<AtomicUsize>) -> Box<dyn Picker> {
    let equal = vec![1; weights.len()];
    match policy {
        Policy::RoundRobin => Box::new(rotation::Rotation::new(Schedule::new(&equal), turn)),
        Policy::WeightedRoundRobin => {
            Box::new(rotation::Rotation::new(Schedule::new(weights), turn))
        }
        Policy::LeastConnections => {
            Box::new(least_connections::LeastConnections::new(&equal, turn))
        }
        Policy::WeightedLeastConnections => {
            Box::new(least_connections::LeastConnections::new(weights, turn))
        }
        Policy::TwoChoices => Box::new(random::TwoChoices::new(weights.len())),
        Policy::Random => Box::new(random::Random::new(weights.len())),
    }
}

#[cfg(test)]
pub(crate) struct FixedLoad<'a>(pub(crate) &'a [usize]);

#[cfg(test)]
impl Load for FixedLoad<'_> {
    fn in_flight(&self, index: usize) -> usize {
        self.0[index]
    }
}
