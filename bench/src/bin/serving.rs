//! Runs the benchmarks of the HTTP server and writes their section of docs/performance.md.
//!
//! `serving [--pairs N] [--only NAME] [--output FILE]` measures; `serving serve STACK FORM` is a
//! server.

use portway_bench::http::serving::{measure, section, serve};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["serve", stack, form] = words[..] {
        serve(stack, form);
        return ExitCode::SUCCESS;
    }
    let value = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1).copied()
    };
    let pairs = value("--pairs").map_or(PAIRS, |word| word.parse().expect("a number"));
    let (rows, missing) = measure(pairs, value("--only"));
    section(&rows, &missing).give(value("--output"))
}

/// With these all rows take about six minutes, most of which is counting.
const PAIRS: usize = 21;
