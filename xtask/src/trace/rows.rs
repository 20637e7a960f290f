//! The rows of `tests/requirements/*.toml` as types.
//!
//! `features.toml` is the ledger of capabilities; every other file holds the rules of one
//! specification, in our own words.

use super::Documents;
use crate::Outcome;
use crate::repository::Repository;
use serde::Deserialize;
use std::collections::BTreeMap;

/// One capability or one rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    /// `T14`, or `RFC 9622 §6.2.1`, with a letter behind it where a section has several rules.
    pub(super) id: String,
    /// What is promised, in our own words.
    pub(super) capability: String,
    /// How far it is kept.
    pub(super) status: Status,
    /// The tests that prove it, as `path/to/file.rs::name`.
    #[serde(default)]
    pub(super) tests: Vec<String>,
    /// What is missing, or why the rule does not apply.
    #[serde(default)]
    pub(super) missing: String,
    /// How many of its section's rules this row answers.
    #[serde(default = "one")]
    pub(super) rules: u32,
}

fn one() -> u32 {
    1
}

/// How far a promise is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// All of it, over a real wire.
    Works,
    /// Some of it.
    Partial,
    /// None of it yet.
    Planned,
    /// It does not apply, for the reason given.
    Excluded,
}

impl Status {
    /// The word on the page.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Status::Works => "works",
            Status::Partial => "partial",
            Status::Planned => "not yet",
            Status::Excluded => "not ours",
        }
    }
}

/// The rules of one specification.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    /// The specification's short name.
    pub(super) document: String,
    /// Its title.
    pub(super) title: String,
    /// The file with its text, among the specifications beside the repository.
    #[serde(default)]
    pub(super) text: String,
    /// How often each section says MUST, SHOULD, SHALL, REQUIRED or RECOMMENDED, with or without
    /// NOT.
    #[serde(default)]
    pub(super) sections: BTreeMap<String, u32>,
    /// The sections that say so and bind no implementation, with why.
    #[serde(default)]
    pub(super) unbinding: BTreeMap<String, String>,
    /// Its rules.
    #[serde(default, rename = "row")]
    pub(super) rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    #[serde(rename = "row")]
    rows: Vec<Row>,
}

/// Loads the ledger.
pub(super) fn load_ledger(repository: &Repository, file: &str) -> Outcome<Vec<Row>> {
    let text = repository.read_required(file)?;
    let ledger: Ledger = parse(file, &text)?;
    Ok(ledger.rows)
}

/// Loads the rules of every specification, in the order of the files' names.
pub(super) fn load_documents(repository: &Repository, ledger: &str) -> Outcome<Documents> {
    let files = repository.files().iter().filter(|file| {
        file.starts_with("tests/requirements/") && file.ends_with(".toml") && *file != ledger
    });
    let mut documents = Vec::new();
    for file in files {
        let document: Document = parse(file, &repository.read_required(file)?)?;
        for row in &document.rows {
            if !row.id.starts_with(&document.document) {
                return Err(vec![format!(
                    "{file}: {} does not begin with {}",
                    row.id, document.document
                )]);
            }
        }
        documents.push((file.clone(), document));
    }
    Ok(documents)
}

fn parse<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Outcome<T> {
    toml::from_str(text).map_err(|error| vec![format!("{file}: {error}")])
}
