//! Builds the test binaries once, with as many switched mutants as compile.
//!
//! Invariant: a mutant counts as one that does not compile only where the change itself is wrong,
//! as it is without a switch; one that merely cannot be switched is left for a build of its own.

use super::compiler::{self, Diagnostic, Message};
use super::lines::Lines;
use super::list::{Genre, Mutant};
use super::rewrite::{SWITCH, rewrite};
use super::target::Target;
use super::thaw::{Constants, Thaw};
use super::tree::Tree;
use super::writer::Rewritten;
use crate::Outcome;
use crate::repository::Repository;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// More than enough: parsing, types, borrowing and constants each have their turn.
const ROUNDS_MAX: usize = 30;

/// A wrong number of arguments, a trait, an operator or a function that a type does not have.
const FINAL: [&str; 6] = ["E0061", "E0277", "E0368", "E0369", "E0599", "E0600"];

/// The binaries with switches.
pub(super) struct Build {
    /// The library's tests first.
    pub(super) binaries: Vec<PathBuf>,
    /// The numbers of the mutants that can be switched on, each its place in the list from one.
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
    let mut plan = Plan::of(repository, mutants)?;
    for _ in 0..ROUNDS_MAX {
        let files = plan.rewrite()?;
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
        let messages = compiler::compile(&tree, target)?;
        let errors: Vec<&Diagnostic> = messages.iter().filter_map(Message::error).collect();
        if errors.is_empty() {
            return Ok(Build {
                binaries: compiler::binaries(&messages),
                switched: files.values().flat_map(Rewritten::mutants).collect(),
                unviable: plan.unviable,
            });
        }
        let learned = errors.iter().map(|error| plan.learn(error, &files));
        if learned.filter(|has_learned| *has_learned).count() == 0 {
            return Err(vec![format!(
                "{}: does not compile with switches, and no mutant is to blame:\n{}",
                target.name, errors[0].rendered
            )]);
        }
    }
    Err(vec![format!(
        "{}: does not compile with switches after {ROUNDS_MAX} rounds",
        target.name
    )])
}

/// What will be written.
struct Plan<'a> {
    mutants: &'a [Mutant],
    sources: BTreeMap<&'a str, Source>,
    /// What the compiler does not take.
    left_out: BTreeSet<usize>,
    unviable: BTreeSet<usize>,
}

/// A file with mutants.
struct Source {
    text: String,
    /// The numbers of its mutants.
    numbers: Vec<usize>,
    constants: Constants,
    thaw: Thaw,
    /// Constants that cannot thaw.
    frozen: BTreeSet<usize>,
}

impl<'a> Plan<'a> {
    fn of(repository: &Repository, mutants: &'a [Mutant]) -> Outcome<Plan<'a>> {
        let mut by_file: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, mutant) in mutants.iter().enumerate() {
            by_file.entry(&mutant.file).or_default().push(index + 1);
        }
        let mut sources = BTreeMap::new();
        for (file, numbers) in by_file {
            let text = repository.read_required(file)?;
            let constants = Constants::of(&text).map_err(|why| vec![format!("{file}: {why}")])?;
            let lines = Lines::of(&text);
            let starts = numbers.iter().filter_map(|number| {
                let start = mutants[number - 1].span.start;
                lines.byte(start.line, start.column)
            });
            let thaw = constants.around(&starts.collect::<Vec<usize>>());
            let source = Source {
                text,
                numbers,
                constants,
                thaw,
                frozen: BTreeSet::new(),
            };
            sources.insert(file, source);
        }
        Ok(Plan {
            mutants,
            sources,
            left_out: BTreeSet::new(),
            unviable: BTreeSet::new(),
        })
    }

    fn rewrite(&self) -> Outcome<BTreeMap<String, Rewritten>> {
        let mut files = BTreeMap::new();
        for (file, source) in &self.sources {
            let numbers = source.numbers.iter();
            let mutants: Vec<(usize, &Mutant)> = numbers
                .filter(|number| !self.left_out.contains(number))
                .map(|number| (*number, &self.mutants[number - 1]))
                .collect();
            let rewritten = rewrite(&source.text, &mutants, &source.constants, &source.thaw)
                .map_err(|why| vec![format!("{file}: {why}")])?;
            files.insert((*file).to_owned(), rewritten);
        }
        Ok(files)
    }

    /// Does something about an error; answers whether there was anything to do.
    fn learn(&mut self, error: &Diagnostic, files: &BTreeMap<String, Rewritten>) -> bool {
        // A call at compile time of what has thawed: the caller thaws too, or else the callee not.
        if error.code() == "E0015" {
            return self.thaw_at(error, files) || self.freeze_function(error);
        }
        let blamed = mutants_of(error, files);
        if blamed.is_empty() {
            return self.freeze_items(error);
        }
        self.unviable.extend(self.wrong_mutant(error, files));
        self.left_out.extend(blamed);
        true
    }

    /// The mutant that is an error in itself, not for the switch around it.
    fn wrong_mutant(
        &self,
        error: &Diagnostic,
        files: &BTreeMap<String, Rewritten>,
    ) -> Option<usize> {
        let (file, range) = error.places(true).next()?;
        let number = files.get(file)?.choice_at(&range)?;
        // The type to return is known; that of an operator's result may follow from the switch.
        let is_returned = self.mutants[number - 1].genre == Genre::FnValue;
        let is_wrong = FINAL.contains(&error.code()) || (is_returned && error.code() == "E0308");
        is_wrong.then_some(number)
    }

    fn thaw_at(&mut self, error: &Diagnostic, files: &BTreeMap<String, Rewritten>) -> bool {
        let mut is_new = false;
        for (file, range) in error.places(true) {
            let constant = files.get(file).and_then(|file| file.constant_at(&range));
            if let (Some(constant), Some(source)) = (constant, self.sources.get_mut(file)) {
                is_new |= !source.frozen.contains(&constant) && source.thaw.items.insert(constant);
            }
        }
        is_new
    }

    fn freeze_function(&mut self, error: &Diagnostic) -> bool {
        let Some(name) = error.quoted_name() else {
            return false;
        };
        let mut is_new = false;
        for source in self.sources.values_mut() {
            for function in source.constants.functions.iter().filter(|f| f.name == name) {
                is_new |= source.thaw.functions.remove(&function.keyword.start);
            }
        }
        is_new
    }

    fn freeze_items(&mut self, error: &Diagnostic) -> bool {
        let mut is_new = false;
        for source in self.sources.values_mut() {
            for item in source
                .constants
                .items
                .iter()
                .filter(|i| error.mentions(&i.name))
            {
                let start = item.keyword.start;
                if source.thaw.items.remove(&start) {
                    source.frozen.insert(start);
                    is_new = true;
                }
            }
        }
        is_new
    }
}

/// The mutants that an error is about: those where it is, or else those that it mentions.
fn mutants_of(error: &Diagnostic, files: &BTreeMap<String, Rewritten>) -> BTreeSet<usize> {
    let at = |(file, range): (&str, std::ops::Range<usize>)| {
        let file = files.get(file);
        file.map_or_else(BTreeSet::new, |file| file.mutants_at(&range))
    };
    let blamed: BTreeSet<usize> = error.places(true).flat_map(at).collect();
    if blamed.is_empty() {
        return error.places(false).flat_map(at).collect();
    }
    blamed
}
