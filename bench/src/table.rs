//! Turns samples into the table that people read: medians, and how far the rounds lie apart.

use std::fmt::Write as _;

use crate::case::Case;
use crate::measure::Sample;
use crate::proxy::Kind;
use crate::registry::spread::Spread;

/// Everything measured.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    pub(crate) cases: &'a [Case],
    pub(crate) kinds: &'a [Kind],
    pub(crate) samples: &'a [Sample],
}

impl Table<'_> {
    /// A Markdown table: CPU time and rate, absolute and as a ratio to HAProxy in the same round.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(
            "| case | proxy | CPU µs/request | × HAProxy | requests/s | × HAProxy | failed |\n\
             |---|---|---:|---:|---:|---:|---:|\n",
        );
        for case in self.cases {
            for kind in self.kinds {
                self.row(&mut text, case, *kind)
                    .expect("a String takes everything");
            }
        }
        text
    }

    fn row(&self, text: &mut String, case: &Case, kind: Kind) -> std::fmt::Result {
        let samples = self.of(case, kind);
        let Some(cpu) = Spread::of(samples.iter().map(|sample| sample.cpu_micros).collect()) else {
            return Ok(());
        };
        let Some(rate) = Spread::of(samples.iter().map(|sample| sample.rate).collect()) else {
            return Ok(());
        };
        let failed: u64 = samples.iter().map(|sample| sample.failed).sum();
        writeln!(
            text,
            "| {} | {kind} | {:.2} [{:.2}–{:.2}] | {} | {:.0} [{:.0}–{:.0}] | {} | {failed} |",
            case.what,
            cpu.median,
            cpu.low,
            cpu.high,
            self.ratio(case, kind, |sample| sample.cpu_micros),
            rate.median,
            rate.low,
            rate.high,
            self.ratio(case, kind, |sample| sample.rate),
        )
    }

    /// The ratio to HAProxy, round by round: what disturbed a round disturbed both.
    fn ratio(&self, case: &Case, kind: Kind, value: impl Fn(&Sample) -> f64) -> String {
        let ours = self.of(case, kind);
        let peers = self.of(case, Kind::Haproxy);
        let ratios = ours
            .iter()
            .zip(&peers)
            .map(|(our, peer)| value(our) / value(peer))
            .collect();
        match Spread::of(ratios) {
            Some(ratio) => format!(
                "**{:.2}** [{:.2}–{:.2}]",
                ratio.median, ratio.low, ratio.high
            ),
            None => "–".to_owned(),
        }
    }

    /// One line for each case, without times: for a run that only asks whether it works.
    pub(crate) fn plain(&self) -> String {
        let mut text = String::new();
        for sample in self.samples {
            writeln!(
                text,
                "{:<16} {}: {} failed",
                sample.case, sample.kind, sample.failed
            )
            .expect("a String takes everything");
        }
        text
    }

    /// In the order of the rounds.
    fn of(&self, case: &Case, kind: Kind) -> Vec<&Sample> {
        self.samples
            .iter()
            .filter(|sample| sample.case == case.name && sample.kind == kind)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::CASES;

    #[test]
    fn ratios_are_taken_round_by_round() {
        let sample = |kind, cpu_micros| Sample {
            kind,
            case: CASES[0].name,
            requests: 1,
            failed: 0,
            rate: 100.0,
            cpu_micros,
        };
        // The second round was twice as slow for everybody.
        let samples = [
            sample(Kind::Haproxy, 10.0),
            sample(Kind::Turno, 8.0),
            sample(Kind::Haproxy, 20.0),
            sample(Kind::Turno, 16.0),
        ];
        let table = Table {
            cases: &CASES[..1],
            kinds: &[Kind::Haproxy, Kind::Turno],
            samples: &samples,
        };
        let text = table.markdown();
        assert!(
            text.contains("| turno | 12.00 [8.00–16.00] | **0.80** [0.80–0.80] |"),
            "{text}"
        );
    }
}
