//! The settings that other gates rely on: lints inherited, thresholds repeated, commands agreed.
//!
//! Invariant: a crate's own `clippy.toml` replaces that of the root, so each repeats the limits.

use super::arrows::PURE;
use crate::repository::Repository;

const FUNCTION_LINES: &str = "too-many-lines-threshold = 80";
const README_LINES_MAX: usize = 149;

/// Checks manifests, lint settings, and the commands of README and `.ci/run`.
pub(super) fn check(repository: &Repository) -> Vec<String> {
    let mut findings = Vec::new();
    for file in repository.files() {
        let Some(text) = repository.read(file) else {
            continue;
        };
        if file.ends_with("clippy.toml") && !text.lines().any(|line| line == FUNCTION_LINES) {
            findings.push(format!("{file}: lacks {FUNCTION_LINES}"));
        }
        let is_member = file.ends_with("/Cargo.toml")
            && !file.starts_with("bench/")
            && !file.starts_with("fuzz/")
            && !file.starts_with("tests/peers/");
        if is_member && !text.contains("[lints]\nworkspace = true") {
            findings.push(format!("{file}: does not inherit the workspace's lints"));
        }
    }
    for name in PURE {
        let folder = name.trim_start_matches("portway-");
        let file = format!("crates/{folder}/clippy.toml");
        let text = repository.read(&file).unwrap_or_default();
        for barred in ["Instant::now", "thread::spawn", "TcpStream", "RandomState"] {
            if !text.contains(barred) {
                findings.push(format!("{file}: does not bar {barred} from a pure crate"));
            }
        }
    }
    findings.extend(check_commands(repository));
    findings
}

fn check_commands(repository: &Repository) -> Vec<String> {
    let mut findings = Vec::new();
    let manifest = repository.read("Cargo.toml").unwrap_or_default();
    if !manifest.contains("too_many_lines = ") {
        findings.push("Cargo.toml: the lint too_many_lines is not switched on".to_owned());
    }
    let readme = repository.read("README.md").unwrap_or_default();
    if readme.lines().count() > README_LINES_MAX {
        findings.push(format!("README.md: more than {README_LINES_MAX} lines"));
    }
    let ci = repository.read(".ci/run").unwrap_or_default();
    let commands = readme.lines().filter(|line| line.starts_with("cargo "));
    let tests: Vec<&str> = commands.filter(|line| line.contains(" test")).collect();
    if tests.is_empty() {
        findings.push("README.md: names no command that runs the tests".to_owned());
    }
    for command in tests {
        if !ci.contains(command) {
            findings.push(format!(".ci/run: does not run README's `{command}`"));
        }
    }
    findings
}
