//! The record of instruction counts, baseline.toml.
//!
//! Invariant: rows that a program does not count stay as they are.

use crate::page::Count;
use std::collections::BTreeMap;

/// The counts that were recorded, by the name of the work.
pub fn recorded() -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(PATH).unwrap_or_default();
    toml::from_str(&text).expect("a table of counts")
}

/// Records these counts.
pub fn record(counts: &[Count]) {
    let mut table = recorded();
    table.extend(counts.iter().map(|count| (count.name.clone(), count.now)));
    let text = toml::to_string(&table).expect("a table of counts");
    let head = "# User instructions of one unit of work, written by `report --record` and by `h3 \
                --record`.\n";
    std::fs::write(PATH, format!("{head}{text}")).expect("a file that can be written");
}

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.toml");
