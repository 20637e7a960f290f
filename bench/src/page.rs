//! docs/performance.md, written from what was measured.
//!
//! Invariant: every number on the page comes from this run, and every ratio is judged by
//! [`crate::verdict`].

use crate::pairs::Comparison;
use crate::verdict::{COUNT_HEADS, Counts, Gate as RatioGate, RULE, Verdict, count_cells, judge};
use std::fmt::Write;

/// Where the measurements were made, and of what.
pub struct Setting {
    /// Lines of name and value.
    pub lines: Vec<(String, String)>,
}

/// A comparison with the counts of the same work, where there are any.
pub struct Row {
    /// What was timed.
    pub measured: Comparison,
    /// What was counted.
    pub counts: Option<Counts>,
}

impl Row {
    fn verdict(&self) -> Verdict {
        judge(
            RatioGate::AtMost(RATIO_MAX),
            &self.measured,
            self.counts.as_ref(),
        )
    }
}

/// A number with a bound.
pub struct Gate {
    /// What is bounded.
    pub name: String,
    /// The number.
    pub value: String,
    /// The bound.
    pub bound: String,
    /// Whether it holds.
    pub is_met: bool,
}

/// What an instruction count was and is.
pub struct Count {
    /// The work.
    pub name: String,
    /// The recorded instructions, if there are any.
    pub recorded: Option<u64>,
    /// The instructions of this run.
    pub now: u64,
}

impl Count {
    /// The count, the recorded one, and what has changed, as cells of a table.
    pub fn cells(&self) -> [String; 3] {
        let recorded = self.recorded.map_or("–".to_owned(), |r| r.to_string());
        let change = match (self.change(), self.recorded) {
            (Some(change), _) => format!("**{:+.1} %**", change * 100.0),
            (None, Some(_)) => "within 5 %".to_owned(),
            (None, None) => "new".to_owned(),
        };
        [self.now.to_string(), recorded, change]
    }

    /// The change against the record, where it is worth a word.
    pub fn change(&self) -> Option<f64> {
        let change = self.now as f64 / self.recorded? as f64 - 1.0;
        (change.abs() > CHANGE_MIN).then_some(change)
    }
}

/// Everything that was measured.
pub struct Page {
    /// Where and of what.
    pub setting: Setting,
    /// Messages, against the codec.
    pub messages: Vec<Row>,
    /// Connects with one candidate.
    pub connects: Vec<Row>,
    /// Numbers without intervals.
    pub gates: Vec<Gate>,
    /// Instructions.
    pub counts: Vec<Count>,
    /// What could not be measured, and why.
    pub missing: Vec<String>,
}

impl Page {
    /// The page as Markdown.
    pub fn text(&self) -> String {
        let mut out = format!("{HEAD}{RULE}\n");
        out.push_str("## Where\n\n| what | which |\n|---|---|\n");
        for (name, value) in &self.setting.lines {
            row(&mut out, &[name, value]);
        }
        out.push_str("\n## Messages\n\n");
        out.push_str(MESSAGES);
        comparisons(&mut out, &self.messages);
        out.push_str("\n## Connects\n\n");
        out.push_str(CONNECTS);
        comparisons(&mut out, &self.connects);
        out.push_str("\n## System calls and memory\n\n");
        out.push_str("| what | measured | gate | verdict |\n|---|---|---|---|\n");
        for gate in &self.gates {
            let verdict = Verdict::from(gate.is_met).to_string();
            row(&mut out, &[&gate.name, &gate.value, &gate.bound, &verdict]);
        }
        out.push_str("\n## Instructions\n\n");
        out.push_str(COUNTS);
        self.counts_table(&mut out);
        if !self.missing.is_empty() {
            out.push_str("\n## Not measured\n\n");
            for line in &self.missing {
                let _ = writeln!(out, "- {line}");
            }
        }
        out
    }

    fn counts_table(&self, out: &mut String) {
        out.push_str("| work | instructions | recorded | change |\n|---|---:|---:|---|\n");
        for count in &self.counts {
            let [now, recorded, change] = count.cells();
            row(out, &[&count.name, &now, &recorded, &change]);
        }
    }

    /// The gates that do not hold, by name.
    pub fn unmet(&self) -> Vec<String> {
        let rows = self.messages.iter().chain(&self.connects);
        let ratios = rows.filter(|row| !row.verdict().is_met()).map(|row| {
            let measured = &row.measured;
            format!(
                "{} ({}): up to {:.3}",
                measured.name, measured.unit, measured.high
            )
        });
        let gates = self.gates.iter().filter(|gate| !gate.is_met);
        ratios
            .chain(gates.map(|gate| format!("{}: {}", gate.name, gate.value)))
            .collect()
    }
}

fn comparisons(out: &mut String, rows: &[Row]) {
    let counted = COUNT_HEADS.join(" | ");
    let _ = writeln!(
        out,
        "| what | unit | portway | tokio | ratio | 95 % interval | {counted} | verdict |"
    );
    out.push_str("|---|---|---:|---:|---:|---|---:|---:|---:|---|\n");
    for it in rows {
        let measured = &it.measured;
        let [instructions, ratio, calls] = count_cells(it.counts.as_ref());
        let (low, high, pairs) = (measured.low, measured.high, measured.pairs);
        row(
            out,
            &[
                &measured.name,
                &measured.unit,
                &format!("{:.1}", measured.portway),
                &format!("{:.1}", measured.other),
                &format!("{:.3}", measured.ratio),
                &format!("{low:.3} to {high:.3}, {pairs} pairs"),
                &instructions,
                &ratio,
                &calls,
                &it.verdict().to_string(),
            ],
        );
    }
}

fn row(out: &mut String, cells: &[&str]) {
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

const HEAD: &str = "# Performance

Written by `cargo xtask bench`; do not edit. portway is compared with what one would write
otherwise, in the same process, over loopback, in alternating pairs: tokio with tokio-util's
`LengthDelimitedCodec`, over TCP and over tokio-rustls with the same provider, version and suites.
Client and server have a thread, a current-thread runtime and a processor each. A ratio is portway
divided by tokio; its interval is that of the median of the paired ratios, by the sign test.
Instructions and system calls are those of the same work with both ends in one thread, a unit.

";

const MESSAGES: &str = "Lengths in four bytes (`LengthPrefixed::u32()` against the codec's \
default), one call of send for each
message, processor time of both threads. Gate: at most 1.05.

";

const CONNECTS: &str = "To an address, so that there is one candidate; on TLS with the whole \
handshake, without resumption.
Both connect to the same server, again and again; portway knows its certificate chain from the
first time and verifies only the proof of the key, but in the last rows, where it keeps no chains.
Processor time is that of the client. Gate: at most 1.05.

";

const COUNTS: &str = "\
User instructions by callgrind, both ends and everything below them included. Plan, tree, race and
report are for a name with eight addresses; `memory` is a message of 64 bytes framed and found again
without sockets; `messages` are sent and received over loopback, sixteen of them or one long one at
a time; `pingpong` is a message of 64 bytes and its echo; `connect` includes the server's part, and
in `verified` portway keeps no chains. The record is `bench/baseline.toml`.

";

/// Ratios above this fail.
pub const RATIO_MAX: f64 = 1.05;
/// Changes of instruction counts below this are not worth a word.
const CHANGE_MIN: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    fn page(high: f64, instructions: f64) -> Page {
        let measured = Comparison {
            name: "x".to_owned(),
            unit: "ns".to_owned(),
            portway: 1.0,
            other: 1.0,
            ratio: 1.0,
            low: 0.9,
            high,
            pairs: 41,
        };
        let counts = Some(Counts {
            instructions: (instructions, 100.0),
            calls: (1.0, 1.0),
        });
        Page {
            setting: Setting { lines: Vec::new() },
            messages: vec![Row { measured, counts }],
            connects: Vec::new(),
            gates: Vec::new(),
            counts: Vec::new(),
            missing: Vec::new(),
        }
    }

    #[test]
    fn a_page_tells_which_gates_are_met_and_by_what() {
        let met = page(1.05, 120.0);
        assert!(met.unmet().is_empty());
        assert!(met.text().contains("| met |"));
        let counted = page(1.06, 104.0);
        assert!(counted.unmet().is_empty());
        assert!(
            counted
                .text()
                .contains("104 / 100 | 1.040 | 1.00 / 1.00 | met by counts |")
        );
        let unmet = page(1.06, 120.0);
        assert_eq!(unmet.unmet().len(), 1);
        assert!(unmet.text().contains("**not met**"));
    }

    #[test]
    fn the_introduction_tells_the_rule() {
        assert!(page(1.0, 100.0).text().contains(RULE));
    }

    #[test]
    fn small_changes_of_counts_are_not_told() {
        let count = |now| Count {
            name: "race".to_owned(),
            recorded: Some(1000),
            now,
        };
        assert_eq!(count(1040).change(), None);
        assert!(count(1100).change().is_some_and(|change| change > 0.09));
        assert!(count(900).change().is_some_and(|change| change < -0.09));
    }
}
