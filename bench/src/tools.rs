//! The tools that count: callgrind for instructions, strace for system calls.
//!
//! Invariant: start-up and end do not count. callgrind starts at a function, and of system calls
//! the difference between a long and a short run is taken.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Whether `tool` can be run.
pub fn is_present(tool: &str) -> bool {
    let version = Command::new(tool)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}

/// The first line of what a command prints, or why there is none.
pub fn first_line(command: &str, arguments: &[&str]) -> String {
    match Command::new(command).args(arguments).output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.lines().next().unwrap_or_default().trim().to_owned()
        }
        Err(error) => format!("{command}: {error}"),
    }
}

/// The user instructions that `program` with these arguments executes in functions called
/// `measured`, all threads together.
///
/// # Errors
/// What callgrind said when it did not count.
pub fn instructions(program: &Path, arguments: &[&str]) -> Result<u64, String> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(["--toggle-collect=*::measured*"])
        .arg(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().rev().find_map(|line| {
        let (_, count) = line.split_once("Collected :")?;
        count.trim().parse().ok()
    });
    match (output.status.success(), collected) {
        (true, Some(count)) => Ok(count),
        _ => Err(format!("{}: {text}", program.display())),
    }
}

/// The system calls that `program` makes with these arguments, all threads together.
///
/// # Errors
/// What strace said when it did not count.
pub fn system_calls(program: &Path, arguments: &[&str]) -> Result<u64, String> {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let (process, run) = (std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
    let summary = std::env::temp_dir().join(format!("portway-bench-{process}-{run}"));
    let status = Command::new("strace")
        .args(["-f", "-c", "-U", "calls,name", "-o"])
        .arg(&summary)
        .arg(program)
        .args(arguments)
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("strace: {error}"))?;
    let text = std::fs::read_to_string(&summary).map_err(|error| format!("strace: {error}"))?;
    // A summary that cannot be removed is only litter among temporary files.
    let _ = std::fs::remove_file(&summary);
    let total = text.lines().rev().find_map(|line| {
        let mut words = line.split_whitespace();
        let count = words.next()?.parse().ok()?;
        (words.next() == Some("total")).then_some(count)
    });
    match (status.success(), total) {
        (true, Some(count)) => Ok(count),
        _ => Err(format!("strace {}: {text}", program.display())),
    }
}
