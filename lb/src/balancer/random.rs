//! Random choice, and the less busy of two random choices.
//!
//! Chance comes from a generator of the calling thread, so workers share nothing here.

use super::{Load, Picker};

/// Any candidate, each as likely as the next.
#[derive(Debug)]
pub(super) struct Random {
    candidates: usize,
}

impl Random {
    pub(super) fn new(candidates: usize) -> Self {
        Self { candidates }
    }
}

impl Picker for Random {
    fn pick(&self, _load: &dyn Load) -> usize {
        fastrand::usize(..self.candidates)
    }
}

/// Two different candidates by chance, then the less busy of them.
#[derive(Debug)]
pub(super) struct TwoChoices {
    candidates: usize,
}

impl TwoChoices {
    pub(super) fn new(candidates: usize) -> Self {
        Self { candidates }
    }
}

impl Picker for TwoChoices {
    fn pick(&self, load: &dyn Load) -> usize {
        if self.candidates < 2 {
            return 0;
        }
        let first = fastrand::usize(..self.candidates);
        let other = fastrand::usize(..self.candidates - 1);
        let second = if other >= first { other + 1 } else { other };
        less_busy(first, second, load)
    }
}

fn less_busy(a: usize, b: usize, load: &dyn Load) -> usize {
    if load.in_flight(b) < load.in_flight(a) {
        b
    } else {
        a
    }
}

#[cfg(test)]
mod tests {
    use super::super::FixedLoad;
    use super::*;

    #[test]
    fn the_less_busy_of_two_wins_and_a_tie_goes_to_the_first() {
        let load = FixedLoad(&[4, 2, 2]);
        assert_eq!(less_busy(0, 1, &load), 1);
        assert_eq!(less_busy(1, 0, &load), 1);
        assert_eq!(less_busy(1, 2, &load), 1);
        assert_eq!(less_busy(2, 1, &load), 2);
    }

    #[test]
    fn two_choices_never_pick_the_busiest() {
        let picker = TwoChoices::new(3);
        assert!((0..1_000).all(|_| picker.pick(&FixedLoad(&[0, 0, 9])) != 2));
        assert_eq!(TwoChoices::new(1).pick(&FixedLoad(&[5])), 0);
    }

    #[test]
    fn random_reaches_everyone() {
        let picker = Random::new(3);
        let mut seen = [0; 3];
        for _ in 0..3_000 {
            seen[picker.pick(&FixedLoad(&[]))] += 1;
        }
        // A fair three-way choice falls under 800 of 3,000 less than once in 10^14 runs.
        assert!(seen.iter().all(|n| *n > 800), "{seen:?}");
    }
}
