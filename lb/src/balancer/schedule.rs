//! A weighted rotation written out: a list of indexes in which each candidate stands as often as its weight says.
//!
//! The order is the smooth one: before each turn every candidate gains its weight in credit, the richest takes the turn
//! and pays the total. Turns of one candidate are spread over the list and never bunched.

/// The longest schedule that is written out: 4 bytes an entry, so 256 KiB at most for a pool. Weights that would need
/// a longer one are scaled down together, none below 1.
const MAX_TURNS: u64 = 65_536;

/// The most credit updates spent on one schedule (turns × candidates): some ten milliseconds of the control task.
const MAX_WORK: u64 = 1 << 24;

/// The order of turns. Never empty.
#[derive(Debug)]
pub(crate) struct Schedule {
    turns: Box<[u32]>,
}

impl Schedule {
    /// Writes the schedule of `weights`, at least one, each at least 1 (a 0 counts as 1).
    pub(crate) fn new(weights: &[u32]) -> Self {
        let weights = reduced(weights);
        if weights.iter().all(|w| *w == 1) {
            return Self {
                turns: (0..weights.len() as u32).collect(),
            };
        }
        let total: i64 = weights.iter().sum::<u64>() as i64;
        let mut credits = vec![0_i64; weights.len()];
        let turns = (0..total).map(|_| {
            let mut richest = 0;
            for (index, weight) in weights.iter().enumerate() {
                credits[index] += *weight as i64;
                if credits[index] > credits[richest] {
                    richest = index;
                }
            }
            credits[richest] -= total;
            richest as u32
        });
        Self {
            turns: turns.collect(),
        }
    }

    /// The candidate whose turn is the `n`-th, counted for ever.
    pub(crate) fn at(&self, n: usize) -> usize {
        self.turns[n % self.turns.len()] as usize
    }
}

/// The same shares in the smallest whole numbers that fit into [`MAX_TURNS`] and [`MAX_WORK`].
fn reduced(weights: &[u32]) -> Vec<u64> {
    let weights: Vec<u64> = weights.iter().map(|w| u64::from(*w).max(1)).collect();
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let exact: Vec<u64> = weights.iter().map(|w| w / divisor).collect();
    let total: u64 = exact.iter().sum();
    let limit = MAX_TURNS.min(MAX_WORK / weights.len() as u64);
    if total <= limit {
        return exact;
    }
    exact.iter().map(|w| (w * limit / total).max(1)).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn turns(weights: &[u32]) -> Vec<u32> {
        Schedule::new(weights).turns.to_vec()
    }

    #[test]
    fn schedules() {
        assert_eq!(turns(&[1]), [0]);
        assert_eq!(turns(&[7, 7]), [0, 1]);
        assert_eq!(turns(&[3, 1]), [0, 0, 1, 0]);
        assert_eq!(turns(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(turns(&[0, 1]), [0, 1]);
    }

    #[test]
    fn large_weights_are_scaled_down_and_nobody_is_lost() {
        let turns = turns(&[65_535, 65_534, 1]);
        assert!(turns.len() as u64 <= MAX_TURNS + 3);
        assert!(turns.contains(&2));
    }

    proptest! {
        #[test]
        fn shares_are_exact_and_spread(weights in proptest::collection::vec(1u32..40, 1..12)) {
            let turns = turns(&weights);
            let total: u64 = reduced(&weights).iter().sum();
            prop_assert_eq!(turns.len() as u64, total);
            for (i, share) in reduced(&weights).iter().enumerate() {
                let places: Vec<usize> = (0..turns.len()).filter(|t| turns[*t] == i as u32).collect();
                prop_assert_eq!(places.len() as u64, *share);
                // No candidate waits longer than twice its even distance, plus one turn for each peer.
                let even = turns.len() / places.len();
                let widest = places.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0);
                prop_assert!(widest <= 2 * even + weights.len(), "gap {widest}, even {even}");
            }
        }
    }
}
