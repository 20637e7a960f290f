//! The tests that pages under `docs` name by hand.
//!
//! Invariant: what stands between backticks as `path/to/file.rs::name` is a test.

use super::Tests;
use crate::repository::Repository;

/// Looks up every test that a page names, unless the page is made from the rows.
pub(super) fn check(repository: &Repository, made: &[&str], tests: &mut Tests) -> Vec<String> {
    let mut findings = Vec::new();
    let pages = repository.files().iter();
    let pages = pages.filter(|file| file.starts_with("docs/") && file.ends_with(".md"));
    for page in pages.filter(|page| !made.contains(&page.as_str())) {
        let text = repository.read(page).unwrap_or_default();
        for (index, line) in text.lines().enumerate() {
            for test in named(line) {
                if let Err(finding) = tests.look_up(repository, test) {
                    findings.push(format!("{page}:{}: {finding}", index + 1));
                }
            }
        }
    }
    findings
}

/// The tests that a line names.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    quoted.filter(|words| words.contains(".rs::"))
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn a_test_is_what_is_quoted_with_its_file() {
        let line = "| case | `a/b.rs::works`, `c.rs::too` | see a/b.rs::not and `a/b.rs` |";
        let named: Vec<_> = named(line).collect();
        assert_eq!(named, ["a/b.rs::works", "c.rs::too"]);
    }
}
