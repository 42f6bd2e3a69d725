//! Round robin and its weighted form: one shared index that walks a schedule.
//!
//! The index is one atomic for all workers, so a rotation is exact however the clients are spread over the cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Load, Picker, Schedule};

/// Each candidate in turn, in the order of a schedule.
#[derive(Debug)]
pub(super) struct Rotation {
    schedule: Schedule,
    turn: Arc<AtomicUsize>,
}

impl Rotation {
    pub(super) fn new(schedule: Schedule, turn: Arc<AtomicUsize>) -> Self {
        Self { schedule, turn }
    }
}

impl Picker for Rotation {
    fn pick(&self, _load: &dyn Load) -> usize {
        self.schedule.at(self.turn.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::super::FixedLoad;
    use super::*;

    fn picks(weights: &[u32], n: usize) -> Vec<usize> {
        let rotation = Rotation::new(Schedule::new(weights), Arc::default());
        (0..n).map(|_| rotation.pick(&FixedLoad(&[]))).collect()
    }

    #[test]
    fn equal_weights_take_turns() {
        assert_eq!(picks(&[1, 1, 1], 7), [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn the_turn_goes_on_when_the_picker_is_rebuilt() {
        let turn = Arc::new(AtomicUsize::new(0));
        let first = Rotation::new(Schedule::new(&[1, 1, 1]), Arc::clone(&turn));
        assert_eq!(first.pick(&FixedLoad(&[])), 0);
        let second = Rotation::new(Schedule::new(&[1, 1, 1]), turn);
        assert_eq!(second.pick(&FixedLoad(&[])), 1);
    }

    #[test]
    fn three_to_one_is_exact_and_never_more_than_three_in_a_row() {
        let picks = picks(&[3, 1], 4_000);
        assert_eq!(picks.iter().filter(|p| **p == 0).count(), 3_000);
        let longest = picks.chunk_by(|a, b| a == b).map(<[usize]>::len).max();
        assert_eq!(longest, Some(3));
    }
}
