//! Which results of a check count: so many in a row before the status may change.
//!
//! Pure: results in, a yes or no out. It knows neither clocks nor what a run does.

use consul::types::Status;

/// Counts results in a row. While a count is below its threshold nothing of that result is
/// reported, not even its output.
///
/// Both counts start at 0, yet the very first result always counts, whatever the thresholds:
/// Consul 1.8.7 behaves so (it starts both counts at their thresholds), and clients rely on a new
/// instance being judged by its first run.
#[derive(Debug)]
pub(super) struct Thresholds {
    before_passing: u32,
    before_warning: u32,
    before_critical: u32,
    successes: u32,
    failures: u32,
    first: bool,
}

impl Thresholds {
    /// With `before_warning` of 0 failures come to nothing until they come to critical.
    pub(super) fn new(before_passing: u32, before_warning: u32, before_critical: u32) -> Self {
        Self {
            before_passing,
            before_warning,
            before_critical,
            successes: 0,
            failures: 0,
            first: true,
        }
    }

    /// Records one result. Returns the status to report, if it counts: its own, or for a failure that is not yet
    /// critical a warning. A warning is a success here, as in Consul.
    pub(super) fn observe(&mut self, status: Status) -> Option<Status> {
        let first = std::mem::replace(&mut self.first, false);
        let (count, other, needed) = if status == Status::Critical {
            (
                &mut self.failures,
                &mut self.successes,
                self.before_critical,
            )
        } else {
            (&mut self.successes, &mut self.failures, self.before_passing)
        };
        *other = 0;
        // The first result stands for a full count, so that the ones like it count as well.
        *count = if first {
            needed
        } else {
            count.saturating_add(1)
        };
        if *count >= needed {
            return Some(status);
        }
        let warns = self.before_warning > 0 && self.failures >= self.before_warning;
        warns.then_some(Status::Warning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `P`, `W`, `C` in; the ones that count out, the others as `.`.
    fn counted(before_passing: u32, before_critical: u32, results: &str) -> String {
        reported(before_passing, 0, before_critical, results)
    }

    fn reported(passing: u32, warning: u32, critical: u32, results: &str) -> String {
        let mut thresholds = Thresholds::new(passing, warning, critical);
        let status = |letter| match letter {
            'P' => Status::Passing,
            'W' => Status::Warning,
            _ => Status::Critical,
        };
        results
            .chars()
            .map(|letter| match thresholds.observe(status(letter)) {
                Some(Status::Passing) => 'P',
                Some(Status::Warning) => 'W',
                Some(_) => 'C',
                None => '.',
            })
            .collect()
    }

    #[test]
    fn without_thresholds_every_result_counts() {
        for n in [0, 1] {
            assert_eq!(counted(n, n, "PCPWCCP"), "PCPWCCP");
        }
    }

    #[test]
    fn the_first_result_counts_whatever_the_thresholds() {
        assert_eq!(counted(3, 3, "P"), "P");
        assert_eq!(counted(3, 3, "C"), "C");
        assert_eq!(counted(3, 3, "W"), "W");
        assert_eq!(counted(u32::MAX, u32::MAX, "CC"), "CC");
    }

    #[test]
    fn results_in_a_row_are_needed() {
        assert_eq!(counted(1, 3, "PCCC"), "P..C");
        assert_eq!(counted(3, 1, "CPPPP"), "C..PP");
        assert_eq!(counted(2, 2, "PCCPP"), "P.C.P");
    }

    #[test]
    fn one_result_of_the_other_kind_starts_the_count_again() {
        assert_eq!(counted(1, 3, "PCCPCCC"), "P..P..C");
        assert_eq!(counted(3, 1, "CPPCPPP"), "C..C..P");
    }

    #[test]
    fn failures_may_warn_before_they_are_critical() {
        assert_eq!(reported(1, 2, 4, "PCCCCCP"), "P.WWCCP");
        assert_eq!(reported(1, 1, 3, "PCPCC"), "PWPWW");
        assert_eq!(reported(2, 2, 3, "PCCPP"), "P.W.P");
        assert_eq!(reported(1, 5, 2, "PCC"), "P.C", "critical comes first");
        assert_eq!(
            reported(1, 1, 3, "CC"),
            "CC",
            "the first result counts for all"
        );
    }

    #[test]
    fn a_warning_counts_as_a_success() {
        assert_eq!(counted(2, 2, "CWW"), "C.W");
        assert_eq!(counted(1, 2, "PCWC"), "P.W.");
    }

    #[test]
    fn below_the_threshold_even_results_that_agree_with_the_status_are_held() {
        // Passing, then one failure that does not count: two successes are needed to speak again.
        assert_eq!(counted(2, 2, "PCPP"), "P..P");
    }
}
