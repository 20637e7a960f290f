//! What the endings of the mutants mean: the counts, and survivors against their reasons.
//!
//! Invariant: every mutant that survives has a written reason in `tests/mutants.toml`, and every
//! reason there still has its mutant.

use super::target::{TARGETS, Target};
use super::trial::Ending;
use crate::Outcome;
use crate::repository::Repository;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

const REASONS_FILE: &str = "tests/mutants.toml";

/// What a target's mutants came to.
pub(super) struct Tally {
    pub(super) target: &'static Target,
    /// The names and endings of all.
    pub(super) endings: Vec<(String, Ending)>,
    /// How many of them had a build of their own.
    pub(super) own_builds: usize,
    pub(super) took: Duration,
}

impl Tally {
    /// The counts of all endings.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            all: self.endings.len(),
            caught: self.count(Ending::Caught),
            timed_out: self.count(Ending::TimedOut),
            unviable: self.count(Ending::Unviable),
            survived: self.count(Ending::Survived),
            own_builds: self.own_builds,
        }
    }

    fn count(&self, ending: Ending) -> usize {
        self.endings.iter().filter(|(_, e)| *e == ending).count()
    }
}

/// How many mutants of a target ended in which way.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    all: usize,
    caught: usize,
    timed_out: usize,
    unviable: usize,
    survived: usize,
    own_builds: usize,
}

impl Counts {
    /// In the order of the tables.
    pub(crate) fn columns(self) -> [usize; 6] {
        [
            self.all,
            self.caught,
            self.timed_out,
            self.unviable,
            self.survived,
            self.own_builds,
        ]
    }
}

/// The counts, as a table.
pub(super) fn table(tallies: &[Tally]) -> String {
    let mut table = "| mutants of | all | caught | by time | do not compile | survived, \
                     with a reason each | in a build of their own | seconds |\n\
                     |---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for tally in tallies {
        let cells = tally.counts().columns().map(|count| count.to_string());
        let (name, seconds) = (tally.target.name, tally.took.as_secs());
        let _ = writeln!(table, "| {name} | {} | {seconds} |", cells.join(" | "));
    }
    table
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reasons {
    #[serde(default, rename = "survivor")]
    survivors: Vec<Survivor>,
}

/// A mutant that may survive.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Survivor {
    /// As cargo-mutants names it, without line and column.
    mutant: String,
    /// Why no test can or should tell it apart.
    reason: String,
}

impl Survivor {
    fn file(&self) -> &str {
        self.mutant.split(':').next().unwrap_or(&self.mutant)
    }
}

/// Reads the reasons.
pub(super) fn reasons(repository: &Repository) -> Outcome<Vec<Survivor>> {
    let text = repository.read_required(REASONS_FILE)?;
    let reasons: Reasons =
        toml::from_str(&text).map_err(|error| vec![format!("{REASONS_FILE}: {error}")])?;
    Ok(reasons.survivors)
}

/// Compares what survived with what may survive.
pub(super) fn judge(tallies: &[Tally], allowed: &[Survivor]) -> Vec<String> {
    let endings = tallies.iter().flat_map(|tally| &tally.endings);
    let survived = endings.filter(|(_, ending)| *ending == Ending::Survived);
    let survived: BTreeSet<(String, &String)> = survived
        .map(|(name, _)| (without_position(name), name))
        .collect();
    let mut findings = Vec::new();
    for (mutant, name) in &survived {
        if !allowed.iter().any(|survivor| survivor.mutant == *mutant) {
            findings.push(format!("survived without a reason: {name}"));
        }
    }
    for survivor in allowed {
        let mutant = &survivor.mutant;
        if survivor.reason.trim().is_empty() {
            findings.push(format!("{REASONS_FILE}: no reason for {mutant}"));
        }
        if !TARGETS
            .iter()
            .any(|target| target.contains(survivor.file()))
        {
            findings.push(format!("{REASONS_FILE}: not mutated: {mutant}"));
        }
        // What was not run may survive still.
        let was_run = tallies.iter().any(|t| t.target.contains(survivor.file()));
        if was_run && !survived.iter().any(|(name, _)| name == mutant) {
            findings.push(format!("{REASONS_FILE}: no longer survives: {mutant}"));
        }
    }
    findings
}

/// `a.rs:12:5: replace x` as `a.rs: replace x`, so that reasons outlive edits above them.
fn without_position(name: &str) -> String {
    let Some((place, change)) = name.split_once(": ") else {
        return name.to_owned();
    };
    let file = place.split(':').next().unwrap_or(place);
    format!("{file}: {change}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUTANT: &str = "crates/core/src/race/a.rs: replace f with ()";
    const NAME: &str = "crates/core/src/race/a.rs:3:9: replace f with ()";

    fn survivor(mutant: &str, reason: &str) -> Survivor {
        Survivor {
            mutant: mutant.to_owned(),
            reason: reason.to_owned(),
        }
    }

    fn tally(name: &str, ending: Ending) -> Tally {
        let target = TARGETS.iter().find(|target| target.name == "race");
        Tally {
            target: target.unwrap(),
            endings: vec![(name.to_owned(), ending)],
            own_builds: 0,
            took: Duration::ZERO,
        }
    }

    #[test]
    fn a_survivor_with_a_reason_is_accepted_wherever_it_stands() {
        let allowed = [survivor(MUTANT, "only a hint")];
        for name in [NAME, "crates/core/src/race/a.rs:70:1: replace f with ()"] {
            assert!(judge(&[tally(name, Ending::Survived)], &allowed).is_empty());
        }
    }

    #[test]
    fn a_survivor_without_a_reason_is_a_finding() {
        let survived = [tally(NAME, Ending::Survived)];
        assert_eq!(judge(&survived, &[]).len(), 1);
        assert_eq!(judge(&survived, &[survivor(MUTANT, " ")]).len(), 1);
    }

    #[test]
    fn a_stale_reason_is_a_finding_when_its_target_was_run() {
        let allowed = [survivor(MUTANT, "only a hint")];
        assert_eq!(judge(&[tally(NAME, Ending::Caught)], &allowed).len(), 1);
        assert!(judge(&[], &allowed).is_empty());
    }

    #[test]
    fn a_reason_for_what_is_never_mutated_is_a_finding() {
        let allowed = [survivor("crates/cli/src/main.rs: replace f with ()", "why")];
        assert_eq!(judge(&[], &allowed).len(), 1);
    }

    #[test]
    fn the_table_counts_each_ending() {
        let mut tally = tally(NAME, Ending::Caught);
        tally.endings.push((NAME.to_owned(), Ending::TimedOut));
        tally.endings.push((NAME.to_owned(), Ending::Caught));
        let table = table(&[tally]);
        assert!(
            table.ends_with("| race | 3 | 2 | 1 | 0 | 0 | 0 | 0 |\n"),
            "{table}"
        );
    }
}
