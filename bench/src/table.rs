//! Tables of ratios, for every section that has them.
//!
//! Invariant: a gate is judged by the rule of all pages.

use crate::pairs::Comparison;
use crate::verdict::{COUNT_HEADS, Counts, Gate, count_cells, judge};
use std::fmt::Write;

/// The heads of a table of ratios with counts; `first` heads the two cells of a row's name.
pub fn heads(out: &mut String, first: &str, unit: &str) {
    let [instructions, ratio, calls] = COUNT_HEADS;
    let _ = writeln!(
        out,
        "| {first} | portway {unit} | the other {unit} | ratio | 95 % interval | gate \
         | {instructions} | {ratio} | {calls} | verdict |\n\
         |---|---|---:|---:|---:|---|---|---|---:|---|---|"
    );
}

/// A row under [`heads`], judged where there is a gate.
pub fn row(
    out: &mut String,
    name: &[String; 2],
    found: &Comparison,
    gate: Option<Gate>,
    counts: Option<&Counts>,
) {
    let verdict = gate.map(|gate| judge(gate, found, counts));
    let _ = writeln!(
        out,
        "| {} | {:.2} | {:.2} | {} | {} | {} | {} |",
        name.join(" | "),
        found.portway,
        found.other,
        ratio_cells(found),
        or_dash(gate),
        count_cells(counts).join(" | "),
        or_dash(verdict),
    );
}

/// The ratio with its interval.
pub fn ratio_cells(found: &Comparison) -> String {
    let Comparison {
        ratio,
        low,
        high,
        pairs,
        ..
    } = found;
    format!("{ratio:.3} | {low:.3} to {high:.3}, {pairs} pairs")
}

/// What there is, or a dash.
pub fn or_dash(cell: Option<impl ToString>) -> String {
    cell.map_or("–".to_owned(), |cell| cell.to_string())
}
