//! `cargo xtask mutants`: mutation tests over the decisions that matter most.
//!
//! Invariant: every mutant that survives has a written reason in `tests/mutants.toml`, and every
//! reason there still has its mutant.

use crate::repository::Repository;
use crate::{Outcome, verdict};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::process::{Command, Stdio};

const REASONS_FILE: &str = "tests/mutants.toml";
const OUTPUT: &str = "target/mutants";

/// What is mutated, and which tests have to notice.
struct Target {
    package: &'static str,
    folder: &'static str,
    modules: &'static [&'static str],
    tests: &'static [&'static str],
}

const TARGETS: &[Target] = &[
    Target {
        package: "portway-core",
        folder: "crates/core/src",
        modules: &["race", "plan", "send_queue"],
        tests: &["--lib", "--test=race_scenarios"],
    },
    Target {
        package: "portway-h3",
        folder: "crates/h3/src",
        modules: &["qpack"],
        tests: &["--lib"],
    },
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reasons {
    #[serde(default, rename = "survivor")]
    survivors: Vec<Survivor>,
}

/// A mutant that may survive.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Survivor {
    /// As cargo-mutants names it, without line and column.
    mutant: String,
    /// Why no test can or should tell it apart.
    reason: String,
}

/// More arguments for cargo-mutants in a full run, such as `--shard 0/8` where a whole run, which
/// takes hours, has no time.
pub(crate) fn arguments_from_environment() -> Vec<String> {
    let arguments = std::env::var("PORTWAY_MUTANTS").unwrap_or_default();
    arguments.split_whitespace().map(str::to_owned).collect()
}

/// Whether cargo-mutants can be started.
pub(crate) fn is_installed() -> bool {
    Command::new("cargo")
        .args(["mutants", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs cargo-mutants and compares its survivors with the reasons.
pub(crate) fn run(repository: &Repository, arguments: &[String]) -> Outcome {
    if !is_installed() {
        return Err(vec![
            "cargo-mutants is not installed (cargo install cargo-mutants)".to_owned(),
        ]);
    }
    let text = repository.read_required(REASONS_FILE)?;
    let reasons: Reasons =
        toml::from_str(&text).map_err(|error| vec![format!("{REASONS_FILE}: {error}")])?;
    let mut missed = String::new();
    for target in TARGETS {
        missed.push_str(&run_target(repository, target, arguments)?);
    }
    let is_whole_run = arguments.is_empty();
    verdict(judge(&missed, &reasons.survivors, is_whole_run))
}

/// Runs cargo-mutants over one target; returns the mutants that survived, one a line.
fn run_target(repository: &Repository, target: &Target, arguments: &[String]) -> Outcome<String> {
    let output = format!("{OUTPUT}/{}", target.package);
    let mut command = Command::new("cargo");
    command
        .args(["mutants", "--package", target.package, "--output", &output])
        .args(["--no-shuffle", "--colors=never"])
        // Nobody debugs a mutant, and a thousand of them are linked.
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    for test in target.tests {
        // For the build of each mutant too, which would otherwise make the examples.
        command.arg(format!("--cargo-arg={test}"));
    }
    for module in target.modules {
        for file in [format!("{module}/**"), format!("{module}.rs")] {
            command.args(["--file", &format!("{}/{file}", target.folder)]);
        }
    }
    std::fs::create_dir_all(repository.root().join(&output))
        .map_err(|error| vec![format!("{output}: {error}")])?;
    // What an earlier run missed must not be judged in this one.
    let results = repository.root().join(&output).join("mutants.out");
    if results.exists() {
        std::fs::remove_dir_all(&results).map_err(|error| vec![format!("{output}: {error}")])?;
    }
    let status = command
        .args(arguments)
        .current_dir(repository.root())
        .status()
        .map_err(|error| vec![format!("cargo mutants: {error}")])?;
    // Code 2 tells of survivors and 3 of timeouts; both are judged below.
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        return Err(vec![format!("cargo mutants: {status}")]);
    }
    let missed = repository.read(&format!("{output}/mutants.out/missed.txt"));
    Ok(missed.unwrap_or_default())
}

/// Compares what survived with what may survive. Only a whole run can tell a stale reason.
fn judge(missed: &str, allowed: &[Survivor], is_whole_run: bool) -> Vec<String> {
    let survived: BTreeSet<String> = missed.lines().map(without_position).collect();
    let mut findings = Vec::new();
    for mutant in &survived {
        if !allowed.iter().any(|survivor| survivor.mutant == *mutant) {
            findings.push(format!("survived without a reason: {mutant}"));
        }
    }
    for survivor in allowed {
        if survivor.reason.trim().is_empty() {
            findings.push(format!("{REASONS_FILE}: no reason for {}", survivor.mutant));
        }
        if is_whole_run && !survived.contains(&survivor.mutant) {
            findings.push(format!(
                "{REASONS_FILE}: no longer survives: {}",
                survivor.mutant
            ));
        }
    }
    findings
}

/// `a.rs:12:5: replace x` as `a.rs: replace x`, so that reasons outlive edits above them.
fn without_position(line: &str) -> String {
    let Some((place, change)) = line.split_once(": ") else {
        return line.to_owned();
    };
    let file = place.split(':').next().unwrap_or(place);
    format!("{file}: {change}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survivor(mutant: &str, reason: &str) -> Survivor {
        Survivor {
            mutant: mutant.to_owned(),
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn a_survivor_with_a_reason_is_accepted_wherever_it_stands() {
        let allowed = [survivor("a.rs: replace f with ()", "only a hint")];
        assert!(judge("a.rs:3:9: replace f with ()\n", &allowed, true).is_empty());
        assert!(judge("a.rs:70:1: replace f with ()\n", &allowed, true).is_empty());
    }

    #[test]
    fn a_survivor_without_a_reason_is_a_finding() {
        assert_eq!(judge("a.rs:3:9: replace g with ()\n", &[], true).len(), 1);
        let empty = [survivor("a.rs: replace f with ()", " ")];
        assert_eq!(
            judge("a.rs:3:9: replace f with ()\n", &empty, true).len(),
            1
        );
    }

    #[test]
    fn a_stale_reason_is_a_finding_of_a_whole_run_only() {
        let allowed = [survivor("a.rs: replace f with ()", "only a hint")];
        assert_eq!(judge("", &allowed, true).len(), 1);
        assert!(judge("", &allowed, false).is_empty());
    }
}
