//! `cargo xtask mutants`: mutation tests over the decisions that matter most.
//!
//! cargo-mutants says which mutants there are. A build for each would take a day, so nearly all of
//! them are compiled into one, where a variable of the environment switches one on; the rest have
//! a build of their own.
//!
//! Invariant: every mutant on cargo-mutants' list ends in exactly one way, and the counts say so.

mod build;
mod compiler;
mod lines;
mod list;
mod own_build;
mod points;
mod rewrite;
mod target;
#[cfg(test)]
mod tests;
mod thaw;
mod tree;
mod trial;
mod verdict;
mod writer;

use crate::repository::Repository;
use crate::{Outcome, verdict as end};
use list::Mutant;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;
use target::{TARGETS, Target};
use trial::{Ending, Trial};
use verdict::Tally;

pub(crate) use verdict::Counts;

/// Whether cargo-mutants can be started.
pub(crate) fn is_installed() -> bool {
    Command::new("cargo")
        .args(["mutants", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Tests the mutants of the targets named, or of all, and prints the counts.
pub(crate) fn run(repository: &Repository, names: &[String]) -> Outcome {
    let mut tallies = Vec::new();
    let outcome = tally_all(repository, names, &mut tallies);
    print!("{}", verdict::table(&tallies));
    outcome
}

/// Tests the mutants of one target; the counts are there where it came to an end.
pub(crate) fn run_target(repository: &Repository, name: &str) -> (Outcome, Option<Counts>) {
    let mut tallies = Vec::new();
    let outcome = tally_all(repository, &[name.to_owned()], &mut tallies);
    (outcome, tallies.first().map(Tally::counts))
}

/// What every target is called.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TARGETS.iter().map(|target| target.name)
}

fn tally_all(repository: &Repository, names: &[String], tallies: &mut Vec<Tally>) -> Outcome {
    if !is_installed() {
        return Err(vec![
            "cargo-mutants is not installed (cargo install cargo-mutants)".to_owned(),
        ]);
    }
    if let Some(unknown) = names
        .iter()
        .find(|n| !TARGETS.iter().any(|t| t.name == **n))
    {
        let known: Vec<&str> = self::names().collect();
        return Err(vec![format!(
            "nothing to mutate is called {unknown}; there are: {}",
            known.join(", ")
        )]);
    }
    let reasons = verdict::reasons(repository)?;
    for target in TARGETS {
        if names.is_empty() || names.iter().any(|name| name == target.name) {
            tallies.push(tally(repository, target)?);
        }
    }
    end(verdict::judge(tallies, &reasons))
}

/// Tests the mutants of one target.
fn tally(repository: &Repository, target: &'static Target) -> Outcome<Tally> {
    let started = Instant::now();
    let mutants = list::list(repository, target)?;
    println!("mutants: {}: {} mutants", target.name, mutants.len());
    let build = build::build(repository, target, &mutants)?;
    let tree = tree::Tree::of(repository);
    let trial = Trial::new(build.binaries, &tree.root().join(target.package_folder()))
        .map_err(|why| vec![format!("{}: {why}", target.name)])?;
    println!(
        "mutants: {}: {} do not compile, {} are in one build, at most {} s each",
        target.name,
        build.unviable.len(),
        build.switched.len(),
        trial.limit().as_secs()
    );
    let numbers: Vec<usize> = build.switched.into_iter().collect();
    let mut endings = run_switched(&trial, &mutants, &numbers);
    let unviable = build.unviable.into_iter();
    endings.extend(unviable.map(|number| (number, Ending::Unviable)));
    let rest = (1..=mutants.len()).filter(|number| !endings.contains_key(number));
    let rest: Vec<&Mutant> = rest.map(|number| &mutants[number - 1]).collect();
    println!("mutants: {}: {} in a build each", target.name, rest.len());
    let own = own_build::run(repository, target, &rest, jobs())?;
    let own_builds = rest.len();
    let endings = mutants.iter().enumerate().map(|(index, mutant)| {
        let ending = endings.get(&(index + 1));
        let ending = ending.unwrap_or_else(|| &own[&mutant.name]);
        (mutant.name.clone(), *ending)
    });
    Ok(Tally {
        target,
        endings: endings.collect(),
        own_builds,
        took: started.elapsed(),
    })
}

/// As many at a time as there are processors.
fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn run_switched(trial: &Trial, mutants: &[Mutant], numbers: &[usize]) -> BTreeMap<usize, Ending> {
    let waiting = Mutex::new(numbers.iter());
    let endings = Mutex::new(BTreeMap::new());
    let work = || {
        let next = || waiting.lock().expect("no worker panics with it").next();
        while let Some(number) = next() {
            let ending = trial.run(*number);
            let name = &mutants[number - 1].name;
            match ending {
                Ending::Caught | Ending::Unviable => {}
                Ending::TimedOut => println!("mutants: out of time: {name}"),
                Ending::Survived => println!("mutants: survived: {name}"),
            }
            let mut endings = endings.lock().expect("no worker panics with it");
            endings.insert(*number, ending);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs() {
            scope.spawn(work);
        }
    });
    endings.into_inner().expect("no worker panics with it")
}
