//! `cargo xtask fuzz`: the fuzz targets, built once and run two at a time.
//!
//! Invariant: the stable compiler of the repository builds them and nothing is installed for it;
//! what a run finds goes below `target`, and the corpora of the repository are only read.

use crate::repository::Repository;
use crate::{Outcome, verdict};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What `.ci/run` runs: the targets of what a peer sends to HTTP/3, which are quick to build.
const QUICK: &[&str] = &[
    "h3_frames",
    "qpack_decoder",
    "h3_fields",
    "h3_capsules",
    "h3_connection",
];

/// How long each target runs unless `PORTWAY_FUZZ_SECONDS` says otherwise.
const QUICK_TIME: Duration = Duration::from_secs(60);

/// The same in a full run.
const FULL_TIME: Duration = Duration::from_secs(30 * 60);

/// How many run at a time, one for each of the cores that a gate may count on.
pub(crate) const AT_A_TIME: usize = 2;

/// The seed of what every change runs: the same inputs in the same order, so that a change fails by
/// what it did and not by luck. A full run looks elsewhere each time.
const QUICK_SEED: u32 = 9114;

/// Where they are built, apart from everything else since the flags differ.
const BUILD: &str = "target/fuzz";

/// Where a run keeps what it finds.
const FOUND: &str = "target/fuzz-found";

/// The instrumentation that libFuzzer needs, without a sanitizer: the workspace's own code is safe
/// Rust but for a few system calls, so that panics and broken invariants are what is searched for.
const FLAGS: &str = "--cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Every target of the repository.
pub(crate) fn targets(repository: &Repository) -> Vec<String> {
    let files = repository.files().iter();
    let names = files.filter_map(|file| {
        let name = file.strip_prefix("fuzz/fuzz_targets/")?;
        name.strip_suffix(".rs")
    });
    names.map(str::to_owned).collect()
}

/// Runs the targets that are named, or those of every change.
pub(crate) fn run(repository: &Repository, names: &[String]) -> Outcome {
    let known = targets(repository);
    let names: Vec<&str> = match names.is_empty() {
        true => QUICK.to_vec(),
        false => names.iter().map(String::as_str).collect(),
    };
    let is_known = |name: &str| known.iter().any(|one| one == name);
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        return Err(vec![format!("no fuzz target is called {unknown}")]);
    }
    run_all(repository, &names, time_or(QUICK_TIME), Some(QUICK_SEED))
}

/// Runs one target for a long time; says what it saw.
pub(crate) fn run_long(repository: &Repository, name: &str) -> Outcome<String> {
    let directory = build(repository, &[name])?;
    run_one(repository, &directory, name, time_or(FULL_TIME), None)
}

fn time_or(default: Duration) -> Duration {
    let seconds = std::env::var("PORTWAY_FUZZ_SECONDS").ok();
    let seconds = seconds.and_then(|seconds| seconds.parse().ok());
    seconds.map_or(default, Duration::from_secs)
}

fn run_all(repository: &Repository, names: &[&str], time: Duration, seed: Option<u32>) -> Outcome {
    let directory = build(repository, names)?;
    let next = AtomicUsize::new(0);
    let findings = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(finding) = run_one(repository, &directory, name, time, seed) {
                        let mut findings = findings.lock().expect("nobody panics with it");
                        findings.extend(finding);
                    }
                }
            });
        }
    });
    verdict(findings.into_inner().expect("nobody panics with it"))
}

/// Builds the targets; says where they are.
fn build(repository: &Repository, names: &[&str]) -> Outcome<PathBuf> {
    let triple = host()?;
    let build = repository.root().join(BUILD);
    let mut command = Command::new("cargo");
    command
        .args([
            "build",
            "--release",
            "--quiet",
            "--manifest-path",
            "fuzz/Cargo.toml",
        ])
        // With a triple, build scripts and macros are built without the flags.
        .args(["--target", &triple, "--target-dir"])
        .arg(&build);
    // Without these features nothing below HTTP/3 is built.
    let is_of_http3 = |name: &&str| name.starts_with("h3_") || name.starts_with("qpack_");
    if names.iter().all(is_of_http3) {
        command.arg("--no-default-features");
    }
    for name in names {
        command.args(["--bin", name]);
    }
    let status = command
        .env("RUSTFLAGS", FLAGS)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(repository.root())
        .status()
        .map_err(|error| vec![format!("cargo build: {error}")])?;
    match status.success() {
        true => Ok(build.join(triple).join("release")),
        false => Err(vec![format!("the fuzz targets cannot be built: {status}")]),
    }
}

/// The triple of this machine, as the compiler says it.
fn host() -> Outcome<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .map_err(|error| vec![format!("rustc: {error}")])?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| vec!["rustc does not say its host".to_owned()])
}

/// Runs one target, beginning with what the repository keeps of it.
fn run_one(
    repository: &Repository,
    directory: &Path,
    name: &str,
    time: Duration,
    seed: Option<u32>,
) -> Outcome<String> {
    let found = repository.root().join(FOUND).join(name);
    let artifacts = found.join("artifacts");
    let inputs = found.join("corpus");
    for path in [&artifacts, &inputs] {
        std::fs::create_dir_all(path)
            .map_err(|error| vec![format!("{}: {error}", path.display())])?;
    }
    let log = found.join("log");
    let file =
        std::fs::File::create(&log).map_err(|error| vec![format!("{}: {error}", log.display())])?;
    let mut command = Command::new(directory.join(name));
    // The first directory takes what is new.
    command.arg(&inputs);
    let kept = repository.root().join("fuzz/corpus").join(name);
    if kept.is_dir() {
        command.arg(kept);
    }
    if let Some(seed) = seed {
        command.arg(format!("-seed={seed}"));
    }
    let status = command
        .arg(format!("-max_total_time={}", time.as_secs()))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .current_dir(repository.root())
        .status()
        .map_err(|error| vec![format!("{name}: {error}")])?;
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let last = text.lines().rev().find(|line| line.contains(" cov: "));
    let last = last.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let seen = last.as_deref().unwrap_or("nothing was run");
    let seen = format!("{} s: {seen}", time.as_secs());
    println!("fuzz {name}: {seen}");
    if status.success() && last.is_some() {
        return Ok(seen);
    }
    let told: Vec<&str> = text.lines().rev().take(30).collect();
    for line in told.iter().rev() {
        eprintln!("{name}: {line}");
    }
    Err(vec![format!("{name}: {status}; see {}", log.display())])
}

#[cfg(test)]
mod tests {
    use super::{QUICK, targets};
    use crate::repository::Repository;

    #[test]
    fn what_every_change_runs_exists_and_has_a_corpus() {
        let repository = Repository::open().expect("the repository");
        let targets = targets(&repository);
        for name in QUICK {
            assert!(targets.iter().any(|target| target == name), "{name}");
            let corpus = format!("fuzz/corpus/{name}/");
            let mut files = repository.files().iter();
            assert!(files.any(|file| file.starts_with(&corpus)), "{name}");
        }
    }
}
