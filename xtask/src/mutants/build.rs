//! Builds the test binaries once, with as many switched mutants as compile.
//!
//! Invariant: a mutant counts as one that does not compile only where the change itself is wrong,
//! as it is without a switch; one that merely cannot be switched is left for a build of its own.

use super::list::{Genre, Mutant};
use super::rewrite::{Rewritten, SWITCH, rewrite};
use super::target::Target;
use super::tree::Tree;
use crate::Outcome;
use crate::repository::Repository;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

/// More than enough: parsing, types and borrowing each have their turn.
const ROUNDS_MAX: usize = 20;

/// A wrong number of arguments, a trait, an operator or a function that a type does not have.
const FINAL: [&str; 6] = ["E0061", "E0277", "E0368", "E0369", "E0599", "E0600"];

/// The binaries with switches.
pub(super) struct Build {
    /// In the order of the target's tests.
    pub(super) binaries: Vec<PathBuf>,
    /// The numbers of the mutants that can be switched on.
    pub(super) switched: BTreeSet<usize>,
    /// The numbers of those that are no Rust program.
    pub(super) unviable: BTreeSet<usize>,
}

/// Switches all mutants, then leaves out those that the compiler complains about.
pub(super) fn build(
    repository: &Repository,
    target: &Target,
    mutants: &[Mutant],
) -> Outcome<Build> {
    let tree = Tree::of(repository);
    let mut left_out = BTreeSet::new();
    let mut unviable = BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        let files = rewrite_files(repository, mutants, &left_out)?;
        let mut changed: BTreeMap<String, String> = files
            .iter()
            .map(|(file, rewritten)| (file.clone(), rewritten.text.clone()))
            .collect();
        let library = target.library();
        let root = match changed.remove(&library) {
            Some(text) => text,
            None => repository.read_required(&library)?,
        };
        changed.insert(library, root + SWITCH);
        tree.write(repository, &changed)?;
        let messages = compile(&tree, target)?;
        let errors: Vec<&Diagnostic> = messages.iter().filter_map(Message::error).collect();
        if errors.is_empty() {
            let switched = files.values().flat_map(Rewritten::mutants).collect();
            return Ok(Build {
                binaries: binaries(&messages),
                switched,
                unviable,
            });
        }
        let blamed: BTreeSet<usize> = errors.iter().flat_map(|e| e.mutants(&files)).collect();
        if blamed.is_empty() {
            return Err(vec![format!(
                "{}: does not compile with switches, and no mutant is to blame:\n{}",
                target.name, errors[0].rendered
            )]);
        }
        unviable.extend(
            errors
                .iter()
                .filter_map(|e| e.wrong_mutant(&files, mutants)),
        );
        left_out.extend(blamed);
    }
    Err(vec![format!(
        "{}: does not compile with switches after {ROUNDS_MAX} rounds",
        target.name
    )])
}

fn rewrite_files(
    repository: &Repository,
    mutants: &[Mutant],
    left_out: &BTreeSet<usize>,
) -> Outcome<BTreeMap<String, Rewritten>> {
    let mut by_file: BTreeMap<&str, Vec<(usize, &Mutant)>> = BTreeMap::new();
    for (index, mutant) in mutants.iter().enumerate() {
        let number = index + 1;
        let file = by_file.entry(&mutant.file).or_default();
        if !left_out.contains(&number) {
            file.push((number, mutant));
        }
    }
    let mut files = BTreeMap::new();
    for (file, mutants) in by_file {
        let text = repository.read_required(file)?;
        let rewritten = rewrite(&text, &mutants).map_err(|e| vec![format!("{file}: {e}")])?;
        files.insert(file.to_owned(), rewritten);
    }
    Ok(files)
}

/// What cargo says while it builds the tests.
fn compile(tree: &Tree, target: &Target) -> Outcome<Vec<Message>> {
    let output = Command::new("cargo")
        .args(["test", "--no-run", "--message-format=json"])
        .args(["--package", target.package])
        .args(target.tests)
        .env("CARGO_TARGET_DIR", tree.build())
        // A mutant may be code that a lint would deny.
        .env("RUSTFLAGS", "--cap-lints=warn")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        // They run a thousand times.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .current_dir(tree.root())
        .output()
        .map_err(|error| vec![format!("cargo test: {error}")])?;
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let messages: Vec<Message> = messages.collect();
    if !output.status.success() && messages.iter().all(|message| message.error().is_none()) {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(vec![format!("cargo test --no-run: {why}")]);
    }
    Ok(messages)
}

/// The test binaries, the library's first.
fn binaries(messages: &[Message]) -> Vec<PathBuf> {
    let tests = messages
        .iter()
        .filter(|m| m.profile.as_ref().is_some_and(|p| p.test));
    let mut binaries: Vec<(bool, PathBuf)> = tests
        .filter_map(|message| {
            let is_library = message
                .target
                .as_ref()?
                .kind
                .iter()
                .any(|kind| kind == "lib");
            Some((!is_library, message.executable.clone()?))
        })
        .collect();
    binaries.sort();
    binaries.into_iter().map(|(_, path)| path).collect()
}

/// A line of `--message-format=json`: the parts of it that matter here.
#[derive(Deserialize)]
struct Message {
    message: Option<Diagnostic>,
    executable: Option<PathBuf>,
    profile: Option<Profile>,
    target: Option<Kinds>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Kinds {
    kind: Vec<String>,
}

/// What the compiler says.
#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    code: Option<Code>,
    rendered: String,
    spans: Vec<Spot>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

#[derive(Deserialize)]
struct Spot {
    file_name: String,
    byte_start: usize,
    byte_end: usize,
    is_primary: bool,
}

impl Message {
    fn error(&self) -> Option<&Diagnostic> {
        let diagnostic = self.message.as_ref()?;
        let is_about_code = !diagnostic.spans.is_empty();
        (diagnostic.level == "error" && is_about_code).then_some(diagnostic)
    }
}

impl Diagnostic {
    /// The mutant that is an error in itself, not for the switch around it.
    fn wrong_mutant(
        &self,
        files: &BTreeMap<String, Rewritten>,
        mutants: &[Mutant],
    ) -> Option<usize> {
        let spot = self.spans.iter().find(|spot| spot.is_primary)?;
        let file = files.get(&spot.file_name)?;
        let number = file.choice_at(&(spot.byte_start..spot.byte_end))?;
        let code = self.code.as_ref()?.code.as_str();
        // The type to return is known; that of an operator's result may follow from the switch.
        let is_returned = mutants[number - 1].genre == Genre::FnValue;
        let is_wrong = FINAL.contains(&code) || (is_returned && code == "E0308");
        is_wrong.then_some(number)
    }

    /// The mutants that it is about: those where it points to, or else those that it mentions.
    fn mutants(&self, files: &BTreeMap<String, Rewritten>) -> BTreeSet<usize> {
        let at = |spot: &Spot| {
            let file = files.get(&spot.file_name);
            file.map(|file| file.mutants_at(&(spot.byte_start..spot.byte_end)))
        };
        let (primary, others): (Vec<&Spot>, Vec<&Spot>) =
            self.spans.iter().partition(|spot| spot.is_primary);
        let blamed: BTreeSet<usize> = primary.into_iter().filter_map(at).flatten().collect();
        if blamed.is_empty() {
            return others.into_iter().filter_map(at).flatten().collect();
        }
        blamed
    }
}
