//! The mutants of a target, as cargo-mutants lists them.
//!
//! Invariant: which mutants there are is never decided here; what is switched and what is not adds
//! up to this list.

use super::target::Target;
use crate::Outcome;
use crate::repository::Repository;
use serde::Deserialize;
use std::process::Command;

/// One change that tests should notice.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Mutant {
    /// `crates/core/src/race/tree.rs:12:5: replace > with == in Tree::cap`.
    pub(super) name: String,
    /// Relative to the root of the workspace.
    pub(super) file: String,
    /// What kind of change it is.
    pub(super) genre: Genre,
    /// What is replaced.
    pub(super) span: Span,
    /// By what.
    pub(super) replacement: String,
}

/// The kinds of change.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Genre {
    /// A function's body becomes a value.
    FnValue,
    /// An operator becomes another.
    BinaryOperator,
    /// An operator is deleted.
    UnaryOperator,
    /// An arm is deleted.
    MatchArm,
    /// A guard becomes true or false.
    MatchArmGuard,
    /// A field is left to the base of a struct expression.
    StructField,
    /// What a later cargo-mutants may have; it is tested in a build of its own.
    #[serde(other)]
    Other,
}

/// Where a change is, its end excluded.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Span {
    pub(super) start: Position,
    pub(super) end: Position,
}

/// Both count from one; columns are characters.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Asks cargo-mutants.
pub(super) fn list(repository: &Repository, target: &Target) -> Outcome<Vec<Mutant>> {
    let failed = |why: String| vec![format!("cargo mutants --list: {why}")];
    let output = Command::new("cargo")
        .args(["mutants", "--list", "--json", "--package", target.package])
        .args(target.file_arguments())
        .current_dir(repository.root())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_genre_is_kept() {
        let text = r#"{"name": "a.rs:1:1: do x", "file": "a.rs", "genre": "New", "span":
            {"start": {"line": 1, "column": 1}, "end": {"line": 1, "column": 2}},
            "replacement": "", "package": "a", "function": null}"#;
        let mutant: Mutant = serde_json::from_str(text).unwrap();
        assert_eq!(mutant.genre, Genre::Other);
    }
}
