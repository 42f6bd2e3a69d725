//! Least connections and its weighted form: the candidate with the fewest requests in flight for its weight.
//!
//! Ties go to the next one in rotation, so that an idle pool still takes turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Load, Picker};

/// The least busy candidate, relative to its weight.
#[derive(Debug)]
pub(super) struct LeastConnections {
    weights: Box<[u64]>,
    turn: Arc<AtomicUsize>,
}

impl LeastConnections {
    pub(super) fn new(weights: &[u32], turn: Arc<AtomicUsize>) -> Self {
        Self {
            weights: weights.iter().map(|w| u64::from(*w).max(1)).collect(),
            turn,
        }
    }
}

impl Picker for LeastConnections {
    fn pick(&self, load: &dyn Load) -> usize {
        let n = self.weights.len();
        let start = self.turn.fetch_add(1, Ordering::Relaxed) % n;
        let mut best = start;
        // One more than what is in flight: the request being placed counts, or idle candidates of unequal weight tie.
        let mut best_load = load.in_flight(start) as u64 + 1;
        for step in 1..n {
            let index = if start + step < n {
                start + step
            } else {
                start + step - n
            };
            let candidate = load.in_flight(index) as u64 + 1;
            if candidate * self.weights[best] < best_load * self.weights[index] {
                (best, best_load) = (index, candidate);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::super::FixedLoad;
    use super::*;

    fn pick(weights: &[u32], load: &[usize]) -> usize {
        LeastConnections::new(weights, Arc::default()).pick(&FixedLoad(load))
    }

    #[test]
    fn the_least_busy_is_picked() {
        assert_eq!(pick(&[1, 1, 1], &[3, 1, 2]), 1);
        assert_eq!(pick(&[1, 1, 1], &[0, 0, 0]), 0);
        assert_eq!(pick(&[1], &[9]), 0);
    }

    #[test]
    fn weights_divide_the_load() {
        assert_eq!(pick(&[3, 1], &[2, 1]), 0);
        assert_eq!(pick(&[3, 1], &[5, 0]), 1);
        assert_eq!(pick(&[1, 3], &[0, 0]), 1);
    }

    #[test]
    fn ties_take_turns() {
        let picker = LeastConnections::new(&[1, 1], Arc::default());
        let load = FixedLoad(&[0, 0]);
        assert_eq!(
            [picker.pick(&load), picker.pick(&load), picker.pick(&load)],
            [0, 1, 0]
        );
    }
}
