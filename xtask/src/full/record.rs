//! What is kept of every step: `docs/full-run.toml`, from which the page is rendered.
//!
//! Invariant: a step replaces its own row and no other, also when two runs go on at once.

use super::page;
use crate::Outcome;
use crate::mutants::Counts;
use crate::repository::Repository;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};

const DATA: &str = "docs/full-run.toml";
const PAGE: &str = "docs/full-run.md";
const LOCK: &str = "target/full/lock";
const HEAD: &str =
    "# Written by `cargo xtask full`, which renders the page beside it from this.\n\n";

/// The pages and data that a full run writes: changes there are none of the tree that was tried.
pub(super) const WRITTEN: &[&str] = &[DATA, PAGE, "docs/performance.md"];

/// The machine of the latest step, and the latest row of every step.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    #[serde(default)]
    pub(super) machine: Vec<Fact>,
    #[serde(default, rename = "step")]
    pub(super) rows: Vec<Row>,
}

/// One fact of the machine.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fact {
    pub(super) what: String,
    pub(super) value: String,
}

/// What a step ended with, when, and of which commit.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) result: Ended,
    /// When it began, in UTC.
    pub(super) date: String,
    pub(super) commit: String,
    pub(super) seconds: u64,
    /// Why it failed or was skipped, or what it counted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) detail: String,
    /// The tests that said that they could not run, with their reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) unable: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tests: Option<Tests>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mutants: Option<Counts>,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Ended {
    /// All of it passed.
    Passed,
    /// Something in it failed.
    Failed,
    /// It could not run.
    Skipped,
}

/// How many tests ended in which way.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tests {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) ignored: u64,
}

impl Record {
    /// What is known so far; nothing before the first run.
    pub(super) fn read(repository: &Repository) -> Outcome<Record> {
        match repository.read(DATA) {
            Some(text) => toml::from_str(&text).map_err(|error| vec![format!("{DATA}: {error}")]),
            None => Ok(Record::default()),
        }
    }

    /// The row of a step that has run once.
    pub(super) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// Takes rows in place of older ones of the same steps; forgets steps that are no more.
    fn take(&mut self, machine: Vec<Fact>, new: Vec<Row>, steps: &[String]) {
        self.machine = machine;
        self.rows
            .retain(|old| !new.iter().any(|row| row.name == old.name));
        self.rows.extend(new);
        let place = |row: &Row| steps.iter().position(|name| *name == row.name);
        self.rows.retain(|row| place(row).is_some());
        self.rows.sort_by_key(place);
    }
}

/// Puts rows into the data and renders the page anew.
pub(super) fn keep(
    repository: &Repository,
    machine: Vec<Fact>,
    new: Vec<Row>,
    steps: &[String],
) -> Outcome {
    let path = repository.root().join(LOCK);
    let told = |error: std::io::Error| vec![format!("{LOCK}: {error}")];
    fs::create_dir_all(path.parent().expect("it has a folder")).map_err(told)?;
    let lock = File::create(path).map_err(told)?;
    lock.lock().map_err(told)?;
    let mut record = Record::read(repository)?;
    record.take(machine, new, steps);
    let data = toml::to_string(&record).map_err(|error| vec![format!("{DATA}: {error}")])?;
    repository.write(DATA, &format!("{HEAD}{data}"))?;
    repository.write(PAGE, &page::render(&record, steps))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, commit: &str) -> Row {
        Row {
            name: name.to_owned(),
            result: Ended::Passed,
            date: "2026-11-22 06:00".to_owned(),
            commit: commit.to_owned(),
            seconds: 1,
            detail: String::new(),
            unable: Vec::new(),
            tests: Some(Tests::default()),
            mutants: None,
        }
    }

    #[test]
    fn a_step_replaces_its_own_row_only() {
        let steps = ["fmt", "doc", "tests"].map(str::to_owned);
        let mut record = Record::default();
        let first = vec![row("tests", "a"), row("gone", "a"), row("fmt", "a")];
        record.take(Vec::new(), first, &steps);
        record.take(Vec::new(), vec![row("tests", "b")], &steps);
        let rows = record.rows.iter().map(|row| (&*row.name, &*row.commit));
        assert_eq!(rows.collect::<Vec<_>>(), [("fmt", "a"), ("tests", "b")]);
        let text = toml::to_string(&record).expect("it is data");
        let again: Record = toml::from_str(&text).expect("it was written");
        assert_eq!(again.rows.len(), 2);
        assert_eq!(again.row("tests").map(|row| &*row.commit), Some("b"));
    }
}
