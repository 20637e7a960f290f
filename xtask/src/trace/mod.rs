//! `cargo xtask trace`: requirement rows against the tests that they name.
//!
//! Invariant: a row that claims anything names a test that exists, and so does a page that names
//! one; every rule of a document that counts them has a row, and the pages that are made of the
//! rows are exactly what these say.

mod counts;
mod mentions;
mod page;
mod rows;

use crate::repository::Repository;
use crate::source::Source;
use crate::{Outcome, verdict};
use rows::{Document, Row, Status};
use std::collections::{BTreeMap, BTreeSet};

const LEDGER_FILE: &str = "tests/requirements/features.toml";
const FEATURES_PAGE: &str = "docs/features.md";
const REQUIREMENTS_PAGE: &str = "docs/requirements.md";

/// The ledger's letters and how many rows each has.
const LEDGER: &[(char, &str, u32)] = &[
    ('T', "Transport services", 42),
    ('H', "HTTP/3", 21),
    ('D', "HTTP datagrams", 7),
    ('C', "HTTP client and server", 16),
    ('Q', "QUIC interface", 8),
    ('S', "Security", 11),
    ('W', "WebSocket", 7),
    ('U', "Application and system services", 8),
    ('P', "Proxying, tunnels, WebTransport", 5),
    ('X', "Beyond all of them", 5),
];

/// Checks the rows and the pages; with `write`, renews the pages first.
pub(crate) fn run(repository: &Repository, write: bool) -> Outcome {
    let ledger = rows::load_ledger(repository, LEDGER_FILE)?;
    let documents = rows::load_documents(repository, LEDGER_FILE)?;
    let mut findings = check_ledger_ids(&ledger);
    let mut tests = Tests::default();
    findings.extend(check_rows(LEDGER_FILE, &ledger, repository, &mut tests));
    for (file, document) in &documents {
        findings.extend(check_rows(file, &document.rows, repository, &mut tests));
        findings.extend(counts::check(file, document, repository));
    }
    let pages = [
        (FEATURES_PAGE, page::features(LEDGER, &ledger, &tests)),
        (REQUIREMENTS_PAGE, page::requirements(&documents, &tests)),
    ];
    for (file, text) in pages {
        if write {
            repository.write(file, &text)?;
        } else if repository.read(file).as_deref() != Some(&text) {
            findings.push(format!(
                "{file}: differs from the rows; run `cargo xtask trace --write`"
            ));
        }
    }
    let made = [FEATURES_PAGE, REQUIREMENTS_PAGE];
    findings.extend(mentions::check(repository, &made, &mut tests));
    if findings.is_empty() {
        let rules: usize = documents.iter().map(|(_, d)| d.rows.len()).sum();
        println!(
            "trace: {} ledger rows, {rules} rules, {} tests named",
            ledger.len(),
            tests.known.len()
        );
    }
    verdict(findings)
}

/// The tests that rows name: whether each exists, and whether it is ignored by default.
#[derive(Default)]
pub(crate) struct Tests {
    known: BTreeMap<String, bool>,
}

impl Tests {
    /// Looks a test up, as `path/to/file.rs::name`.
    fn look_up(&mut self, repository: &Repository, test: &str) -> Result<(), String> {
        if self.known.contains_key(test) {
            return Ok(());
        }
        let (file, name) = test
            .split_once("::")
            .ok_or_else(|| format!("{test} is not of the form file.rs::name"))?;
        let name = name.rsplit("::").next().unwrap_or(name);
        let text = repository
            .read(file)
            .ok_or_else(|| format!("{test}: no such file"))?;
        let is_ignored = Source::parse(&text)
            .test_function(name)
            .ok_or_else(|| format!("{test}: no such test in that file"))?;
        self.known.insert(test.to_owned(), is_ignored);
        Ok(())
    }

    /// Whether a test runs only when asked for, as in `cargo xtask full`.
    fn is_ignored(&self, test: &str) -> bool {
        self.known.get(test).copied().unwrap_or(false)
    }
}

fn check_ledger_ids(ledger: &[Row]) -> Vec<String> {
    let mut findings = Vec::new();
    let mut expected = BTreeSet::new();
    for (letter, _, count) in LEDGER {
        expected.extend((1..=*count).map(|number| format!("{letter}{number:02}")));
    }
    let present: BTreeSet<String> = ledger.iter().map(|row| row.id.clone()).collect();
    for id in expected.difference(&present) {
        findings.push(format!("{LEDGER_FILE}: no row for {id}"));
    }
    for id in present.difference(&expected) {
        findings.push(format!("{LEDGER_FILE}: {id} is not in the ledger"));
    }
    findings
}

fn check_rows(file: &str, rows: &[Row], repository: &Repository, tests: &mut Tests) -> Vec<String> {
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for row in rows {
        if !seen.insert(&row.id) {
            findings.push(format!("{file}: {} has more than one row", row.id));
        }
        findings.extend(
            check_claim(row)
                .into_iter()
                .map(|finding| format!("{file}: {}: {finding}", row.id)),
        );
        for test in &row.tests {
            if let Err(finding) = tests.look_up(repository, test) {
                findings.push(format!("{file}: {}: {finding}", row.id));
            }
        }
    }
    findings
}

/// Whether a row's status, tests and words agree with each other.
fn check_claim(row: &Row) -> Option<&'static str> {
    let is_silent = row.missing.trim().is_empty();
    match row.status {
        _ if row.capability.trim().is_empty() => Some("says nothing"),
        Status::Works | Status::Partial if row.tests.is_empty() => Some("claimed without a test"),
        Status::Works if !is_silent => Some("works, yet names something that is missing"),
        Status::Works => None,
        Status::Excluded if !row.tests.is_empty() => Some("excluded, yet names tests"),
        Status::Partial | Status::Planned | Status::Excluded if is_silent => {
            Some("does not say what is missing or why")
        }
        Status::Partial | Status::Planned | Status::Excluded => None,
    }
}

/// The rules of one document, with the file that they came from.
type Documents = Vec<(String, Document)>;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(status: Status, tests: &[&str], missing: &str) -> Row {
        Row {
            id: "T01".to_owned(),
            capability: "does a thing".to_owned(),
            status,
            tests: tests.iter().map(|test| (*test).to_owned()).collect(),
            missing: missing.to_owned(),
            rules: 1,
        }
    }

    #[test]
    fn a_claim_needs_a_test() {
        assert!(check_claim(&row(Status::Works, &[], "")).is_some());
        assert!(check_claim(&row(Status::Partial, &[], "half")).is_some());
        assert!(check_claim(&row(Status::Works, &["a.rs::b"], "")).is_none());
    }

    #[test]
    fn what_does_not_work_says_what_is_missing() {
        assert!(check_claim(&row(Status::Planned, &[], "")).is_some());
        assert!(check_claim(&row(Status::Partial, &["a.rs::b"], " ")).is_some());
        assert!(check_claim(&row(Status::Excluded, &[], "no SCTP here")).is_none());
        assert!(check_claim(&row(Status::Works, &["a.rs::b"], "half")).is_some());
    }

    #[test]
    fn the_ledger_has_each_row_once() {
        let findings = check_ledger_ids(&[row(Status::Planned, &[], "all")]);
        assert_eq!(findings.len(), 129);
        assert!(findings.iter().all(|finding| !finding.ends_with("T01")));
    }
}
