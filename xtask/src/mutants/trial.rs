//! Runs the test binaries with a mutant switched on.
//!
//! Invariant: a test process ends, whatever the mutant does: its processor time, its memory and
//! the time on the clock have limits.

use super::rewrite::VARIABLE;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How a mutant ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// A test failed.
    Caught,
    /// The tests took much longer than without it, which is noticed as well.
    TimedOut,
    /// It does not compile.
    Unviable,
    /// Every test passed.
    Survived,
}

/// The tests of a target.
pub(super) struct Trial {
    binaries: Vec<PathBuf>,
    folder: PathBuf,
    /// Of processor time for each binary.
    limit: Duration,
}

impl Trial {
    /// Runs the tests without a mutant, which must pass, and derives the limit from their time.
    pub(super) fn new(binaries: Vec<PathBuf>, folder: &Path) -> Result<Trial, String> {
        let mut trial = Trial {
            binaries,
            folder: folder.to_owned(),
            limit: BASELINE_MAX,
        };
        if trial.binaries.is_empty() {
            return Err("there are no test binaries".to_owned());
        }
        let mut longest = Duration::ZERO;
        for binary in &trial.binaries {
            let started = Instant::now();
            if trial.run_binary(binary, 0) != Ending::Survived {
                return Err(format!("without a mutant, {} fails", binary.display()));
            }
            longest = longest.max(started.elapsed());
        }
        trial.limit = LIMIT_MIN + longest * LIMIT_FACTOR;
        Ok(trial)
    }

    /// Processor time that a binary may take.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Runs the tests with one mutant, until one of them notices.
    pub(super) fn run(&self, mutant: usize) -> Ending {
        let endings = self
            .binaries
            .iter()
            .map(|binary| self.run_binary(binary, mutant));
        endings
            .into_iter()
            .find(|ending| *ending != Ending::Survived)
            .unwrap_or(Ending::Survived)
    }

    fn run_binary(&self, binary: &Path, mutant: usize) -> Ending {
        // A test that takes ever more memory must fail before the machine does.
        let line = format!(
            "ulimit -c 0; ulimit -v {MEMORY_KIB}; ulimit -t {}; exec \"$0\"",
            self.limit.as_secs()
        );
        let child = Command::new("sh")
            .args(["-c", &line])
            .arg(binary)
            .env(VARIABLE, mutant.to_string())
            .env("CARGO_MANIFEST_DIR", &self.folder)
            .env("RUST_TEST_THREADS", "1")
            .env("RUST_BACKTRACE", "0")
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => watch(child, self.limit * CLOCK_FACTOR),
            Err(error) => panic!("{}: {error}", binary.display()),
        }
    }
}

/// Waits for the end, or for the first test that fails.
fn watch(mut child: Child, clock: Duration) -> Ending {
    let output = child.stdout.take().expect("it is piped");
    let (told, tell) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let has_failure = lines.any(|line| line.starts_with("test ") && line.ends_with("FAILED"));
        let _ = told.send(has_failure);
    });
    let seen = tell.recv_timeout(clock);
    if !matches!(seen, Ok(false)) {
        // It may have ended by itself meanwhile.
        let _ = child.kill();
    }
    let status = child.wait();
    let _ = reader.join();
    match (seen, status) {
        (Ok(true), _) => Ending::Caught,
        (Err(_), _) => Ending::TimedOut,
        (Ok(false), Ok(status)) if status.success() => Ending::Survived,
        (Ok(false), Ok(status)) if is_out_of_time(status) => Ending::TimedOut,
        (Ok(false), _) => Ending::Caught,
    }
}

#[cfg(unix)]
fn is_out_of_time(status: std::process::ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    /// SIGXCPU, and SIGKILL where the soft limit is the hard one.
    const SIGNALS: [i32; 2] = [24, 9];
    status
        .signal()
        .is_some_and(|signal| SIGNALS.contains(&signal))
}

#[cfg(not(unix))]
fn is_out_of_time(_: std::process::ExitStatus) -> bool {
    false
}

const BASELINE_MAX: Duration = Duration::from_secs(300);
const LIMIT_MIN: Duration = Duration::from_secs(5);
const LIMIT_FACTOR: u32 = 4;
/// Other programs may want the processors too.
const CLOCK_FACTOR: u32 = 10;
const MEMORY_KIB: u32 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", line]).stdout(Stdio::piped());
        command.spawn().unwrap()
    }

    #[test]
    fn tests_that_pass_let_a_mutant_survive() {
        let ending = watch(shell("echo 'test a ... ok'"), BASELINE_MAX);
        assert_eq!(ending, Ending::Survived);
    }

    #[test]
    fn the_first_failure_ends_the_process() {
        let line = "echo 'test a ... FAILED'; while true; do :; done";
        assert_eq!(watch(shell(line), BASELINE_MAX), Ending::Caught);
    }

    #[test]
    fn a_crash_is_noticed() {
        assert_eq!(watch(shell("kill -ABRT $$"), BASELINE_MAX), Ending::Caught);
    }

    #[test]
    fn an_endless_loop_runs_out_of_processor_time() {
        let line = "ulimit -t 1; while true; do :; done";
        assert_eq!(watch(shell(line), BASELINE_MAX), Ending::TimedOut);
    }

    #[test]
    fn a_wait_without_end_runs_out_of_time_on_the_clock() {
        let line = "exec sleep 1000";
        assert_eq!(watch(shell(line), Duration::ZERO), Ending::TimedOut);
    }
}
