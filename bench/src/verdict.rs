//! Whether a gate holds, by one rule for every page.
//!
//! Invariant: an interval that lies on one side of the gate decides. Only where it does not, and
//! only where the two sides are within a tenth of each other, do counts decide instead.

use crate::pairs::Comparison;
use std::fmt;

/// What a ratio of portway's number to another one has to keep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gate {
    /// A cost: processor time, latency.
    AtMost(f64),
    /// A yield: throughput.
    AtLeast(f64),
}

impl Gate {
    /// Whether the gate holds wherever in the interval the truth lies.
    fn holds(self, measured: &Comparison) -> bool {
        match self {
            Gate::AtMost(bound) => measured.high <= bound,
            Gate::AtLeast(bound) => measured.low >= bound,
        }
    }

    /// Whether the gate fails wherever in the interval the truth lies.
    fn fails(self, measured: &Comparison) -> bool {
        match self {
            Gate::AtMost(bound) => measured.low > bound,
            Gate::AtLeast(bound) => measured.high < bound,
        }
    }

    /// What each count of portway's may be of the other's.
    fn count_ratio_max(self) -> f64 {
        match self {
            Gate::AtMost(bound) => bound,
            // What yields so much of the other's costs the other's by so much.
            Gate::AtLeast(bound) => 1.0 / bound,
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gate::AtMost(bound) => write!(f, "at most {bound:.2}"),
            Gate::AtLeast(bound) => write!(f, "at least {bound:.2}"),
        }
    }
}

/// What one unit of the same work costs whatever the neighbours do: portway's, then the other's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counts {
    /// User instructions.
    pub instructions: (f64, f64),
    /// System calls.
    pub calls: (f64, f64),
}

impl Counts {
    /// portway's instructions divided by the other's.
    pub fn instruction_ratio(&self) -> f64 {
        self.instructions.0 / self.instructions.1
    }

    fn are_within(&self, ratio_max: f64) -> bool {
        let is_within = |(ours, theirs): (f64, f64)| ours <= theirs * ratio_max;
        is_within(self.instructions) && is_within(self.calls)
    }
}

/// What became of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The whole interval meets it.
    Met,
    /// The interval does not tell; instructions and system calls both meet it.
    MetByCounts,
    /// Neither.
    NotMet,
}

impl Verdict {
    /// Whether the gate holds.
    pub fn is_met(self) -> bool {
        self != Verdict::NotMet
    }
}

impl From<bool> for Verdict {
    fn from(is_met: bool) -> Self {
        match is_met {
            true => Verdict::Met,
            false => Verdict::NotMet,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Met => "met",
            Verdict::MetByCounts => "met by counts",
            Verdict::NotMet => "**not met**",
        })
    }
}

/// Judges a measured ratio, with the counts of the same work where there are any.
pub fn judge(gate: Gate, measured: &Comparison, counts: Option<&Counts>) -> Verdict {
    if gate.holds(measured) {
        return Verdict::Met;
    }
    let is_settled = gate.fails(measured) || (measured.ratio - 1.0).abs() > DIFFERENCE_MAX;
    let meet = |counts: &Counts| counts.are_within(gate.count_ratio_max());
    match !is_settled && counts.is_some_and(meet) {
        true => Verdict::MetByCounts,
        false => Verdict::NotMet,
    }
}

/// The cells of a table's row under [`COUNT_HEADS`].
pub fn count_cells(counts: Option<&Counts>) -> [String; 3] {
    let Some(counts) = counts else {
        return ["–", "–", "–"].map(str::to_owned);
    };
    let ((ours, theirs), (calls, other_calls)) = (counts.instructions, counts.calls);
    [
        format!("{ours:.0} / {theirs:.0}"),
        format!("{:.3}", counts.instruction_ratio()),
        format!("{calls:.2} / {other_calls:.2}"),
    ]
}

/// The heads of the columns that show counts.
pub const COUNT_HEADS: [&str; 3] = ["instructions", "their ratio", "system calls"];

/// The rule in words, for the introduction of a page or section.
pub const RULE: &str = "\
A gate is met when the whole interval meets it and not met when the whole interval misses it. An
interval around the gate does not tell: where its ratio is within 10 % of 1, the gate is then met by
counts, if both the user instructions (callgrind) and the system calls (strace) of the same work,
portway's and the other's, meet it; they do not depend on what else the machine does.
";

/// Larger differences are judged by time alone.
const DIFFERENCE_MAX: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(low: f64, ratio: f64, high: f64) -> Comparison {
        Comparison {
            name: "x".to_owned(),
            unit: "ns".to_owned(),
            portway: ratio,
            other: 1.0,
            ratio,
            low,
            high,
            pairs: 101,
        }
    }

    fn counts(instructions: f64, calls: f64) -> Counts {
        Counts {
            instructions: (instructions, 100.0),
            calls: (calls, 2.0),
        }
    }

    const GATE: Gate = Gate::AtMost(1.05);

    #[test]
    fn an_interval_that_meets_the_gate_needs_no_counts() {
        let found = judge(GATE, &measured(0.9, 1.0, 1.05), Some(&counts(200.0, 9.0)));
        assert_eq!(found, Verdict::Met);
    }

    #[test]
    fn an_interval_that_misses_the_gate_is_not_saved_by_counts() {
        let found = judge(GATE, &measured(1.06, 1.07, 1.09), Some(&counts(90.0, 1.0)));
        assert_eq!(found, Verdict::NotMet);
    }

    #[test]
    fn counts_decide_where_the_interval_does_not() {
        let unsettled = measured(1.01, 1.04, 1.11);
        let judged =
            |instructions, calls| judge(GATE, &unsettled, Some(&counts(instructions, calls)));
        assert_eq!(judged(105.0, 2.0), Verdict::MetByCounts);
        assert_eq!(judged(106.0, 2.0), Verdict::NotMet);
        assert_eq!(judged(105.0, 3.0), Verdict::NotMet);
        assert_eq!(judge(GATE, &unsettled, None), Verdict::NotMet);
    }

    #[test]
    fn counts_do_not_decide_over_differences_of_more_than_a_tenth() {
        let (gate, few) = (Gate::AtMost(1.2), counts(50.0, 1.0));
        let found = judge(gate, &measured(1.0, 1.15, 1.3), Some(&few));
        assert_eq!(found, Verdict::NotMet);
        let found = judge(gate, &measured(1.0, 1.09, 1.3), Some(&few));
        assert_eq!(found, Verdict::MetByCounts);
    }

    #[test]
    fn a_yield_is_judged_from_below() {
        let gate = Gate::AtLeast(0.95);
        assert_eq!(judge(gate, &measured(0.95, 1.0, 1.1), None), Verdict::Met);
        let unsettled = measured(0.92, 0.97, 1.0);
        assert_eq!(judge(gate, &unsettled, None), Verdict::NotMet);
        let judged = |instructions| judge(gate, &unsettled, Some(&counts(instructions, 2.0)));
        assert_eq!(judged(105.0), Verdict::MetByCounts);
        assert_eq!(judged(106.0), Verdict::NotMet);
        let settled = measured(0.90, 0.92, 0.94);
        assert_eq!(
            judge(gate, &settled, Some(&counts(50.0, 1.0))),
            Verdict::NotMet
        );
    }

    #[test]
    fn counts_are_shown_for_both_sides() {
        assert_eq!(
            count_cells(Some(&counts(105.0, 2.5))),
            ["105 / 100", "1.050", "2.50 / 2.00"]
        );
        assert_eq!(count_cells(None), ["–", "–", "–"]);
    }
}
