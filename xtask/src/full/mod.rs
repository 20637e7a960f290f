//! `cargo xtask full`: every gate, with every peer and tool that this machine has.
//!
//! Invariant: a step that fails never stops the next one, a step that cannot run is named with
//! its reason, and the page says both.

mod machine;
mod page;
mod steps;

use crate::repository::Repository;
use crate::{Outcome, mutants, verdict};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use steps::{Step, Work};

const LOGS: &str = "target/full";
const PAGE: &str = "docs/full-run.md";

/// How a step ended.
enum Ending {
    /// All of it passed.
    Passed,
    /// Something in it failed.
    Failed(String),
    /// It could not run, for this reason.
    Skipped(String),
}

impl Ending {
    fn of(outcome: Outcome) -> Ending {
        match outcome {
            Ok(()) => Ending::Passed,
            Err(findings) => Ending::Failed(findings.join("; ")),
        }
    }
}

/// A step with its end.
struct Report {
    name: String,
    ending: Ending,
    took: Duration,
    /// Tests that passed, failed and were ignored, where the step ran tests.
    tests: Option<[u64; 3]>,
    /// The tests that said that they could not run, with their reasons.
    skipped_tests: Vec<String>,
    /// A table of what the step counted.
    counts: Option<String>,
}

/// Runs every step and writes the page; or runs only the steps named.
pub(crate) fn run(repository: &Repository, only: &[String]) -> Outcome {
    let logs = repository.root().join(LOGS);
    fs::create_dir_all(&logs).map_err(|error| vec![format!("{LOGS}: {error}")])?;
    let mut steps = steps::all(repository);
    if let Some(unknown) = only.iter().find(|n| !steps.iter().any(|s| s.name == **n)) {
        let names: Vec<String> = steps.into_iter().map(|step| step.name).collect();
        return Err(vec![format!(
            "no step is called {unknown}; there are: {}",
            names.join(", ")
        )]);
    }
    steps.retain(|step| only.is_empty() || only.contains(&step.name));
    let mut reports = Vec::new();
    for step in steps {
        println!("full: {}", step.name);
        let report = run_step(repository, &step, &logs);
        match &report.ending {
            Ending::Passed => println!("full: {}: passed", step.name),
            Ending::Failed(why) => println!("full: {}: FAILED: {why}", step.name),
            Ending::Skipped(why) => println!("full: {}: skipped: {why}", step.name),
        }
        reports.push(report);
    }
    let page = page::render(repository, &reports);
    match only.is_empty() {
        true => repository.write(PAGE, &page)?,
        false => print!("{page}"),
    }
    let failures = reports.iter().filter_map(|report| match &report.ending {
        Ending::Failed(why) => Some(format!("{}: {why}", report.name)),
        Ending::Passed | Ending::Skipped(_) => None,
    });
    verdict(failures.collect())
}

fn run_step(repository: &Repository, step: &Step, logs: &Path) -> Report {
    let started = Instant::now();
    let log = logs.join(format!("{}.log", step.name.replace([' ', '/'], "-")));
    let mut counts = None;
    let ending = match (&step.work, &step.obstacle) {
        (_, Some(obstacle)) => Ending::Skipped(obstacle.clone()),
        (Work::Gate(gate), None) => Ending::of(gate(repository)),
        (Work::Mutants, None) => {
            let run = mutants::run_targets(repository, &[]);
            counts = Some(run.table);
            Ending::of(run.outcome)
        }
        (Work::Command(arguments), None) => run_command(repository, step, arguments, &log),
    };
    let is_skipped = matches!(ending, Ending::Skipped(_));
    let has_log = matches!(step.work, Work::Command(_)) && !is_skipped;
    let output = match has_log {
        true => fs::read(&log).unwrap_or_default(),
        false => Vec::new(),
    };
    let output = String::from_utf8_lossy(&output);
    Report {
        name: step.name.clone(),
        ending,
        took: started.elapsed(),
        tests: test_totals(&output),
        skipped_tests: skipped_tests(&output),
        counts,
    }
}

fn run_command(
    repository: &Repository,
    step: &Step,
    arguments: &[String],
    log: &PathBuf,
) -> Ending {
    let open = || -> std::io::Result<(File, File)> {
        let file = File::create(log)?;
        let again = file.try_clone()?;
        Ok((file, again))
    };
    let (stdout, stderr) = match open() {
        Ok(files) => files,
        Err(error) => return Ending::Failed(format!("its log: {error}")),
    };
    let status = Command::new(&arguments[0])
        .args(&arguments[1..])
        .envs(step.environment.iter().copied())
        .current_dir(repository.root())
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .status();
    match status {
        Ok(status) if status.success() => Ending::Passed,
        Ok(status) => Ending::Failed(format!("{status}; see {LOGS}/")),
        Err(error) => Ending::Failed(format!("{}: {error}", arguments[0])),
    }
}

/// The sums of all `test result:` lines.
fn test_totals(output: &str) -> Option<[u64; 3]> {
    let mut totals = None;
    for line in output.lines() {
        let Some((_, counts)) = line.split_once("test result: ") else {
            continue;
        };
        let sums: &mut [u64; 3] = totals.get_or_insert([0; 3]);
        for (sum, word) in sums.iter_mut().zip(["passed", "failed", "ignored"]) {
            let count = counts
                .split([';', '.'])
                .filter_map(|part| part.trim().strip_suffix(word))
                .find_map(|number| number.trim().parse::<u64>().ok());
            *sum += count.unwrap_or(0);
        }
    }
    totals
}

/// The tests that could not run say `skipped: name: reason` on a line of their own.
fn skipped_tests(output: &str) -> Vec<String> {
    let mut skipped: Vec<String> = output
        .lines()
        .filter_map(|line| line.split_once("skipped: "))
        .map(|(_, what)| what.trim().to_owned())
        .collect();
    skipped.sort();
    skipped.dedup();
    skipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_summed_over_all_binaries() {
        let output = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
                      noise\n\
                      test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured\n";
        assert_eq!(test_totals(output), Some([7, 2, 1]));
        assert_eq!(test_totals("noise"), None);
    }

    #[test]
    fn a_test_that_cannot_run_is_listed_once() {
        let output =
            "skipped: socat_client: no socat\ntest x ... skipped: socat_client: no socat\n";
        assert_eq!(skipped_tests(output), ["socat_client: no socat"]);
    }
}
