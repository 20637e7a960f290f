//! `cargo xtask bench`: the benchmarks, which live in a workspace of their own.
//!
//! Invariant: the page is written by the benchmark itself, from what it measured in this run.

use crate::Outcome;
use crate::repository::Repository;
use std::process::Command;

const MANIFEST: &str = "bench/Cargo.toml";
const PAGE: &str = "docs/performance.md";

/// Whether the benchmarks are part of this tree.
pub(crate) fn is_present(repository: &Repository) -> bool {
    repository.exists(MANIFEST)
}

/// Builds every benchmark, then runs `report`, which starts the others and writes the page.
pub(crate) fn run(repository: &Repository, arguments: &[String]) -> Outcome {
    if !is_present(repository) {
        return Err(vec![format!(
            "{MANIFEST} is absent: this tree has no benchmarks to run"
        )]);
    }
    let build = ["build", "--release", "--bins", "--manifest-path", MANIFEST];
    cargo(repository, &build, &[])?;
    let report = [
        "run",
        "--release",
        "--manifest-path",
        MANIFEST,
        "--bin",
        "report",
        "--",
        "--output",
        PAGE,
    ];
    cargo(repository, &report, arguments)?;
    // A program of its own, which adds its section to the page that the first one has written.
    let quic = [
        "run",
        "--release",
        "--manifest-path",
        MANIFEST,
        "--bin",
        "quic",
        "--",
        "--output",
        PAGE,
    ];
    cargo(repository, &quic, &[])
}

fn cargo(repository: &Repository, arguments: &[&str], more: &[String]) -> Outcome {
    let status = Command::new("cargo")
        .args(arguments)
        .args(more)
        .current_dir(repository.root())
        .status()
        .map_err(|error| vec![format!("cargo: {error}")])?;
    if status.success() {
        Ok(())
    } else {
        Err(vec![format!("cargo {}: {status}", arguments.join(" "))])
    }
}
