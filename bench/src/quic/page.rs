//! The section about QUIC of docs/performance.md.
//!
//! Invariant: every number comes from this run, and one rule says whether a gate is met.

use super::Idle;
use crate::pairs::Comparison;
use crate::section::Section;
use crate::verdict::{COUNT_HEADS, Counts, Gate, Verdict, count_cells, judge};
use std::fmt::Write;

/// Everything that was found.
#[derive(Default)]
pub struct Found {
    /// Each work against quinn with its gate, on a pinned thread for each end.
    pub timed: Vec<(Comparison, f64)>,
    /// The same on two workers.
    pub workers: Vec<(Comparison, f64)>,
    /// Two ways of portway's own with its gate.
    pub own: Vec<(Comparison, f64)>,
    /// Idle connections, by implementation.
    pub idle: Vec<(String, Idle)>,
    /// What does not depend on the neighbours.
    pub counted: Vec<Counted>,
    /// System calls with both ends on two workers, which are counted for information.
    pub workers_counted: Vec<(&'static str, (f64, f64))>,
    /// Each work against s2n-quic, which has no gate.
    pub beside: Vec<Comparison>,
    /// Requests against tokio-quiche, which have no gate.
    pub quiche: Vec<Comparison>,
    /// What could not be measured, and why.
    pub missing: Vec<String>,
}

/// What was counted for one kind of work: portway's and quinn's, a unit.
pub struct Counted {
    /// The work.
    pub name: &'static str,
    /// User instructions and system calls, with both ends in one thread.
    pub counts: Counts,
}

impl Found {
    /// The counts of what `name` begins with.
    fn counts(&self, name: &str) -> Option<&Counts> {
        let mut counted = self.counted.iter();
        let found =
            counted.find(|it| it.name == name || name.starts_with(&format!("{} ", it.name)));
        found.map(|it| &it.counts)
    }
}

/// The section as Markdown.
pub fn section(found: &Found) -> Section {
    let mut section = Section::begin(TITLE, HEAD);
    let out = &mut section.text;
    let _ = writeln!(out, "{COUNTS}");
    let counts = |name: &str| found.counts(name);
    comparisons(out, "portway µs | quinn µs", &found.timed, counts);
    out.push_str(WORKERS);
    comparisons(out, "portway µs | quinn µs", &found.workers, |_| None);
    if !found.workers_counted.is_empty() {
        out.push_str(WORKERS_COUNTED);
    }
    for (name, (ours, theirs)) in &found.workers_counted {
        let _ = writeln!(out, "| {name} | {ours:.2} | {theirs:.2} |");
    }
    out.push_str(OWN);
    comparisons(out, "the first, µs | the second, µs", &found.own, counts);
    beside(out, BESIDE, &found.beside);
    beside(out, QUICHE, &found.quiche);
    out.push_str(IDLE);
    for (name, idle) in &found.idle {
        let each = list(&idle.bytes_each);
        let left = list(&idle.bytes_left);
        let count = idle.connections;
        let most = idle.bytes_each.iter().max();
        let verdict = match name.as_str() {
            "portway" => {
                Verdict::from(most.is_some_and(|most| *most <= IDLE_BYTES_MAX)).to_string()
            }
            _ => "–".to_owned(),
        };
        let _ = writeln!(out, "| {name} | {count} | {each} | {left} | {verdict} |");
    }
    for line in &found.missing {
        let _ = writeln!(out, "\nNot measured: {line}.");
    }
    section
}

fn comparisons<'c>(
    out: &mut String,
    sides: &str,
    rows: &[(Comparison, f64)],
    counts: impl Fn(&str) -> Option<&'c Counts>,
) {
    let heads = COUNT_HEADS.join(" | ");
    let _ = writeln!(
        out,
        "| work | {sides} | ratio | 95 % interval | {heads} | gate | verdict |"
    );
    out.push_str("|---|---:|---:|---:|---|---:|---:|---:|---|---|\n");
    for (it, gate) in rows {
        let (gate, counts) = (Gate::AtMost(*gate), counts(&it.name));
        let verdict = judge(gate, it, counts);
        let cells = count_cells(counts).join(" | ");
        let _ = writeln!(
            out,
            "| {} | {:.2} | {:.2} | {:.3} | {:.3} to {:.3}, {} pairs | {cells} | {gate} \
             | {verdict} |",
            it.name, it.portway, it.other, it.ratio, it.low, it.high, it.pairs
        );
    }
}

/// The rows without gates.
fn beside(out: &mut String, head: &str, rows: &[Comparison]) {
    if rows.is_empty() {
        return;
    }
    out.push_str(head);
    for it in rows {
        let _ = writeln!(
            out,
            "| {} | {:.2} | {:.2} | {:.3} | {:.3} to {:.3}, {} pairs |",
            it.name, it.portway, it.other, it.ratio, it.low, it.high, it.pairs
        );
    }
}

fn list(values: &[isize]) -> String {
    let values: Vec<String> = values.iter().map(isize::to_string).collect();
    values.join(", ")
}

const IDLE_BYTES_MAX: isize = 24 << 10;
const TITLE: &str = "## QUIC";
const HEAD: &str = "
portway's driver against quinn, both over the same quinn-proto with the same options and the same
TLS configuration. Processor time of both ends for one unit of work: a request of 100 bytes and its
answer of 1000 on a fresh bidirectional stream with 1, 32 or 256 in flight, a mebibyte up or down, a
whole handshake with its close, a resumed handshake with a request as early data and another one
behind it, a datagram of 1000 bytes in bursts of 20.
";
const COUNTS: &str = "\
Instructions and system calls are of the same work with both ends in one thread, for one unit,
portway's before quinn's. Those of a connect are the engine's before the driver's.
";
const WORKERS_COUNTED: &str = "
System calls (strace) of the same for one request. How many there are depends on what else runs.

| work | portway | quinn |
|---|---:|---:|
";
const BESIDE: &str = "
Beside them s2n-quic, an implementation of its own, by the clock of the first table and without a
gate. What it is asked to send is asked for on a unidirectional stream.

| work | portway µs | s2n-quic µs | ratio | 95 % interval |
|---|---:|---:|---:|---|
";
const QUICHE: &str = "
Beside them tokio-quiche, in a process of its own, since its BoringSSL clashes with the TLS library
of the others: a batch there and a batch here, in turns, by the clocks of the two threads that each
has. Its server answers where its driver reads the end of a request, as its interface has it,
without a task for each.

| work | portway µs | tokio-quiche µs | ratio | 95 % interval |
|---|---:|---:|---:|---|
";
const WORKERS: &str = "
Both ends on one runtime of two workers, processor time of the whole process.

";
const OWN: &str = "
portway against itself. A server on two threads that share a port, against one on one thread:
processor time of the server's threads for one request, with 8 connections of two clients, a thread
each, and 32 requests in flight on each connection
on each. A connect with QUIC as the engine's only stack, against a socket and a connection of the
driver's own: processor time of the client.

";
const IDLE: &str = "
Heap of a server's idle connections to one port, with 100 bidirectional and 10 unidirectional
streams allowed, each after one request; and what is left when all have closed, which includes what
the endpoint itself has grown by: slots to receive into, 2 MiB at most. Every number stands for one
round of the same process. Gate: at most 24 KiB (24576 bytes) each.

| implementation | connections | bytes each | bytes left | verdict |
|---|---:|---:|---:|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(name: &str, low: f64, ratio: f64, high: f64) -> Comparison {
        Comparison {
            name: name.to_owned(),
            unit: "µs".to_owned(),
            portway: ratio,
            other: 1.0,
            ratio,
            low,
            high,
            pairs: 81,
        }
    }

    #[test]
    fn counts_stand_beside_the_ratio_that_they_decide_over() {
        let counts = |instructions| Counts {
            instructions: (instructions, 100.0),
            calls: (1.0, 2.0),
        };
        let found = Found {
            timed: vec![(comparison("requests-1", 0.99, 1.01, 1.04), 1.0)],
            own: vec![(comparison("connect by the engine", 1.0, 1.06, 1.1), 1.05)],
            beside: vec![comparison("upload", 0.4, 0.5, 0.6)],
            counted: vec![
                Counted {
                    name: "requests-1",
                    counts: counts(90.0),
                },
                Counted {
                    name: "connect",
                    counts: counts(110.0),
                },
            ],
            ..Found::default()
        };
        let page = section(&found);
        let line = |name: &str| {
            let mut lines = page.lines();
            lines.find(|it| it.contains(name)).unwrap().to_owned()
        };
        assert!(line("| requests-1 |").contains("| 90 / 100 | 0.900 | 1.00 / 2.00 |"));
        assert!(line("| requests-1 |").ends_with("| at most 1.00 | met by counts |"));
        assert!(line("connect by the engine |").ends_with("**not met** |"));
        assert!(line("| upload |").ends_with("0.400 to 0.600, 81 pairs |"));
    }
}
