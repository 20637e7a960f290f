//! `cargo xtask full`: every gate, with every peer and tool that this machine has, step by step.
//!
//! Invariant: a step that fails never stops the next one, a step that cannot run is named with
//! its reason, and the page says both, with the commit that was tried.

mod machine;
mod page;
mod record;
mod steps;
mod totals;

use crate::repository::Repository;
use crate::{Outcome, fuzz, mutants, verdict};
use record::{Ended, Record, Row};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;
use steps::{Step, Work};

const LOGS: &str = "target/full";

/// Runs the steps that are named, or all, and keeps what came of each as soon as it ends.
pub(crate) fn run(repository: &Repository, arguments: &[String]) -> Outcome {
    let mut steps = steps::all(repository);
    let names: Vec<String> = steps.iter().map(|step| step.name.clone()).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return list(repository, &steps);
    }
    let wanted = chosen(arguments, &names)?;
    let logs = repository.root().join(LOGS);
    fs::create_dir_all(&logs).map_err(|error| vec![format!("{LOGS}: {error}")])?;
    steps.retain(|step| wanted.contains(&step.name));
    let mut failures = Vec::new();
    // One fuzzer uses one core.
    for family in steps.chunk_by(|one, next| one.is_fuzzing() && next.is_fuzzing()) {
        let at_a_time = if family[0].is_fuzzing() {
            fuzz::AT_A_TIME
        } else {
            1
        };
        for batch in family.chunks(at_a_time) {
            let rows = run_batch(repository, batch, &logs);
            let failed = rows.iter().filter(|row| row.result == Ended::Failed);
            failures.extend(failed.map(|row| format!("{}: {}", row.name, row.detail)));
            record::keep(repository, machine::facts(), rows, &names)?;
        }
    }
    verdict(failures)
}

/// Prints every step with what is known of it.
fn list(repository: &Repository, steps: &[Step]) -> Outcome {
    let record = Record::read(repository)?;
    for step in steps {
        let known = match (record.row(&step.name), &step.obstacle) {
            (_, Some(obstacle)) => format!("cannot run: {obstacle}"),
            (Some(row), None) => format!("{:?} {} of {}", row.result, row.date, row.commit),
            (None, None) => "not run yet".to_owned(),
        };
        println!("{:24} {known}", step.name);
    }
    Ok(())
}

/// The steps that the words name: one by one or two words, or a whole family by its first word;
/// all of them without a word.
fn chosen(words: &[String], names: &[String]) -> Outcome<Vec<String>> {
    let mut chosen = Vec::new();
    let mut words = words;
    if words.is_empty() {
        return Ok(names.to_vec());
    }
    while let Some((first, rest)) = words.split_first() {
        let pair = rest.first().map(|second| format!("{first} {second}"));
        if let Some(pair) = pair.filter(|pair| names.contains(pair)) {
            chosen.push(pair);
            words = &rest[1..];
            continue;
        }
        let family = format!("{first} ");
        let before = chosen.len();
        let named = names
            .iter()
            .filter(|name| *name == first || name.starts_with(&family));
        chosen.extend(named.cloned());
        if chosen.len() == before {
            let known = names.join(", ");
            return Err(vec![format!(
                "no step is called {first}; there are: {known}"
            )]);
        }
        words = rest;
    }
    Ok(chosen)
}

/// Runs steps at the same time.
fn run_batch(repository: &Repository, batch: &[Step], logs: &Path) -> Vec<Row> {
    std::thread::scope(|scope| {
        let threads = batch.iter().map(|step| {
            println!("full: {}", step.name);
            scope.spawn(|| run_step(repository, step, logs))
        });
        let threads: Vec<_> = threads.collect();
        let rows = threads.into_iter().map(|thread| {
            let row = thread.join().expect("a step tells its failures");
            println!("full: {}: {:?} {}", row.name, row.result, row.detail);
            row
        });
        rows.collect()
    })
}

fn run_step(repository: &Repository, step: &Step, logs: &Path) -> Row {
    let mut row = Row {
        name: step.name.clone(),
        result: Ended::Passed,
        date: machine::date(),
        commit: machine::commit(),
        seconds: 0,
        detail: String::new(),
        unable: Vec::new(),
        tests: None,
        mutants: None,
    };
    let started = Instant::now();
    let outcome = match &step.work {
        _ if step.obstacle.is_some() => Ok(String::new()),
        Work::Gate(gate) => gate(repository).map(|()| step.remark.to_owned()),
        Work::Fuzz(target) => fuzz::run_long(repository, target),
        Work::Mutants(target) => {
            let (outcome, counts) = mutants::run_target(repository, target);
            row.mutants = counts;
            outcome.map(|()| String::new())
        }
        Work::Commands(commands) => {
            let log = logs.join(format!("{}.log", step.name.replace([' ', '/'], "-")));
            let outcome = run_commands(repository, step, commands, &log);
            let output = fs::read(&log).unwrap_or_default();
            let output = String::from_utf8_lossy(&output);
            row.tests = totals::tests(&output);
            row.unable = totals::unable(&output);
            outcome.map(|()| step.remark.to_owned())
        }
    };
    row.seconds = started.elapsed().as_secs();
    (row.result, row.detail) = match (outcome, &step.obstacle) {
        (_, Some(obstacle)) => (Ended::Skipped, obstacle.clone()),
        (Ok(detail), None) => (Ended::Passed, detail),
        (Err(findings), None) => (Ended::Failed, findings.join("; ")),
    };
    // Pages are for others: nothing of them names a folder of this machine.
    let root = format!("{}/", repository.root().display());
    for text in std::iter::once(&mut row.detail).chain(&mut row.unable) {
        *text = text.replace(&root, "");
    }
    row
}

/// Runs one after the other, whatever became of the first, with one log.
fn run_commands(
    repository: &Repository,
    step: &Step,
    commands: &[Vec<String>],
    log: &Path,
) -> Outcome {
    let file = File::create(log).map_err(|error| vec![format!("its log: {error}")])?;
    let mut findings = Vec::new();
    for arguments in commands {
        let own = || {
            file.try_clone()
                .map_err(|error| vec![format!("its log: {error}")])
        };
        let status = Command::new(&arguments[0])
            .args(&arguments[1..])
            .envs(step.environment.iter().copied())
            .current_dir(repository.root())
            .stdin(Stdio::null())
            .stdout(own()?)
            .stderr(own()?)
            .status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => findings.push(format!("{status}; see {LOGS}/")),
            Err(error) => findings.push(format!("{}: {error}", arguments[0])),
        }
    }
    verdict(findings)
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn steps_are_named_by_one_word_by_two_or_by_their_family() {
        let names = ["fmt", "fuzz race", "fuzz framers", "mutants race", "tests"];
        let names = names.map(str::to_owned);
        let of = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            chosen(&words, &names)
        };
        assert_eq!(of(&[]).unwrap(), names);
        assert_eq!(of(&["fuzz race", "fmt"]).unwrap(), ["fuzz race", "fmt"]);
        assert_eq!(of(&["fuzz", "race", "fmt"]).unwrap(), ["fuzz race", "fmt"]);
        let family = ["fuzz race", "fuzz framers", "fmt"];
        assert_eq!(of(&["fuzz", "fmt"]).unwrap(), family);
        assert_eq!(of(&["fuz"]).unwrap_err().len(), 1);
        assert_eq!(of(&["fmt", "race"]).unwrap_err().len(), 1);
    }
}
