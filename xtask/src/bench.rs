//! `cargo xtask bench`: the benchmarks, which live in a workspace of their own.
//!
//! Invariant: the page is written by the benchmark itself, from what it measured in this run.

use crate::Outcome;
use crate::obstacles::no_boringssl;
use crate::repository::Repository;
use std::process::Command;

const MANIFEST: &str = "bench/Cargo.toml";
/// A workspace of its own within that of the benchmarks.
const QUICHE: &str = "bench/quiche/Cargo.toml";
/// reqwest's HTTP/3 is built by a flag of the compiler only.
const REQWEST_HTTP3: [&str; 2] = ["--features", "reqwest-http3"];
const REQWEST_FLAG: &str = "--cfg reqwest_unstable";
const PAGE: &str = "docs/performance.md";
/// Who writes a section, in the page's order.
const SECTIONS: [&str; 4] = ["quic", "h3", "http", "serving"];

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
    cargo(repository, &[&build[..], &REQWEST_HTTP3].concat(), &[])?;
    // tokio-quiche is measured beside portway where it can be built, and the page says where not.
    if let Err(findings) = build_quiche(repository) {
        println!("bench: without tokio-quiche: {}", findings.join("; "));
    }
    program(repository, "report", arguments)?;
    // Programs of their own, which add their sections to the page that the first one has written.
    SECTIONS
        .iter()
        .try_for_each(|name| program(repository, name, &[]))
}

fn build_quiche(repository: &Repository) -> Outcome {
    if let Some(obstacle) = no_boringssl() {
        return Err(vec![obstacle]);
    }
    let build = ["build", "--release", "--locked", "--manifest-path", QUICHE];
    cargo(repository, &build, &[])
}

fn program(repository: &Repository, name: &str, arguments: &[String]) -> Outcome {
    let run = ["run", "--release", "--manifest-path", MANIFEST];
    let rest = ["--bin", name, "--", "--output", PAGE];
    let run = [&run[..], &REQWEST_HTTP3, &rest].concat();
    cargo(repository, &run, arguments)
}

fn cargo(repository: &Repository, arguments: &[&str], more: &[String]) -> Outcome {
    let status = Command::new("cargo")
        .args(arguments)
        .args(more)
        .env("RUSTFLAGS", REQWEST_FLAG)
        .current_dir(repository.root())
        .status()
        .map_err(|error| vec![format!("cargo: {error}")])?;
    if status.success() {
        Ok(())
    } else {
        Err(vec![format!("cargo {}: {status}", arguments.join(" "))])
    }
}
