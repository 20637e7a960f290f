//! What a full run ran on: processor, kernel, compiler, and the versions of every peer and tool.

use super::record::{Fact, WRITTEN};
use std::fs;
use std::process::{Command, Stdio};

/// Programs whose versions matter, with the arguments that make each tell its own.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("rustc", &["rustc", "--version"]),
    ("openssl", &["openssl", "version"]),
    ("nc", &["nc", "-h"]),
    ("socat", &["socat", "-V"]),
    ("ip", &["ip", "-V"]),
    ("nft", &["nft", "--version"]),
    ("cargo-deny", &["cargo", "deny", "--version"]),
    ("cargo-mutants", &["cargo", "mutants", "--version"]),
    ("cargo-fuzz", &["cargo", "fuzz", "--version"]),
    (
        "rustc nightly",
        &["rustup", "run", "nightly", "rustc", "--version"],
    ),
];

/// All facts, in a fixed order.
pub(super) fn facts() -> Vec<Fact> {
    let fact = |what: &str, value: String| Fact {
        what: what.to_owned(),
        value,
    };
    let mut facts = vec![
        fact("processor", processor()),
        fact("memory", memory()),
        fact("kernel", answer(&["uname", "-srm"])),
    ];
    let programs = PROGRAMS.iter();
    facts.extend(programs.map(|(name, command)| fact(name, answer(command))));
    facts
}

/// The time in UTC, to the minute.
pub(super) fn date() -> String {
    answer(&["date", "-u", "+%Y-%m-%d %H:%M"])
}

/// What is checked out, and whether it was changed since.
pub(super) fn commit() -> String {
    let commit = answer(&["git", "rev-parse", "--short=12", "HEAD"]);
    let written: Vec<String> = WRITTEN.iter().map(|file| format!(":!{file}")).collect();
    let mut status = vec![
        "git",
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        ".",
    ];
    status.extend(written.iter().map(String::as_str));
    match answer(&status).as_str() {
        "absent" => commit,
        _ => format!("{commit} with changes"),
    }
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown", |(_, model)| model.trim());
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {count} logical")
}

fn memory() -> String {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or("unknown".to_owned(), |kib| format!("{} MiB", kib / 1024))
}

/// The first line with a version in it, or `absent`.
fn answer(command: &[&str]) -> String {
    let output = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        return "absent".to_owned();
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let is_unknown = !output.status.success() && text.contains("error:");
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let versioned = lines.iter().find(|line| line.contains(" version "));
    match versioned.or(lines.first()) {
        Some(line) if !is_unknown => line.trim().to_owned(),
        _ => "absent".to_owned(),
    }
}
