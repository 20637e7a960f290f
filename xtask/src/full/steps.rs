//! The steps of a full run and what each needs of the machine.

use crate::obstacles::{missing_tool, no_boringssl, starts};
use crate::repository::Repository;
use crate::{Outcome, bench, fuzz, mutants, tidy, trace};
use std::iter;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// One step.
pub(super) struct Step {
    /// Its name on the page.
    pub(super) name: String,
    /// What it does.
    pub(super) work: Work,
    /// Variables that it is started with.
    pub(super) environment: Vec<(&'static str, &'static str)>,
    /// What the page says beside a success.
    pub(super) remark: &'static str,
    /// Why it cannot run here, if so.
    pub(super) obstacle: Option<String>,
}

/// What a step does.
pub(super) enum Work {
    /// Starts programs one after the other, whose output becomes a log.
    Commands(Vec<Vec<String>>),
    /// Calls a gate of this crate.
    Gate(fn(&Repository) -> Outcome),
    /// Runs every mutant of a target, whose counts go to the page.
    Mutants(&'static str),
    /// Runs a fuzz target for a long time.
    Fuzz(String),
}

impl Step {
    fn new(name: &str, work: Work) -> Step {
        Step {
            name: name.to_owned(),
            work,
            environment: Vec::new(),
            remark: "",
            obstacle: None,
        }
    }

    fn command(name: &str, line: &str) -> Step {
        Step::commands(name, &[line])
    }

    fn commands(name: &str, lines: &[&str]) -> Step {
        let words = |line: &&str| line.split(' ').map(str::to_owned).collect();
        Step::new(name, Work::Commands(lines.iter().map(words).collect()))
    }

    fn gate(name: &str, gate: fn(&Repository) -> Outcome) -> Step {
        Step::new(name, Work::Gate(gate))
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Step {
        self.environment.push((name, value));
        self
    }

    fn remark(mut self, remark: &'static str) -> Step {
        self.remark = remark;
        self
    }

    /// Whether it is one of the fuzzers.
    pub(super) fn is_fuzzing(&self) -> bool {
        matches!(self.work, Work::Fuzz(_))
    }

    /// Skips the step for the first of these obstacles.
    fn unless(mut self, obstacles: impl IntoIterator<Item = Option<String>>) -> Step {
        self.obstacle = obstacles.into_iter().flatten().next();
        self
    }
}

/// Every step, in order.
pub(super) fn all(repository: &Repository) -> Vec<Step> {
    let mut steps = gates();
    steps.extend(tests(repository));
    steps.extend(long_tests(repository));
    steps.push(
        Step::commands("deny", &[DENY, DENY_BENCH_QUICHE]).unless([missing_cargo_tool("deny")]),
    );
    steps.push(
        Step::command("advisories", "cargo deny check advisories")
            .unless([missing_cargo_tool("deny"), no_internet()]),
    );
    let no_mutants = missing_cargo_tool("mutants");
    steps.extend(mutants::names().map(|target| {
        Step::new(&format!("mutants {target}"), Work::Mutants(target)).unless([no_mutants.clone()])
    }));
    // The fuzzer is compiled first.
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let no_compiler = missing_tool(&compiler, "--version");
    steps.extend(fuzz::targets(repository).into_iter().map(|target| {
        Step::new(&format!("fuzz {target}"), Work::Fuzz(target)).unless([no_compiler.clone()])
    }));
    let no_bench = (!bench::is_present(repository)).then(|| "bench/ is absent".to_owned());
    steps.push(Step::gate("bench", |repository| bench::run(repository, &[])).unless([no_bench]));
    steps
}

/// What a change has to pass, but for the tests.
fn gates() -> Vec<Step> {
    vec![
        Step::command("fmt", "cargo fmt --all -- --check"),
        Step::command(
            "clippy",
            "cargo clippy --workspace --all-targets -- -D warnings",
        ),
        Step::command("doc", "cargo doc --workspace --no-deps").with("RUSTDOCFLAGS", "-D warnings"),
        Step::gate("tidy", tidy::run),
        Step::gate("trace", |repository| trace::run(repository, false)),
        Step::command("demo", "cargo run --bin portway -- demo"),
    ]
}

/// The tests as they stand, with every peer.
fn tests(repository: &Repository) -> Vec<Step> {
    let on_peers = no_peers(repository);
    vec![
        Step::command("tests", "cargo test --workspace --no-fail-fast"),
        Step::commands("quiche", &[QUICHE, &format!("{INTEROP} quiche")])
            .remark("builds the peer and tries its matrix")
            .unless(iter::once(no_boringssl()).chain(on_peers.clone())),
        Step::command("interop", INTEROP)
            .with("PORTWAY_FULL", "1")
            .unless(on_peers),
        Step::command(
            "netns",
            "cargo test -p portway-tests --test netns -- --include-ignored --nocapture",
        )
        .unless([
            no_test(repository, "netns"),
            missing_tool("ip", "-V"),
            missing_tool("nft", "--version"),
            no_namespaces(),
        ]),
    ]
}

/// The tests with many more seeds and with whole sizes.
fn long_tests(repository: &Repository) -> Vec<Step> {
    let conformance = "cargo test -p portway-tests --test conformance --";
    let on_peers = no_peers(repository);
    vec![
        Step::commands(
            "sim",
            &[
                &format!("{conformance} quic"),
                "cargo test -p portway-sim --test quic_faults",
            ],
        )
        .with("PORTWAY_SEEDS", "500")
        .remark("QUIC on simulated networks: 500 seeds for each randomised test"),
        Step::command(
            "long conformance",
            &format!("{conformance} --include-ignored"),
        )
        .with("PORTWAY_LONG", "1")
        .remark("`PORTWAY_LONG=1`: fifty times the seeds"),
        Step::command(
            "long interop",
            &format!("{INTEROP} --include-ignored --skip {SCENARIOS}"),
        )
        .with("PORTWAY_LONG", "1")
        .remark("`PORTWAY_LONG=1`: contents of 1 GiB, 10,000 requests on a connection")
        .unless(on_peers.clone()),
        Step::command(
            "long scenarios",
            &format!("{INTEROP} --include-ignored {SCENARIOS}"),
        )
        .with("PORTWAY_LONG", "1")
        .remark("`PORTWAY_LONG=1`: sizes and times of the QUIC interop runner, five seeds")
        .unless(on_peers),
        Step::command(
            "long tests",
            "cargo test --workspace --exclude portway-tests --no-fail-fast -- --include-ignored",
        )
        .with("PORTWAY_LONG", "1")
        .remark("`PORTWAY_LONG=1`: fifty times the seeds of the race, QPACK and the pool"),
    ]
}

/// What keeps the tests with peers from running.
fn no_peers(repository: &Repository) -> [Option<String>; 2] {
    [
        no_test(repository, "interop"),
        missing_tool("openssl", "version"),
    ]
}

const INTEROP: &str = "cargo test -p portway-tests --test interop -- --nocapture";

/// The tests which play the QUIC interop runner's scenarios over a link.
const SCENARIOS: &str = "quic::scenarios::";

const DENY: &str = "cargo deny check licenses bans sources";
/// What is measured beside portway in a program of its own, whose licences hold as well.
const DENY_BENCH_QUICHE: &str =
    "cargo deny --manifest-path bench/quiche/Cargo.toml check licenses bans sources";

/// The peer's own target directory is where the tests look for it.
const QUICHE: &str = "cargo build --locked --manifest-path tests/peers/quiche/Cargo.toml \
                      --target-dir target/peers/quiche";

/// An obstacle when the evidence crate has no such test binary.
fn no_test(repository: &Repository, name: &str) -> Option<String> {
    let manifest = repository.read("tests/Cargo.toml").unwrap_or_default();
    let is_declared = manifest.contains(&format!("name = \"{name}\""));
    let is_found = ["tests/tests/{}.rs", "tests/tests/{}/main.rs"]
        .iter()
        .any(|path| repository.exists(&path.replace("{}", name)));
    (!is_declared && !is_found).then(|| format!("there is no test binary {name}"))
}

fn missing_cargo_tool(name: &str) -> Option<String> {
    (!starts("cargo", &[name, "--version"])).then(|| format!("cargo-{name} is not installed"))
}

/// An obstacle when this user may not make network namespaces.
fn no_namespaces() -> Option<String> {
    let may = starts("unshare", &["--net", "true"])
        || starts("unshare", &["--user", "--map-root-user", "--net", "true"]);
    (!may).then(|| "network namespaces are not permitted here".to_owned())
}

/// An obstacle when the advisory database cannot be fetched.
fn no_internet() -> Option<String> {
    let is_reachable = ("github.com", 443)
        .to_socket_addrs()
        .into_iter()
        .flatten()
        .any(|address| TcpStream::connect_timeout(&address, Duration::from_secs(3)).is_ok());
    (!is_reachable).then(|| "the advisory database cannot be reached from here".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_name_of_its_own_and_long_ones_say_so_to_their_tests() {
        let steps = all(&Repository::open().expect("the repository"));
        for (at, step) in steps.iter().enumerate() {
            assert!(steps[..at].iter().all(|other| other.name != step.name));
            let is_long = step.environment.contains(&("PORTWAY_LONG", "1"));
            assert_eq!(is_long, step.name.starts_with("long "), "{}", step.name);
        }
        for name in ["quiche", "sim", "mutants qpack", "fuzz qpack_decoder"] {
            assert!(steps.iter().any(|step| step.name == name), "{name}");
        }
    }
}
