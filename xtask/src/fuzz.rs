//! `cargo xtask fuzz`: the fuzz targets, built once and run two at a time.
//!
//! Invariant: the stable compiler of the repository builds them and nothing is installed for it;
//! what a run finds goes below `target`, and the corpora of the repository are only read.

use crate::repository::Repository;
use crate::{Outcome, verdict};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
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

/// The processor's time that each of the quick targets gets in a full run, unless
/// `PORTWAY_FUZZ_CPU_MINUTES` says otherwise: a machine that is busy takes longer, not less.
const LONG_CPU_TIME: Duration = Duration::from_secs(30 * 60);

/// What every other target gets there, unless the same variable gives all of them another.
const SHORT_CPU_TIME: Duration = Duration::from_secs(60);

/// How much of the time that was asked for may be missing at the end.
const CPU_TIME_MISSED_MAX: Duration = Duration::from_secs(1);

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

/// Runs one target for the processor's time that a full run gives it; says what that was and what
/// it saw.
pub(crate) fn run_long(repository: &Repository, name: &str) -> Outcome<String> {
    let directory = build(repository, &[name])?;
    let budget = full_time(name)?;
    let mut used = Duration::ZERO;
    let mut round = budget;
    loop {
        let run = run_one(repository, &directory, name, round, None)?;
        used += run.cpu_time;
        let left = budget.saturating_sub(used);
        if left <= CPU_TIME_MISSED_MAX {
            let minutes = |time: Duration| time.as_secs_f64() / 60.0;
            let (used, budget) = (minutes(used), minutes(budget));
            let seen = run.seen;
            return Ok(format!("{used:.1} of {budget:.1} CPU-minutes: {seen}"));
        }
        // The next round takes as much longer than what is left as this one did.
        let share = run.cpu_time.as_secs_f64() / round.as_secs_f64();
        round = left.div_f64(share.clamp(0.05, 1.0)) + CPU_TIME_MISSED_MAX;
    }
}

/// The processor's time for a target in a full run.
fn full_time(name: &str) -> Outcome<Duration> {
    match std::env::var("PORTWAY_FUZZ_CPU_MINUTES") {
        Ok(minutes) => {
            // libFuzzer takes nothing for no limit.
            let minutes: NonZeroU64 = minutes
                .parse()
                .map_err(|error| vec![format!("PORTWAY_FUZZ_CPU_MINUTES={minutes}: {error}")])?;
            Ok(Duration::from_secs(minutes.get() * 60))
        }
        Err(_) if QUICK.contains(&name) => Ok(LONG_CPU_TIME),
        Err(_) => Ok(SHORT_CPU_TIME),
    }
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

/// What one run of a target came to.
struct Run {
    /// The fuzzer's last line on what it covered.
    seen: String,
    cpu_time: Duration,
}

/// Runs one target, beginning with what the repository keeps of it.
fn run_one(
    repository: &Repository,
    directory: &Path,
    name: &str,
    time: Duration,
    seed: Option<u32>,
) -> Outcome<Run> {
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
    let mut child = command
        .arg(format!("-max_total_time={}", time.as_secs()))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .current_dir(repository.root())
        .spawn()
        .map_err(|error| vec![format!("{name}: {error}")])?;
    let (status, cpu_time) = wait(&mut child).map_err(|error| vec![format!("{name}: {error}")])?;
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let last = text.lines().rev().find(|line| line.contains(" cov: "));
    let last = last.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let seen = last.as_deref().unwrap_or("nothing was run");
    println!("fuzz {name}: {} s: {seen}", time.as_secs());
    if status.success() && last.is_some() {
        let seen = seen.to_owned();
        return Ok(Run { seen, cpu_time });
    }
    let told: Vec<&str> = text.lines().rev().take(30).collect();
    for line in told.iter().rev() {
        eprintln!("{name}: {line}");
    }
    Err(vec![format!("{name}: {status}; see {}", log.display())])
}

/// Waits for the end of a fuzzer; says how much of the processor's time it used, to a second.
fn wait(child: &mut Child) -> std::io::Result<(ExitStatus, Duration)> {
    let stat = format!("/proc/{}/stat", child.id());
    let mut used = Duration::ZERO;
    loop {
        // Before asking for the end: what has been waited for has no more entry.
        let time = std::fs::read_to_string(&stat);
        used = used.max(time.ok().and_then(|stat| cpu_time(&stat)).unwrap_or(used));
        if let Some(status) = child.try_wait()? {
            return Ok((status, used));
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// What an entry of `/proc` says of the time of its process and system calls.
fn cpu_time(stat: &str) -> Option<Duration> {
    // The name, in parentheses, may have spaces.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()? + ticks()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Linux tells times in `/proc` by this clock on every machine.
const TICKS_PER_SECOND: u64 = 100;

#[cfg(test)]
mod tests {
    use super::{QUICK, cpu_time, targets};
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

    #[test]
    fn the_time_of_a_process_is_read_behind_its_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 51 0 0 20 0 1 0 5 6 7";
        let time = cpu_time(stat).expect("it has all fields");
        assert_eq!(time.as_millis(), 3010);
        assert_eq!(cpu_time("7 (short) S 1"), None);
    }
}
