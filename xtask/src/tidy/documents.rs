//! Every path that the documentation names must exist.
//!
//! Invariant: a word is a path when it begins with a top folder of the repository, when it is a
//! link's target, or when it is quoted and ends like one of our files.

use crate::repository::Repository;

const TOP_FOLDERS: &[&str] = &[
    ".cargo/", ".ci/", "bench/", "crates/", "docs/", "fuzz/", "sim/", "tests/", "xtask/",
];
const SUFFIXES: &[&str] = &[".md", ".rs", ".toml", ".lock"];

/// Checks every page of documentation.
pub(super) fn check(repository: &Repository) -> Vec<String> {
    let pages = repository.files().iter().filter(|f| f.ends_with(".md"));
    let mut findings = Vec::new();
    for page in pages {
        let text = repository.read(page).unwrap_or_default();
        for (index, line) in text.lines().enumerate() {
            for path in paths_of(line) {
                if !exists(repository, page, &path) {
                    findings.push(format!("{page}:{}: {path} does not exist", index + 1));
                }
            }
        }
    }
    findings
}

/// The paths that a line names.
fn paths_of(line: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let is_separator = |c: char| c.is_whitespace() || "`()[]<>\"',;|".contains(c);
    for word in line.split(is_separator) {
        let word = word.trim_end_matches(['.', ':', '!', '?']);
        let word = word.split(['#', ':']).next().unwrap_or(word);
        if TOP_FOLDERS.iter().any(|top| word.starts_with(top)) {
            paths.push(word.to_owned());
        }
    }
    for quoted in line.split('`').skip(1).step_by(2) {
        let is_name = !quoted.contains(['/', ' ', '*', '<']);
        if is_name && SUFFIXES.iter().any(|s| quoted.ends_with(s)) && !SUFFIXES.contains(&quoted) {
            paths.push(quoted.to_owned());
        }
    }
    for target in line.split("](").skip(1) {
        let target = target.split([')', '#']).next().unwrap_or_default();
        if !target.is_empty() && !target.contains(':') {
            paths.push(target.to_owned());
        }
    }
    paths.sort();
    paths.dedup();
    paths
}

/// Whether a path exists from the root, beside the page, or as the name of some file.
fn exists(repository: &Repository, page: &str, path: &str) -> bool {
    let fixed = match path.find('*') {
        Some(star) => &path[..path[..star].rfind('/').map_or(0, |slash| slash + 1)],
        None => path,
    };
    let folder = page.rfind('/').map_or("", |slash| &page[..=slash]);
    if repository.exists(fixed) || repository.exists(&format!("{folder}{fixed}")) {
        return true;
    }
    let tail = format!("/{path}");
    !path.contains('/') && repository.files().iter().any(|file| file.ends_with(&tail))
}

#[cfg(test)]
mod tests {
    use super::paths_of;

    #[test]
    fn paths_are_found_in_prose_code_and_links() {
        let line = "See crates/core/src/**, `deny.toml` and [this](docs/a.md#top).";
        assert_eq!(
            paths_of(line),
            ["crates/core/src/**", "deny.toml", "docs/a.md"]
        );
    }

    #[test]
    fn a_test_is_named_by_its_file() {
        assert_eq!(paths_of("`tests/api.rs::works`"), ["tests/api.rs"]);
    }

    #[test]
    fn addresses_and_plain_words_are_not_paths() {
        assert!(paths_of("[x](https://example.com/a.md) either/or `a b.rs`").is_empty());
    }
}
