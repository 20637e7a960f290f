//! Words that do not belong into the repository: one machine's paths, other registries, and
//! notes to oneself without an issue.

use crate::repository::Repository;
use crate::source::Source;

/// Paths of one machine, in two parts so that this file does not find itself.
const MACHINE_PATHS: &[(&str, &str)] = &[("/wo", "rk/"), ("/ro", "ot/"), ("file:/", "//")];
const NOTES: &[&str] = &["TODO", "FIXME", "XXX"];
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks every text file.
pub(super) fn check(repository: &Repository) -> Vec<String> {
    let mut findings = Vec::new();
    for file in repository.files() {
        let Some(text) = repository.read(file) else {
            continue;
        };
        for (index, line) in text.lines().enumerate() {
            for (head, tail) in MACHINE_PATHS {
                let path = format!("{head}{tail}");
                if line.contains(&path) {
                    findings.push(format!("{file}:{}: a machine's path, {path}", index + 1));
                }
            }
        }
        if file.ends_with("Cargo.lock") {
            findings.extend(check_lock(file, &text));
        }
        if file.starts_with(".cargo/") && text.contains("[source") {
            findings.push(format!("{file}: replaces the package registry"));
        }
        if file.ends_with(".rs") {
            findings.extend(check_notes(file, Source::parse(&text).comments()));
        }
    }
    findings
}

fn check_lock(file: &str, text: &str) -> Vec<String> {
    let sources = text.lines().filter_map(|l| l.strip_prefix("source = \""));
    sources
        .filter(|source| source.trim_end_matches('"') != REGISTRY)
        .map(|source| format!("{file}: a package from elsewhere than crates.io: {source}"))
        .collect()
}

/// A note to oneself carries the number of the issue that will settle it: `(#12)`.
fn check_notes(file: &str, comments: &[String]) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, comment) in comments.iter().enumerate() {
        for note in NOTES {
            let Some((_, after)) = comment.split_once(note) else {
                continue;
            };
            let number = after.strip_prefix("(#").and_then(|n| n.split_once(')'));
            if number.is_none_or(|(n, _)| n.parse::<u32>().is_err()) {
                findings.push(format!(
                    "{file}:{}: {note} without an issue number",
                    index + 1
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{check_lock, check_notes};

    #[test]
    fn a_note_needs_its_issue() {
        let note = |text: &str| check_notes("a.rs", &[text.to_owned()]).len();
        assert_eq!(note("// TODO later"), 1);
        assert_eq!(note("// TODO(#12): when QUIC arrives"), 0);
        assert_eq!(note("// TODO(#x): never"), 1);
    }

    #[test]
    fn a_package_from_elsewhere_is_found() {
        let lock = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
                    source = \"git+https://example.com/a\"\n";
        assert_eq!(check_lock("Cargo.lock", lock).len(), 1);
    }
}
