//! The gates of the repository: `cargo xtask tidy`, `trace`, `full`, `bench`, `fuzz` and `mutants`.
//!
//! Invariant: a gate reads the tree and says what is wrong; only `trace --write`, `full` and
//! `bench` write, and only the pages and data under `docs` that say so at their top.

mod bench;
mod full;
mod fuzz;
mod mutants;
mod obstacles;
mod repository;
mod source;
mod tidy;
mod trace;

use repository::Repository;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask <gate>

  tidy              crate arrows, sizes, file heads, licences, locks, paths that pages name
  trace [--write]   requirement rows against the tests that they name; --write renews the pages
  full [STEP...]    everything, with every peer and tool that is present, or the steps named (a
                    first word, such as fuzz, names all of its kind); each replaces its own row
                    of docs/full-run.md; --list prints the steps
  bench [ARGS]      builds and runs the benchmarks, that of tokio-quiche where cmake and libclang
                    are; writes docs/performance.md
  fuzz [NAME...]    fuzz targets, two at a time, for 60 s or PORTWAY_FUZZ_SECONDS each; without
                    names those of HTTP/3; a full run counts CPU-minutes instead: 30 for those of
                    HTTP/3 and 1 for the rest, or PORTWAY_FUZZ_CPU_MINUTES for each
  mutants [NAME...] mutation tests over race, plan, send_queue, qpack, frames, fields and pool, or
                    those named, against the reasons in tests/mutants.toml
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (gate, rest) = match arguments.split_first() {
        Some((gate, rest)) => (gate.as_str(), rest),
        None => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let outcome = Repository::open().and_then(|repository| match gate {
        "tidy" => tidy::run(&repository),
        "trace" => trace::run(&repository, rest.iter().any(|flag| flag == "--write")),
        "full" => full::run(&repository, rest),
        "bench" => bench::run(&repository, rest),
        "fuzz" => fuzz::run(&repository, rest),
        "mutants" => mutants::run(&repository, rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(vec![format!("no gate is called {other}\n\n{USAGE}")]),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(findings) => {
            for finding in &findings {
                eprintln!("{gate}: {finding}");
            }
            eprintln!("{gate}: {} finding(s)", findings.len());
            ExitCode::FAILURE
        }
    }
}

/// What a gate ends with: nothing, or everything that it found.
type Outcome<T = ()> = Result<T, Vec<String>>;

/// `Ok` when there are no findings.
fn verdict(findings: Vec<String>) -> Outcome {
    if findings.is_empty() {
        Ok(())
    } else {
        Err(findings)
    }
}
