//! The mutants that cannot be switched, each in a build of its own by cargo-mutants.
//!
//! Invariant: each of them gets an ending, or the run fails.

use super::list::Mutant;
use super::target::Target;
use super::trial::Ending;
use crate::Outcome;
use crate::repository::Repository;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

const OUTPUT: &str = "target/mutants/own-builds";
const LISTS: [(&str, Ending); 4] = [
    ("caught.txt", Ending::Caught),
    ("timeout.txt", Ending::TimedOut),
    ("unviable.txt", Ending::Unviable),
    ("missed.txt", Ending::Survived),
];

/// Runs cargo-mutants over these mutants; answers with the ending of each by its name.
pub(super) fn run(
    repository: &Repository,
    target: &Target,
    mutants: &[&Mutant],
    jobs: usize,
) -> Outcome<BTreeMap<String, Ending>> {
    if mutants.is_empty() {
        return Ok(BTreeMap::new());
    }
    let output = format!("{OUTPUT}/{}", target.name);
    let folder = repository.root().join(&output);
    let failed = |error: std::io::Error| vec![format!("{output}: {error}")];
    // What an earlier run found must not be taken for what this one finds.
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(failed)?;
    }
    fs::create_dir_all(&folder).map_err(failed)?;
    let mut command = Command::new("cargo");
    command
        .args(["mutants", "--package", target.package, "--output", &output])
        .args(["--no-shuffle", "--colors=never", "--cap-lints=true"])
        .args(["--jobs", &jobs.to_string()])
        // Nobody debugs a mutant.
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .args(target.file_arguments());
    for test in target.tests {
        // For the build of each mutant too, which would otherwise make the examples.
        command.arg(format!("--cargo-arg={test}"));
    }
    for mutant in mutants {
        command.args(["--re", &format!("^{}$", escaped(&mutant.name))]);
    }
    let status = command
        .current_dir(repository.root())
        .status()
        .map_err(|error| vec![format!("cargo mutants: {error}")])?;
    // Code 2 tells of survivors and 3 of timeouts.
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        return Err(vec![format!("cargo mutants: {status}")]);
    }
    let mut endings = BTreeMap::new();
    for (list, ending) in LISTS {
        let names = fs::read_to_string(folder.join("mutants.out").join(list));
        for name in names.unwrap_or_default().lines() {
            endings.insert(name.to_owned(), ending);
        }
    }
    let forgotten = mutants.iter().filter(|m| !endings.contains_key(&m.name));
    let forgotten: Vec<String> = forgotten
        .map(|mutant| format!("cargo mutants did not test {}", mutant.name))
        .collect();
    if forgotten.is_empty() {
        Ok(endings)
    } else {
        Err(forgotten)
    }
}

/// A name as a regular expression that matches it alone.
fn escaped(name: &str) -> String {
    let mut escaped = String::new();
    for character in name.chars() {
        // Only these: an escaped `<` is the beginning of a word.
        if r"\.+*?()|[]{}^$".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_pattern() {
        assert_eq!(escaped("a.rs: x<y> + (z)"), r"a\.rs: x<y> \+ \(z\)");
    }
}
