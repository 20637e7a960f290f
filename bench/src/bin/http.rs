//! Runs the benchmarks of the HTTP client and writes their section of docs/performance.md.
//!
//! `http [--pairs N] [--only NAME] [--output FILE]` measures; `http count CLIENT NAME TIMES` does
//! the work of one client for a tool that counts; `http idle CLIENT NAME` tells the bytes of an
//! idle connection.

use portway_bench::heap::Heap;
use portway_bench::http::{count, idle_bytes, measure, section};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: Heap = Heap;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse().expect("a number");
    if let ["count", client, name, times] = words[..] {
        count(client, name, number(times));
        return ExitCode::SUCCESS;
    }
    if let ["idle", client, name] = words[..] {
        println!("{}", idle_bytes(client, name));
        return ExitCode::SUCCESS;
    }
    let value = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1).copied()
    };
    let found = measure(value("--pairs").map_or(31, number), value("--only"));
    section(&found).give(value("--output"))
}
