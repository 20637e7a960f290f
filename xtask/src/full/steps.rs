//! The steps of a full run and what each needs of the machine.

use crate::repository::Repository;
use crate::{Outcome, bench, fuzz, tidy, trace};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::{Command, Stdio};
use std::time::Duration;

/// One step.
pub(super) struct Step {
    /// Its name on the page.
    pub(super) name: String,
    /// What it does.
    pub(super) work: Work,
    /// Variables that it is started with.
    pub(super) environment: Vec<(&'static str, &'static str)>,
    /// Why it cannot run here, if so.
    pub(super) obstacle: Option<String>,
}

/// What a step does.
pub(super) enum Work {
    /// Starts a program, whose output becomes a log.
    Command(Vec<String>),
    /// Calls a gate of this crate.
    Gate(fn(&Repository) -> Outcome),
    /// Runs every mutant, whose counts go to the page.
    Mutants,
}

impl Step {
    fn new(name: &str, work: Work) -> Step {
        Step {
            name: name.to_owned(),
            work,
            environment: Vec::new(),
            obstacle: None,
        }
    }

    fn command(name: &str, line: &str) -> Step {
        let words = line.split(' ').map(str::to_owned);
        Step::new(name, Work::Command(words.collect()))
    }

    fn gate(name: &str, gate: fn(&Repository) -> Outcome) -> Step {
        Step::new(name, Work::Gate(gate))
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Step {
        self.environment.push((name, value));
        self
    }

    /// Skips the step for the first of these obstacles.
    fn unless(mut self, obstacles: impl IntoIterator<Item = Option<String>>) -> Step {
        self.obstacle = obstacles.into_iter().flatten().next();
        self
    }
}

/// Every step, in order.
pub(super) fn all(repository: &Repository) -> Vec<Step> {
    let mut steps = vec![
        Step::command("fmt", "cargo fmt --all -- --check"),
        Step::command(
            "clippy",
            "cargo clippy --workspace --all-targets -- -D warnings",
        ),
        Step::command("doc", "cargo doc --workspace --no-deps").with("RUSTDOCFLAGS", "-D warnings"),
        Step::gate("tidy", tidy::run),
        Step::gate("trace", |repository| trace::run(repository, false)),
        Step::command("demo", "cargo run --bin portway -- demo"),
        Step::command("peer quiche", QUICHE)
            .unless([missing_tool("cmake", "--version"), no_libclang()]),
        Step::command("tests", "cargo test --workspace --no-fail-fast"),
        Step::command(
            "interop",
            "cargo test -p portway-tests --test interop -- --nocapture",
        )
        .unless([
            no_test(repository, "interop"),
            missing_tool("openssl", "version"),
        ]),
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
        Step::command(
            "long tests",
            "cargo test --workspace --no-fail-fast -- --include-ignored",
        )
        .with("PORTWAY_LONG", "1"),
        Step::command("deny", "cargo deny check licenses bans sources")
            .unless([missing_cargo_tool("deny")]),
        Step::command("advisories", "cargo deny check advisories")
            .unless([missing_cargo_tool("deny"), no_internet()]),
        Step::new("mutants", Work::Mutants).unless([missing_cargo_tool("mutants")]),
    ];
    steps.push(fuzz(repository));
    let no_bench = (!bench::is_present(repository)).then(|| "bench/ is absent".to_owned());
    steps.push(Step::gate("bench", |repository| bench::run(repository, &[])).unless([no_bench]));
    steps
}

/// The peer's own target directory is where the tests look for it.
const QUICHE: &str = "cargo build --locked --manifest-path tests/peers/quiche/Cargo.toml \
                      --target-dir target/peers/quiche";

/// An obstacle when bindgen would find no libclang (Debian: libclang-dev).
fn no_libclang() -> Option<String> {
    let versions = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten();
    let mut libraries = versions.map(|version| version.path().join("lib/libclang.so"));
    let is_named = std::env::var_os("LIBCLANG_PATH").is_some();
    let is_found = is_named || libraries.any(|library| library.exists());
    (!is_found).then(|| "libclang is not installed".to_owned())
}

/// All fuzz targets, which need a compiler of C++ for the fuzzer.
fn fuzz(repository: &Repository) -> Step {
    let no_targets = (!repository.exists("fuzz/Cargo.toml")).then(|| "fuzz/ is absent".to_owned());
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    Step::gate(&fuzz::full_name(repository), fuzz::run_full)
        .unless([no_targets, missing_tool(&compiler, "--version")])
}

/// An obstacle when the evidence crate has no such test binary.
fn no_test(repository: &Repository, name: &str) -> Option<String> {
    let manifest = repository.read("tests/Cargo.toml").unwrap_or_default();
    let is_declared = manifest.contains(&format!("name = \"{name}\""));
    let is_found = ["tests/tests/{}.rs", "tests/tests/{}/main.rs"]
        .iter()
        .any(|path| repository.exists(&path.replace("{}", name)));
    (!is_declared && !is_found).then(|| format!("there is no test binary {name}"))
}

/// An obstacle when a program cannot be started.
fn missing_tool(program: &str, arguments: &str) -> Option<String> {
    (!starts(program, &arguments.split(' ').collect::<Vec<_>>()))
        .then(|| format!("{program} is not installed"))
}

fn missing_cargo_tool(name: &str) -> Option<String> {
    (!starts("cargo", &[name, "--version"])).then(|| format!("cargo-{name} is not installed"))
}

fn starts(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
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
