//! Sizes and heads of Rust sources.
//!
//! Functions are measured by clippy (`too_many_lines`), formatting by rustfmt; what neither
//! measures is measured here.

use crate::repository::Repository;
use crate::source::Source;

const FILE_LINES_MAX: usize = 800;
const INLINE_TEST_LINES_MAX: usize = 150;
const STRUCT_FIELDS_MAX: usize = 15;
const COLUMNS_MAX: usize = 100;

/// Checks every Rust source.
pub(super) fn check(repository: &Repository) -> Vec<String> {
    let mut findings = Vec::new();
    for file in repository.rust_files() {
        match repository.read(file) {
            Some(text) => findings.extend(check_source(file, &text)),
            None => findings.push(format!("{file}: not readable as text")),
        }
    }
    findings
}

fn check_source(file: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    if !text.starts_with("//! ") {
        findings.push(format!("{file}: does not open with //!"));
    }
    for (index, line) in text.lines().enumerate() {
        if line.chars().count() > COLUMNS_MAX {
            findings.push(format!(
                "{file}:{}: more than {COLUMNS_MAX} columns",
                index + 1
            ));
        }
    }
    let source = Source::parse(text);
    for (line, name, fields) in source.structs() {
        if fields > STRUCT_FIELDS_MAX {
            findings.push(format!(
                "{file}:{line}: {name} has {fields} fields, at most {STRUCT_FIELDS_MAX}"
            ));
        }
    }
    if !is_test_source(file) {
        findings.extend(check_size(file, text, &source));
    }
    findings
}

fn check_size(file: &str, text: &str, source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    let mut test_lines = 0;
    for (first, end) in source.test_modules() {
        test_lines += end - first;
    }
    if test_lines > INLINE_TEST_LINES_MAX {
        findings.push(format!(
            "{file}: {test_lines} lines of inline tests, at most {INLINE_TEST_LINES_MAX}; \
             move them to a sibling tests.rs"
        ));
    }
    let lines = text.lines().count() - test_lines;
    if lines > FILE_LINES_MAX {
        findings.push(format!("{file}: {lines} lines, at most {FILE_LINES_MAX}"));
    }
    findings
}

/// Whether a file holds tests only.
fn is_test_source(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/") || file.starts_with("tests/")
}

#[cfg(test)]
mod tests {
    use super::check_source;

    #[test]
    fn a_long_file_is_found_and_its_tests_are_not_counted() {
        let production = "//! Head.\n".to_owned() + &"fn f() {}\n".repeat(790);
        let tests = "#[cfg(test)]\nmod tests {\n".to_owned() + &"// x\n".repeat(100) + "}\n";
        assert!(check_source("a/b.rs", &(production.clone() + &tests)).is_empty());
        assert_eq!(
            check_source("a/b.rs", &(production + &"\n".repeat(20))).len(),
            1
        );
    }

    #[test]
    fn a_missing_head_and_a_wide_line_are_found() {
        let text = format!("fn f() {{}}\n// {}\n", "x".repeat(99));
        assert_eq!(check_source("a/tests.rs", &text).len(), 2);
    }

    #[test]
    fn a_wide_struct_is_found() {
        let fields: String = (0..16).map(|n| format!("    f{n}: u8,\n")).collect();
        let text = format!("//! Head.\nstruct Wide {{\n{fields}}}\n");
        assert_eq!(check_source("a/b.rs", &text).len(), 1);
    }
}
